"""The page of one table: its schema to be corrected, findings, charts, and the training form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import background_tasks, ui

from tabstudio.errors import TabstudioError
from tabstudio.report.text_format import format_size
from tabstudio.studio.pages.data.column_table import ColumnTable
from tabstudio.studio.pages.data.findings import show_findings
from tabstudio.studio.pages.data.read_options import ReadOptionsForm
from tabstudio.studio.pages.data.table_charts import draw_table_charts
from tabstudio.studio.pages.data.table_choices import TableChoices
from tabstudio.studio.pages.data.training_form import TrainingForm
from tabstudio.studio.services.tables.preview_types import ChartsPreview, FindingPreview, SchemaPreview
from tabstudio.studio.services.tables.previews import PreviewPart, TablePreview
from tabstudio.studio.ui.elements import heading, problem, section
from tabstudio.studio.ui.frame import PageView


class TablePage:
    """A choice that changes how the table is read is followed by another preview, in place."""

    def __init__(self, view: PageView, name: str, target: str, read: str) -> None:
        self.view = view
        self.choices = TableChoices.of(name, target, read)
        self.turn = 0
        heading(name)
        with ui.element("p").classes("muted under"):
            self.about = ui.label("Reading …").props('aria-live="polite"').classes("inline")
        self.wrong = ui.element("div").classes("wrong")
        with ui.element("div").classes("grid wide-first"):
            with ui.element("div"):
                with section("What to predict"):
                    self.reading = ReadOptionsForm(self.choices, self.changed)
                with section("Train a model"):
                    self.training = TrainingForm(view, self.choices)
            with section("What to mind"):
                self.findings = ui.element("div").classes("scroll findings")
                self.findings.props('tabindex="0" role="region" aria-label="What to mind"')
        with section("Columns", "Each guess with its reason; what is wrong can be corrected here."):
            self.columns = ColumnTable(self.choices, self.changed)
        self.charts = ui.element("div")
        background_tasks.create(self._look(), name="preview of a table")

    def changed(self) -> None:
        """Preview the table as chosen."""
        ui.navigate.history.replace(self.choices.address)
        background_tasks.create(self._look(), name="preview of a table")

    async def _look(self) -> None:
        self.turn += 1
        turn = self.turn
        self.about.text = "Reading …"
        self.wrong.clear()
        try:
            look = await self.view.studio.previews.open(
                self.choices.table, self.choices.target or None, self.choices.options
            )
            await self._part(turn, look, "schema", self._schema)
            await self._part(turn, look, "findings", self._findings)
            await self._part(turn, look, "charts", self._charts)
        except TabstudioError as error:
            if turn == self.turn and not self.view.client.is_deleted:
                self._fail(str(error))

    async def _part(
        self, turn: int, look: TablePreview, name: PreviewPart, show: Callable[[Any], None]
    ) -> None:
        part = await look.part(name)
        if (
            turn == self.turn and not self.view.client.is_deleted
        ):  # nobody has chosen something else meanwhile
            show(part)

    def _fail(self, text: str) -> None:
        self.about.text = "It could not be read as chosen."
        with self.wrong:
            problem(text)
            if self.choices.options or self.choices.target:
                ui.button("Take the choices back", on_click=self._reset).props("outline no-caps")

    def _reset(self) -> None:
        self.choices.options.clear()
        self.choices.target = ""
        self.changed()

    def _schema(self, part: SchemaPreview) -> None:
        facts = [
            f"{part['rows']:,} rows",
            f"{len(part['columns']):,} columns",
            format_size(part["bytes"] or 0),
        ]
        if part["format"] == "text":
            facts += [f"separated by {_named(part['separator'] or '')}", part["encoding"] or ""]
        self.about.text = " · ".join(facts)
        self.reading.show(part)
        self.columns.show(part)
        self.training.show(part)

    def _findings(self, part: dict[str, list[FindingPreview]]) -> None:
        self.findings.clear()
        with self.findings:
            show_findings(part["findings"], self.choices, self.changed, self.training.group_by)

    def _charts(self, part: ChartsPreview) -> None:
        self.charts.clear()
        with self.charts:
            draw_table_charts(part, self.choices.target)


def _named(separator: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}.get(
        separator, repr(separator)
    )
