"""The page Monitor: registered models, the versions in their stages, and the last move of each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nicegui import ui

from tabstudio.registry.catalog import RegisteredModel
from tabstudio.registry.records import Transition
from tabstudio.report.text_format import format_time, shorten
from tabstudio.studio.services.deployments import ServedVersion, all_served_versions
from tabstudio.studio.ui.addresses import model_page, service_page
from tabstudio.studio.ui.elements import heading, section
from tabstudio.studio.ui.frame import PageView, page
from tabstudio.studio.ui.links import version_link
from tabstudio.studio.ui.pager import Pager
from tabstudio.studio.ui.tables import Cell, LinkCell, LiveTable

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio

LIMIT = 25


def install(studio: Studio) -> None:
    """Declare the page."""

    @page(studio, "/monitor", "Monitor", "Monitor")
    async def monitor(view: PageView) -> None:
        heading("Monitor", "Registered models, the versions in their stages, and who put them there.")
        with section("Models"):
            models = ModelTable(view)
        view.follow("registry", models.refresh)
        view.follow("deployments", models.refresh)


class ModelTable:
    """The table of models, page by page, filtered by name."""

    def __init__(self, view: PageView) -> None:
        self.view, self.number = view, 1
        self.search = ui.input("Search by name", on_change=lambda: self._turn(1))
        self.search.props('outlined dense clearable debounce=300 type="search"').classes("search")
        self.table = LiveTable("Registered models", whole=True)
        self.pager = Pager(self._turn, "models")
        view.soon(self.refresh, "12rem")

    async def refresh(self) -> None:
        """Update the rows in place."""
        wanted, word = self.number, (self.search.value or "").strip()
        models, rows = await asyncio.to_thread(_fetch, self.view, wanted, word)
        if (wanted, word) != (self.number, (self.search.value or "").strip()):
            return  # somebody typed on meanwhile, and that answer comes
        stages = [stage.capitalize() for stage in _stages(self.view)]
        head = ("Model", "Newest", *stages, "Last move", "When (UTC)", "By", "Served by")
        self.table.show(head, rows, nothing=_nothing(word, wanted))
        self.pager.update(wanted, more=len(models) == LIMIT)

    async def _turn(self, number: int) -> None:
        self.number = number
        await self.refresh()


def _fetch(view: PageView, number: int, search: str) -> tuple[list[RegisteredModel], list[list[Cell]]]:
    registry = view.studio.registry(view.who)
    models = registry.models(page=number, limit=LIMIT, search=search)
    moves = registry.last_moves(model.name for model in models)
    lanes = all_served_versions(view.studio) if models else []
    stages = _stages(view)
    return models, [_model_row(model, stages, moves, lanes) for model in models]


def _model_row(
    model: RegisteredModel,
    stages: Sequence[str],
    moves: Mapping[str, Transition],
    lanes: Sequence[ServedVersion],
) -> list[Cell]:
    moved = moves.get(model.name)
    served = {lane.service for lane in lanes if lane.model == model.name}
    return [
        LinkCell(model.name, model_page(model.name)),
        version_link(model.name, model.newest),
        *(version_link(model.name, model.stages.get(stage)) for stage in stages),
        f"version {moved.version} to {moved.to_stage or 'no stage'}: {shorten(moved.reason, 80)}"
        if moved
        else None,
        format_time(moved.time)[:16] if moved else None,
        moved.actor if moved else None,
        tuple(LinkCell(name, service_page(name)) for name in sorted(served)),
    ]


def _stages(view: PageView) -> tuple[str, ...]:
    return view.studio.registry(view.who).rules.exclusive


def _nothing(word: str, number: int) -> str:
    if word:
        return f"No model has “{word}” in its name."
    if number > 1:
        return "There are no more models."
    return (
        "No model is registered yet. A training registers a version when it is done: "
        "start one on the Data page."
    )
