"""The page of a job: curves, remaining time, load of its process, result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from nicegui import ui

from tabstudio.errors import TabstudioError
from tabstudio.evaluation.evaluation_result import NAMES
from tabstudio.report.text_format import format_size, format_time, shorten
from tabstudio.studio.pages.jobs.job_text import (
    JOB_TONES,
    curve_axis,
    curve_title,
    loss_curves,
    progress_text,
)
from tabstudio.studio.pages.runs.run_text import format_duration
from tabstudio.studio.services.jobs import StudioJob
from tabstudio.studio.services.jobs.diary import JobStep
from tabstudio.studio.ui.addresses import job_page, run_page, table_page, version_page
from tabstudio.studio.ui.charts import LinePlot
from tabstudio.studio.ui.copy_button import copyable_command
from tabstudio.studio.ui.dialogs import ConfirmDialog
from tabstudio.studio.ui.elements import facts, folded, heading, problem, section, set_badge
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import format_number

LINES = 300
"""Lines of a process's own output that are shown."""
_FIRST = ("roc_auc", "pr_auc", "accuracy", "f1", "r2", "rmse", "mae", "log_loss")


class JobPage:
    """The page of one job; it follows its diary until it has ended."""

    def __init__(self, view: PageView, job: StudioJob) -> None:
        self.view, self.job = view, job
        self.steps = 0
        self._head()
        with ui.element("div").classes("grid wide-first"):
            with section("Course"):
                self.chart = LinePlot(
                    curve_title(job), loss_curves(job.progress), x=curve_axis(job), height=300
                )
            with section("State"):
                self._now()
        self.outcome = ui.element("div")
        with section("Steps"):
            self.list = ui.element("ol").classes("timeline").props('aria-live="polite"')
        with section("The same on the command line"):
            copyable_command(job.command)
        with section("Output of its process"):
            self.output = ui.label("").classes("code log").props('tabindex="0"')
        self._show(job)
        view.follow(f"job:{job.id}", self.refresh)
        if job.going:
            view.follow(f"system:{job.pid}", self._measure)
        view.soon(self._read_output, "2rem")

    def _head(self) -> None:
        job = self.job
        what = "Training of" if job.kind == "train" else "Search for"
        heading(f"{what} {job.request['name']}")
        with ui.element("p").classes("muted under"):
            ui.label(f"{job.request['target']} of ").classes("inline")
            ui.link(job.request["file"], table_page(job.request["file"]))
            ui.label(f", started by {job.actor}, {format_time(job.started)} UTC").classes("inline")

    def _now(self) -> None:
        with ui.element("div").classes("row-wrap"):
            self.state = ui.label("").classes("badge")
            self.where = ui.label("").props('aria-live="polite"')
        self.bar = ui.linear_progress(0, show_value=False).props('aria-label="Share that is done"')
        self.bar.classes("share")
        self.facts = facts(dict.fromkeys(("Time", "Rows a second", "CPU", "Memory"), "–"), "two")
        with ui.element("div").classes("row-wrap tools"):
            self.stop = ui.button("Stop", on_click=self._ask_to_stop).props("outline no-caps color=negative")
            self.go_on = ui.button("Go on where it stopped", on_click=lambda: self._again(resume=True))
            self.again = ui.button("Start again", on_click=lambda: self._again(resume=False))
            self.best = ui.button("Train with the best options", on_click=self._train_the_best)
            for button in (self.go_on, self.again, self.best):
                button.props("outline no-caps")

    async def refresh(self) -> None:
        """Update the page in place."""
        ended = not self.job.going
        self._show(await asyncio.to_thread(self.view.studio.jobs.find, self.job.id))
        if not ended and not self.job.going:
            await self._read_output()

    def _show(self, job: StudioJob) -> None:
        self.job, progress = job, job.progress
        set_badge(self.state, job.state, JOB_TONES[job.state])
        self.where.text = progress_text(job)
        self.bar.value = progress.share or 0.0
        self.bar.props["indeterminate"] = (
            progress.seconds_left is None
        )  # nobody knows: it reads, or evaluates
        self.bar.set_visibility(job.going)
        spent = (progress.ended_at or time.time()) - progress.began if progress.began else 0.0
        self.facts["Time"].text = format_duration(spent)
        self.facts["Rows a second"].text = format_number(round(progress.rows_per_second))
        self.stop.set_visibility(job.state == "running")
        self.again.set_visibility(not job.going)
        self.best.set_visibility(bool(progress.result.get("best")))
        self.go_on.set_visibility(job.kind == "train" and job.state in ("stopped", "died"))
        self.chart.draw(loss_curves(progress))
        for step in progress.steps[self.steps :]:
            self._step(step)
        self.steps = len(progress.steps)
        self._outcome(job)
        self._measure()

    def _measure(self) -> None:
        load = self.view.studio.system_metrics.load(self.job.pid) if self.job.going else None
        self.facts["CPU"].text = "–" if load is None else f"{load.cpu:.0f} %"
        self.facts["Memory"].text = "–" if load is None else format_size(load.memory)

    def _step(self, step: JobStep) -> None:
        with self.list, ui.element("li").classes("entry"):
            ui.label(datetime.fromtimestamp(step.at, UTC).strftime("%H:%M:%S")).classes("muted")
            ui.label(f"{'Warning: ' if step.warning else ''}{step.title}").classes("why strong")
            for line in step.lines:
                ui.label(line).classes("why muted")

    def _outcome(self, job: StudioJob) -> None:
        if job.going or list(self.outcome):
            return
        with self.outcome:
            if job.state == "failed":
                problem(job.progress.error)
            elif job.progress.result:
                self._result(job)
            elif job.progress.run_id:
                with section("What it left"):
                    ui.link("Its run in MLflow", run_page(job.progress.run_id))

    def _result(self, job: StudioJob) -> None:
        result = job.progress.result
        with section("Result", "" if not result["partial"] else "Partial: it was stopped before its end."):
            with ui.element("div").classes("row-wrap tools"):
                if result["version"]:
                    name, version = result["name"], result["version"]
                    ui.link(f"{name} version {version}", version_page(name, version)).classes("strong")
                if result["run_id"]:
                    ui.link("Its run: curves, evaluation, files", run_page(result["run_id"]))
                if result["waiting"]:
                    problem(f"MLflow has not got everything yet: {result['waiting']}")
            if figures := result.get("figures"):
                facts(dict(_figure(name, *figures[name]) for name in _FIRST if name in figures))
            with folded("All that it told"):
                ui.label(result["text"]).classes("code log").props('tabindex="0"')

    async def _read_output(self) -> None:
        lines = await asyncio.to_thread(self.view.studio.jobs.output, self.job.id, LINES)
        self.output.text = "\n".join(lines) or "Nothing: all that it has to say stands above."

    def _ask_to_stop(self) -> None:
        ConfirmDialog(
            "Stop this training?" if self.job.kind == "train" else "Stop this search?",
            "Stop",
            lambda _: self.view.studio.jobs.stop(self.view.who, self.job.id) and None,
            text="What it has reached is kept and tracked in MLflow, but not registered.",
            reason=False,
            danger=True,
        ).open()

    async def _again(self, *, resume: bool) -> None:
        await self._start(lambda: self.view.studio.jobs.again(self.view.who, self.job.id, resume=resume))

    async def _train_the_best(self) -> None:
        request, best = self.job.request, self.job.progress.result["best"]
        start = partial(
            self.view.studio.jobs.start, self.view.who, "train", request["file"], request["target"]
        )
        await self._start(lambda: start(best, model=request["name"]))

    async def _start(self, start: Callable[[], StudioJob]) -> None:
        try:
            job = await asyncio.to_thread(start)
        except TabstudioError as error:
            ui.notify(shorten(error, 300), type="negative", multi_line=True)
            return
        ui.navigate.to(job_page(job.id))


def _figure(name: str, value: float, low: float | None, high: float | None) -> tuple[str, str]:
    interval = "" if low is None else f", {format_number(low, 3)} to {format_number(high, 3)}"
    return f"{NAMES[name]}{interval}", format_number(value)
