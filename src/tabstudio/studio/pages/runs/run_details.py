"""The page of one run: live while it trains, with its results afterwards."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from time import monotonic

from nicegui import ui

from tabstudio.errors import TabstudioError
from tabstudio.studio.pages.runs import evaluation_sections, files, run_sections
from tabstudio.studio.pages.runs.metric_charts import MetricCharts
from tabstudio.studio.pages.runs.run_table import RunFilter
from tabstudio.studio.pages.runs.run_text import RUN_TONES, format_duration, format_millis
from tabstudio.studio.services.runs import run_files
from tabstudio.studio.services.runs.run_details import RunDetails, read_details
from tabstudio.studio.services.runs.run_evaluation import EVALUATION_FILE, read_evaluation
from tabstudio.studio.services.runs.run_records import RunRow
from tabstudio.studio.ui.addresses import run_page
from tabstudio.studio.ui.elements import heading, markdown, problem, section, set_badge
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import LiveTable, table_markup

SHARE, LONGEST_PAUSE = 3.0, 10.0
ENVIRONMENT = "environment/environment.json"


class RunDetailsPage:
    """Builds the page of a run."""

    def __init__(self, view: PageView, run_id: str) -> None:
        self.view, self.run_id, self.runs = view, run_id, view.studio.runs
        view.soon(self._build, "40rem")

    async def _build(self) -> None:
        details = await asyncio.to_thread(read_details, self.runs, self.run_id)
        heading(details.row.name)
        self._state(details)
        self.result = ui.element("div").classes("parts")
        with section("Curves"):
            self.curves = MetricCharts(self.view, self.run_id)
        with section("Metrics", "The last value of each."):
            self.metrics = LiveTable("Metrics")
        self.models = ui.element("div").classes("parts")
        self._show_models(details)
        self.rest = ui.element("div").classes("parts")
        await self._moved(details.row)
        self.view.soon(lambda: self._results(details))
        self.view.follow(f"run:{self.run_id}", self._changed)
        self.view.follow("registry", self._registered)

    def _state(self, details: RunDetails) -> None:
        row = details.row
        with ui.element("div").classes("row-wrap state").props('aria-live="polite"'):
            self.status = ui.label("").classes("badge")
            self.took = ui.label("").classes("muted")
        with ui.element("div").classes("row-wrap muted"):
            ui.link(row.experiment, RunFilter(experiment=row.experiment_id).address())
            ui.label(f"started {format_millis(row.started)}" + (f" by {row.user}" if row.user else ""))
            if row.parent:
                ui.label("a run of")
                ui.link(details.parent_name, run_page(row.parent))
            if details.children:
                ui.link(f"{details.children:,} runs below it", RunFilter(parent=row.id).address())
            ui.label(f"id {row.id}")

    async def _changed(self) -> None:
        began = monotonic()
        row = (await asyncio.to_thread(self.runs.rows, [self.run_id]))[0]
        ended = self.row.status in ("RUNNING", "SCHEDULED") and row.status != self.row.status
        await self._moved(row)
        if ended:
            details = await asyncio.to_thread(read_details, self.runs, self.run_id)
            self._show_models(details)
            await self._results(details)
        # Curves of very many points take their time: changes meanwhile are told as one, so it is kept short.
        await asyncio.sleep(min(SHARE * (monotonic() - began), LONGEST_PAUSE))

    async def _registered(self) -> None:
        details = await asyncio.to_thread(read_details, self.runs, self.run_id)
        if details.versions != self.versions:
            self._show_models(details)

    def _show_models(self, details: RunDetails) -> None:
        self.versions = details.versions
        self.models.clear()
        with self.models:
            run_sections.models(self.view, details)

    async def _moved(self, row: RunRow) -> None:
        """Update in place what changes while a run is in progress."""
        self.row = row
        set_badge(self.status, row.status.lower(), RUN_TONES.get(row.status, ""))
        self.took.text = f"took {format_duration(row.seconds)}" if row.seconds is not None else ""
        self.metrics.show(("Metric", "Value"), list(row.metrics.items()))
        await self.curves.refresh(row.moving)

    async def _results(self, details: RunDetails) -> None:
        """Show what is in a run's files: most of it exists once the run has ended."""
        client = self.runs.client
        listed = await asyncio.to_thread(run_files.list_files, client, self.run_id)
        made_with = {}
        self.result.clear()
        with self.result:
            if listed.named(EVALUATION_FILE):
                try:
                    evaluated = await asyncio.to_thread(read_evaluation, client, self.run_id)
                except TabstudioError as error:
                    problem(str(error))
                else:
                    evaluation_sections.show_evaluation(evaluated, details.row.params)
                    made_with = dict(evaluated.environment)
        if not made_with and listed.named(ENVIRONMENT):
            text = await asyncio.to_thread(run_files.read_text, client, self.run_id, ENVIRONMENT)
            with suppress(ValueError):
                made_with = dict(json.loads(text))
        self.rest.clear()
        with self.rest:
            run_sections.commands(details)
            with ui.element("div").classes("grid"):
                run_sections.parameters(details.row.params)
                run_sections.environment(made_with)
            run_sections.data(details)
            files.show_files(self.view, self.run_id, listed)
            if details.note:
                with section("Note"):
                    markdown(details.note, "long").props('tabindex="0"')
            if details.tags:
                with section("Tags"):
                    ui.html(
                        table_markup(("Tag", "Value"), list(details.tags.items())), sanitize=False
                    ).classes("scroll")
