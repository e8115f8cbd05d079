"""The page of one version: metrics, data, gates and model card."""

from __future__ import annotations

import asyncio

from nicegui import ui

from tabstudio.registry.catalog import metric_names
from tabstudio.registry.records import ModelVersion
from tabstudio.registry.version_card import card
from tabstudio.report.text_format import format_age, format_size
from tabstudio.studio import lifecycle
from tabstudio.studio.pages.model.promotion_dialog import HEADERS, gate_rows
from tabstudio.studio.pages.model.version_table import metric_label, move_buttons, stage_badge
from tabstudio.studio.ui.addresses import model_page, run_page
from tabstudio.studio.ui.elements import facts, heading, markdown, section
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import Cell, LinkCell, plain_table

FACTS = 4


class VersionPage:
    """Builds the page of a version."""

    def __init__(self, view: PageView, name: str, number: int) -> None:
        self.view, self.name, self.number = view, name, number
        self.registry = view.studio.registry(view.who)
        heading(f"{name}, version {number}")
        with ui.element("p"):
            ui.link("All versions", model_page(name))
        view.soon(self._build, "30rem")

    async def _build(self) -> None:
        version = await asyncio.to_thread(self.registry.version, self.name, self.number)
        with section("Result"):
            self.stage = ui.element("div").classes("row-wrap tools").props('aria-live="polite"')
            self._show(version)
            facts({metric_label(m): version.metrics[m] for m in metric_names([version])[:FACTS]})
        with ui.element("div").classes("grid"):
            with section("About"):
                plain_table(("", ""), list(_about(version).items()), "What it is")
            with section("Figures"):
                rows: list[list[Cell]] = [[metric_label(m), str(v)] for m, v in version.metrics.items()]
                plain_table(("Figure", "Value with interval of 95 %"), rows, "All figures of its run")
        with section("Gates", "What a stage would ask of this version. Nothing is moved."):
            self._gates()
        with section("Model card"):
            self.view.soon(self._card)
        self.view.follow("registry", self._changed)

    def _show(self, version: ModelVersion) -> None:
        self.stage.clear()
        with self.stage:
            stage_badge(version.stage)
            move_buttons(self.view, version)

    async def _changed(self) -> None:
        self._show(await asyncio.to_thread(self.registry.version, self.name, self.number))

    def _gates(self) -> None:
        stages = [stage.name for stage in self.registry.rules.stages]
        with ui.element("div").classes("row-wrap tools"):
            stage = ui.select(stages, label="Stage", value=stages[0])
            stage.props("outlined dense options-dense").classes("wide")
            button = ui.button("Judge", on_click=lambda: judge()).props("outline no-caps")
        results_place = ui.element("div").props('aria-live="polite"')

        async def judge() -> None:
            to = str(stage.value)
            button.props("loading")
            try:
                results = await asyncio.to_thread(
                    lifecycle.judge, self.view.studio, self.view.who, self.name, self.number, to
                )
            finally:
                button.props(remove="loading")
            results_place.clear()
            with results_place:
                failed = sum(not result.passed for result in results)
                verdict = f"{failed} of {len(results)} gates did not pass" if failed else "all gates pass"
                plain_table(
                    HEADERS,
                    gate_rows(results),
                    f"Before {to}: {verdict}; gates from {self.registry.rules.source}",
                )

    async def _card(self) -> None:
        places = {"tracking_uri": self.registry.tracking_uri, "registry_uri": self.registry.registry_uri}
        address = f"models:/{self.name}/{self.number}"
        version_card = await asyncio.to_thread(lambda: card(address, **places))
        markdown(version_card.text)


def _about(version: ModelVersion) -> dict[str, Cell]:
    data = "; ".join(
        " ".join(
            part for part in (d["name"], f"({d['context']})" if d.get("context") else "", d["digest"]) if part
        )
        for d in version.datasets
    )
    return {
        "Made": f"{format_age(version.created)} ago" + (f" by {version.user}" if version.user else ""),
        "Run": LinkCell(version.run_id, run_page(version.run_id)) if version.run_id else None,
        "Data": data or None,
        "Size": format_size(version.size) if version.size is not None else None,
        "Address": version.address,
        "Aliases": ", ".join(f"@{alias}" for alias in version.aliases) or None,
    }
