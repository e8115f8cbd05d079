"""Jobs and runs in progress: curves, progress, load of their processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nicegui import ui

from tabstudio.report.text_format import format_age, format_size
from tabstudio.studio.pages.jobs.job_text import (
    JOB_TONES,
    curve_axis,
    curve_title,
    loss_curves,
    progress_text,
)
from tabstudio.studio.services.activity import RunInProgress, runs_in_progress
from tabstudio.studio.services.jobs import StudioJob
from tabstudio.studio.ui.addresses import job_page, run_page
from tabstudio.studio.ui.charts import LinePlot
from tabstudio.studio.ui.elements import badge, empty, set_badge
from tabstudio.studio.ui.frame import PageView

JOBS = 20
HEIGHT = 170


class InProgress:
    """A card for each; cards stay in place while they are updated."""

    def __init__(self, view: PageView) -> None:
        self.view = view
        self.shown: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self.jobs: dict[str, JobCard] = {}
        self.runs: dict[str, RunCard] = {}
        self.leaving: list[Callable[[], None]] = []
        self.container = ui.element("div").classes("cards")
        view.soon(self._begin, "6rem")

    async def _begin(self) -> None:
        await self.refresh()
        self.view.follow("jobs", self.refresh)
        self.view.follow("runs", self.refresh)
        self.view.follow("system", self._measure)

    async def refresh(self) -> None:
        """Update the cards."""
        jobs, others = await asyncio.to_thread(self._fetch)
        ids = tuple(job.id for job in jobs), tuple(one.row.id for one in others)
        if ids != self.shown:
            self.shown = ids
            self._build(jobs, others)
        for job in jobs:
            self.jobs[job.id].show(job)
        for one in others:
            self.runs[one.row.id].show(one)

    def _fetch(self) -> tuple[list[StudioJob], list[RunInProgress]]:
        jobs = self.view.studio.jobs.list(JOBS)
        others = runs_in_progress(self.view.studio, jobs)
        working = [job for job in jobs if job.going]
        for job in working:
            self.view.studio.system_metrics.sample(str(job.pid))
        return working, others

    def _build(self, jobs: list[StudioJob], others: list[RunInProgress]) -> None:
        self.container.clear()
        for leave in self.leaving:
            leave()
        self.leaving = [self.view.follow(f"run:{one.row.id}", self.refresh) for one in others]
        with self.container:
            self.jobs = {job.id: JobCard(self.view, job) for job in jobs}
            self.runs = {one.row.id: RunCard(one) for one in others}
            if not jobs and not others:
                empty("Nothing is being trained.")

    async def _measure(self) -> None:
        pids = {card.job.pid for card in self.jobs.values()}
        await asyncio.to_thread(lambda: [self.view.studio.system_metrics.sample(str(pid)) for pid in pids])
        for card in self.jobs.values():
            card.measure()


class JobCard:
    """A training that was started from the studio."""

    def __init__(self, view: PageView, job: StudioJob) -> None:
        self.view, self.job = view, job
        with ui.element("article").classes("card"):
            with ui.element("div").classes("row-wrap"):
                ui.link(job.title, job_page(job.id)).classes("strong")
                self.state = badge(job.state, JOB_TONES[job.state])
            self.where = ui.label("").classes("muted")
            self.bar = ui.linear_progress(0, show_value=False)
            self.bar.classes("share").props["aria-label"] = f"Share of {job.title} that is done"
            self.chart = LinePlot(
                curve_title(job), loss_curves(job.progress), x=curve_axis(job), height=HEIGHT
            )
            self.load = ui.label("").classes("muted")

    def show(self, job: StudioJob) -> None:
        """Show the progress of the job."""
        if job.progress.last_line_at != self.job.progress.last_line_at:
            self.chart.draw(loss_curves(job.progress))
        self.job = job
        set_badge(self.state, job.state, JOB_TONES[job.state])
        self.where.text = progress_text(job)
        self.bar.value = job.progress.share or 0.0
        self.bar.props["indeterminate"] = job.progress.seconds_left is None
        self.measure()

    def measure(self) -> None:
        """Show the load of its process."""
        load = self.view.studio.system_metrics.load(self.job.pid)
        by = f"started by {self.job.actor}"
        usage = "" if load is None else f"{load.cpu:.0f} % of a core · {format_size(load.memory)} · "
        self.load.text = f"{usage}{by}"


class RunCard:
    """A run of MLflow's that the studio has not started."""

    def __init__(self, one: RunInProgress) -> None:
        with ui.element("article").classes("card"):
            with ui.element("div").classes("row-wrap"):
                ui.link(one.row.name, run_page(one.row.id)).classes("strong")
                badge("running", "info")
            self.where = ui.label("").classes("muted")
            self.chart = LinePlot("What it measures", one.curves, x="step", height=HEIGHT)
            self.points = {name: len(curve) for name, curve in one.curves.items()}

    def show(self, one: RunInProgress) -> None:
        """Show the progress of the run."""
        by = f" by {one.row.user}" if one.row.user else ""
        self.where.text = f"in {one.row.experiment}, for {format_age(one.row.started or 0)}{by}"
        points = {name: len(curve) for name, curve in one.curves.items()}
        if points != self.points:
            self.points = points
            self.chart.draw(one.curves)
