"""Several runs beside each other: curves over each other, parallel coordinates, what differs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from nicegui import ui

from tabstudio.studio.pages.runs.run_table import USUAL
from tabstudio.studio.pages.runs.run_text import RUN_TONES, format_duration
from tabstudio.studio.services.runs import run_comparison
from tabstudio.studio.services.runs.metric_curves import Points, smoothed
from tabstudio.studio.services.runs.run_records import RunRow
from tabstudio.studio.ui.addresses import run_page
from tabstudio.studio.ui.charts import Chart, LinePlot, parallel
from tabstudio.studio.ui.elements import empty, section
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.slider import Slider
from tabstudio.studio.ui.tables import BadgeCell, Cell, LinkCell, LiveTable, plain_table

CURVES = ("val_loss", "train_loss", "loss", "best_val_loss")
MOST_AXES = 12


class RunComparison:
    """Builds the page of a comparison."""

    def __init__(self, view: PageView, ids: Sequence[str]) -> None:
        self.view, self.ids, self.client = view, ids, view.studio.runs.client
        view.soon(self._build, "40rem")

    async def _build(self) -> None:
        self.rows = await asyncio.to_thread(self.view.studio.runs.rows, self.ids)
        self.labels = run_comparison.run_labels(self.rows)
        with section("Runs"):
            plain_table(
                ("Run", "Status", "Experiment", "Took", "By"),
                [self._head(row) for row in self.rows],
                "Runs compared",
            )
        with section("Curves"):
            await self._curves()
        with section("Parameters and results", "Drag along an axis to pick a part of it."):
            self._coordinates()
        with section("Parameters"):
            self._differences()
        with section("Metrics", "The last value of each."):
            table = run_comparison.metric_values(self.rows)
            plain_table(
                ("Metric", *self.labels), [[name, *values] for name, values in table], "Metrics of the runs"
            )
        if any(row.status == "RUNNING" for row in self.rows):
            for row in self.rows:
                self.view.follow(f"run:{row.id}", self._draw)

    def _head(self, row: RunRow) -> list[Cell]:
        state = BadgeCell(row.status.lower(), RUN_TONES.get(row.status, ""))
        return [
            LinkCell(row.name, run_page(row.id)),
            state,
            row.experiment,
            format_duration(row.seconds),
            row.user or "–",
        ]

    # curves

    async def _curves(self) -> None:
        names = sorted({name for row in self.rows for name in row.metrics})
        if not names:
            empty("None of these runs has a metric.")
            return
        first = next((name for name in CURVES if name in names), names[0])
        with ui.element("div").classes("row-wrap tools"):
            self.metric = ui.select(names, label="Metric", value=first, with_input=True, on_change=self._draw)
            self.metric.props("outlined dense options-dense").classes("wide")
            self.log = ui.checkbox("Logarithmic", on_change=self._redraw)
            self.smooth = Slider("Smoothing", 0, 0.98, 0.02, 0, self._redraw)
        self.curves: Mapping[str, Points] = {}
        self.chart = LinePlot(str(first), {}, x="step", height=340)
        self.note = ui.label("").classes("muted").props('aria-live="polite"')
        await self._draw()

    async def _draw(self) -> None:
        metric = str(self.metric.value or "")
        if not metric:
            return
        rows = await asyncio.to_thread(self.view.studio.runs.rows, self.ids)
        curves = await asyncio.to_thread(run_comparison.compare_curves, self.client, rows, metric)
        if metric == self.metric.value:
            self.curves = curves
            self._redraw()

    def _redraw(self) -> None:
        weight = self.smooth.value
        shown = {name: smoothed(points, weight) if weight else points for name, points in self.curves.items()}
        log = bool(self.log.value)
        below = sum(value <= 0 for points in shown.values() for _, value in points) if log else 0
        if log:
            shown = {name: [point for point in points if point[1] > 0] for name, points in shown.items()}
        self.chart.title.text = str(self.metric.value)
        self.chart.draw(shown, log=log)
        missing = len(self.rows) - len(shown)
        notes = [f"{missing} of {len(self.rows)} runs have no {self.metric.value}."] if missing else []
        notes += [f"{below} points are not above zero and cannot be drawn so."] if below else []
        self.note.text = " ".join(notes)

    # parallel coordinates

    def _coordinates(self) -> None:
        changed = [f"params.{name}" for name, _ in run_comparison.parameter_differences(self.rows)]
        measured = [f"metrics.{name}" for name, _ in run_comparison.metric_values(self.rows)]
        usual = [f"metrics.{name}" for name in USUAL if f"metrics.{name}" in measured][:2]
        names = {axis: axis.partition(".")[2] for axis in (*changed, *measured)}
        axes = ui.select(
            names,
            multiple=True,
            label="Axes",
            value=[*changed[:6], *(usual or measured[:2])],
            with_input=True,
        )
        axes.props("outlined dense use-chips options-dense").classes("growing")
        chart = ui.element("div")

        def draw() -> None:
            chosen = list(axes.value or [])[:MOST_AXES]
            chart.clear()
            with chart:
                if len(chosen) < 2:
                    empty("Choose two axes or more.")
                    return
                shown = [names[axis] for axis in chosen]
                self.axes_chart: Chart = parallel(
                    "One line is one run", shown, self.labels, run_comparison.coordinates(self.rows, chosen)
                )

        axes.on_value_change(draw)
        draw()

    # parameters

    def _differences(self) -> None:
        everything = ui.checkbox("Also those that are equal")
        table = LiveTable("Parameters")

        def draw() -> None:
            parameters = run_comparison.parameter_differences(self.rows, everything=bool(everything.value))
            rows: list[list[Cell]] = [[name, *values] for name, values in parameters]
            caption = f"{len(rows)} parameters" + ("" if everything.value else " that differ")
            table.show(("Parameter", *self.labels), rows, caption, nothing="No parameter differs.")

        everything.on_value_change(draw)
        draw()
