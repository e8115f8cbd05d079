"""The page of a registered model: stages, requests for approval, versions, history, traffic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.records import ModelVersion, Transition
from tabstudio.studio.pages.model.approval_requests import ApprovalRequestList
from tabstudio.studio.pages.model.served_versions import ModelServing
from tabstudio.studio.pages.model.stage_cards import StageCards
from tabstudio.studio.pages.model.timeline import HistoryTimeline
from tabstudio.studio.pages.model.version_table import VersionTable
from tabstudio.studio.ui.elements import section
from tabstudio.studio.ui.frame import PageView

LIMIT = 20
"""Versions, or rows of history, that are fetched at once."""


@dataclass(frozen=True)
class ModelState:
    """The newest versions, stages, open requests and history of a model."""

    versions: list[ModelVersion]
    held: dict[str, list[Transition]]
    requests: list[ApprovalRequest]
    history: list[Transition]


class ModelOverview:
    """Builds the parts, and keeps them up to date while the page is open."""

    def __init__(self, view: PageView, name: str) -> None:
        self.view, self.name = view, name
        view.soon(self._build, "30rem")

    async def _build(self) -> None:
        state = await asyncio.to_thread(read_model_state, self.view, self.name)
        with section("Stages"):
            self.stages = StageCards(self.view, self.name, state.held)
        self.requests = ApprovalRequestList(self.view, self.name, state.requests)
        with section("Versions"):
            self.versions = VersionTable(self.view, self.name, state.versions, LIMIT)
        with section("History", "Every move, request and answer; rows are chained by their hashes."):
            self.timeline = HistoryTimeline(self.view, self.name, state.history, LIMIT)
        ModelServing(self.view, self.name)
        self.view.follow("registry", self._changed)

    async def _changed(self) -> None:
        state = await asyncio.to_thread(read_model_state, self.view, self.name)
        self.stages.show(state.held)
        self.requests.show(state.requests)
        self.versions.update(state.versions)
        self.timeline.update(state.history)


def read_model_state(view: PageView, name: str) -> ModelState:
    """Return what the page shows of the registry. Raises `ModelError` where there is no such model."""
    registry = view.studio.registry(view.who)
    versions = registry.versions(name, limit=LIMIT)
    held = registry.at(name, datetime.now(UTC), limit=3)
    return ModelState(versions, held, registry.open_requests(name), registry.history(name, limit=LIMIT))
