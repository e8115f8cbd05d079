"""A registered model on one page: stages, what waits for approval, versions, history, traffic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.records import ModelVersion, Transition
from tabstudio.studio.pages.model.requests import Requests
from tabstudio.studio.pages.model.serving import Serving
from tabstudio.studio.pages.model.stages import Stages
from tabstudio.studio.pages.model.timeline import Timeline
from tabstudio.studio.pages.model.versions import Versions
from tabstudio.studio.ui.frame import View, section

LIMIT = 20
"""Versions, or rows of history, that are fetched at once."""


@dataclass(frozen=True)
class Seen:
    """A model as it is at one moment: its newest versions, its stages, its open requests, its history."""

    versions: list[ModelVersion]
    held: dict[str, list[Transition]]
    requests: list[ApprovalRequest]
    history: list[Transition]


class Overview:
    """Builds the parts, and keeps them up to date while the page is open."""

    def __init__(self, view: View, name: str) -> None:
        self.view, self.name = view, name
        view.soon(self._build, "30rem")

    async def _build(self) -> None:
        seen = await asyncio.to_thread(look, self.view, self.name)
        with section("Stages"):
            self.stages = Stages(self.view, self.name, seen.held)
        self.requests = Requests(self.view, self.name, seen.requests)
        with section("Versions"):
            self.versions = Versions(self.view, self.name, seen.versions, LIMIT)
        with section("History", "Every move, request and answer; rows are chained by their hashes."):
            self.timeline = Timeline(self.view, self.name, seen.history, LIMIT)
        Serving(self.view, self.name)
        self.view.follow("registry", self._changed)

    async def _changed(self) -> None:
        seen = await asyncio.to_thread(look, self.view, self.name)
        self.stages.show(seen.held)
        self.requests.show(seen.requests)
        self.versions.update(seen.versions)
        self.timeline.update(seen.history)


def look(view: View, name: str) -> Seen:
    """Everything that the page shows of the registry. Raises `ModelError` where there is no such model."""
    registry = view.studio.registry(view.who)
    versions = registry.versions(name, limit=LIMIT)
    held = registry.at(name, datetime.now(UTC), limit=3)
    return Seen(versions, held, registry.open_requests(name), registry.history(name, limit=LIMIT))
