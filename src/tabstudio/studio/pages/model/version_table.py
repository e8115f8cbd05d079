"""The versions of a model with their metrics; two can be ticked and compared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from nicegui import ui

from tabstudio.evaluation.evaluation_result import NAMES
from tabstudio.evaluation.metrics import HIGHER_IS_BETTER
from tabstudio.registry.catalog import metric_names
from tabstudio.registry.records import ModelVersion
from tabstudio.registry.stage_rules import ARCHIVE
from tabstudio.report.text_format import format_age, shorten
from tabstudio.studio.pages.model.promotion_dialog import open_archive, open_promotion
from tabstudio.studio.ui.addresses import comparison_page, run_page, version_page
from tabstudio.studio.ui.elements import badge, empty, table_head
from tabstudio.studio.ui.frame import PageView

FIRST_METRICS = 3
TONES = {"production": "good", "staging": "info"}


def metric_label(name: str) -> str:
    """Return the label of a metric; those of the test part have no prefix.

    >>> metric_label("test_roc_auc"), metric_label("val_loss")
    ('ROC AUC', 'val_loss')
    """
    return NAMES.get(name.removeprefix("test_"), name)


def best_of(versions: Sequence[ModelVersion], name: str) -> frozenset[int]:
    """Return the numbers of the versions that are best in a metric; none where all are or it has no order."""
    plain = name.removeprefix("test_")
    measured = {v.number: v.metrics[name].value for v in versions if name in v.metrics}
    if plain not in NAMES or len(set(measured.values())) < 2:
        return frozenset()
    best = (max if plain in HIGHER_IS_BETTER else min)(measured.values())
    return frozenset(number for number, value in measured.items() if value == best)


def stage_badge(stage: str | None) -> ui.label:
    """A badge with the stage of a version."""
    return badge(stage, TONES.get(stage, "")) if stage else ui.label("–").classes("muted")


def move_buttons(view: PageView, version: ModelVersion) -> None:
    """The buttons that move a version, for those who may."""
    if not view.who.may("editor"):
        return
    name, number, stage = version.model, version.number, version.stage
    with ui.element("div").classes("row-wrap tight"):
        go = ui.button("Promote…", on_click=lambda: open_promotion(view, name, number, now=stage))
        go.props("dense flat no-caps").props["aria-label"] = f"Promote version {number}"
        if stage not in (None, ARCHIVE):
            out = ui.button("Archive…", on_click=lambda: open_archive(view, name, number))
            out.props("dense flat no-caps").props["aria-label"] = f"Archive version {number}"


class VersionTable:
    """A table of versions, the newest first, `limit` at a time."""

    def __init__(self, view: PageView, name: str, versions: Sequence[ModelVersion], limit: int) -> None:
        self.view, self.name, self.limit = view, name, limit
        self.versions = list(versions)
        self.ticked: list[int] = []
        self.cells: dict[int, tuple[ui.element, ui.element]] = {}
        if not versions:
            empty("It has no version yet: a training under this name registers one.")
            return
        known = metric_names(versions)
        with ui.element("div").classes("row-wrap tools"):
            self.metrics = ui.select(
                {metric: metric_label(metric) for metric in known},
                label="Figures",
                value=known[:FIRST_METRICS],
                multiple=True,
                on_change=self._draw,
            )
            self.metrics.props("outlined dense options-dense").classes("wide")
            self.compare = ui.button("Compare two versions", on_click=self._compare).props("outline no-caps")
            self.hint = ui.label("").classes("muted").props('aria-live="polite"')
        self.container = ui.element("div").classes("scroll whole")
        self.container.props('tabindex="0" role="region" aria-label="Versions"')
        self.older = ui.button("Older versions", on_click=self._older).props("flat no-caps")
        self.older.set_visibility(len(versions) == limit)
        self._draw()

    def update(self, newest: Sequence[ModelVersion]) -> None:
        """Update the newest versions; only what has changed is drawn."""
        fresh = {version.number: version for version in newest}
        known = {version.number: version for version in self.versions}
        self.versions = sorted((known | fresh).values(), key=lambda version: -version.number)
        if not self.cells or fresh.keys() - known.keys():
            self._draw()
            return
        for number, version in fresh.items():
            if version.stage != known[number].stage:
                self._put_stage(version)

    def _put_stage(self, version: ModelVersion) -> None:
        """Stage and buttons, which change with it."""
        stage, buttons = self.cells[version.number]
        stage.clear()
        with stage:
            stage_badge(version.stage)
            for alias in version.aliases:
                if alias != version.stage:
                    badge(f"@{alias}")
        buttons.clear()
        with buttons:
            move_buttons(self.view, version)

    def _draw(self) -> None:
        self.container.clear()
        self._tell_ticked()
        shown = list(self.metrics.value or ())
        best = {metric: best_of(self.versions, metric) for metric in shown}
        with self.container, ui.element("table").classes("plain versions"):
            with ui.element("caption"):
                ui.label("Values on the test part with intervals of 95 %; “best” of the versions shown.")
            table_head(("Compare", "Version", "Stage", "Move", *map(metric_label, shown), "Made"))
            with ui.element("tbody"):
                for version in self.versions:
                    with ui.element("tr"):
                        self._row(version, shown, best)

    def _row(self, version: ModelVersion, shown: Sequence[str], best: Mapping[str, frozenset[int]]) -> None:
        number = version.number
        with ui.element("td"):
            tick = ui.checkbox(
                value=number in self.ticked, on_change=lambda e: self._tick(number, on=e.value)
            )
            tick.props("dense").props["aria-label"] = f"Compare version {number}"
        with ui.element("th").props('scope="row"'):
            ui.link(str(number), version_page(self.name, number))
        stage = ui.element("td").classes("nowrap").props('aria-live="polite"')
        self.cells[number] = stage, ui.element("td")
        for metric in shown:
            with ui.element("td").classes("nowrap figure"):
                ui.label(str(version.metrics.get(metric, "–"))).classes("inline")
                if number in best[metric]:
                    badge("best", "good")
        with ui.element("td").classes("nowrap"):
            ui.label(
                f"{format_age(version.created)} ago"
                + (f" by {shorten(version.user)}" if version.user else "")
            )
            with ui.element("div").classes("muted"):
                if version.datasets:
                    ui.label(f"{shorten(PurePath(version.datasets[0]['name']).name, 30)}, ").classes("inline")
                if version.run_id:
                    ui.link(f"run {version.run_id[:8]}", run_page(version.run_id))
        self._put_stage(version)

    def _tick(self, number: int, *, on: bool) -> None:
        self.ticked = [n for n in self.ticked if n != number] + ([number] if on else [])
        self._tell_ticked()

    def _tell_ticked(self) -> None:
        ready = len(self.ticked) == 2
        self.compare.set_enabled(ready)
        self.hint.text = "" if ready else f"Tick two versions to compare them; {len(self.ticked)} ticked."

    def _compare(self) -> None:
        first, second = sorted(self.ticked)
        ui.navigate.to(comparison_page(self.name, first, second))

    async def _older(self) -> None:
        registry = self.view.studio.registry(self.view.who)
        versions = await asyncio.to_thread(
            registry.versions, self.name, before=self.versions[-1].number, limit=self.limit
        )
        self.versions += versions
        self.older.set_visibility(len(versions) == self.limit)
        self._draw()
