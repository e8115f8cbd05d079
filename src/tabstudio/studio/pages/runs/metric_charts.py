"""Curves of one run that move while it trains, a chart for each group of metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from nicegui import ui

from tabstudio.studio.services.runs.metric_curves import Points, group_metrics, metric_curves
from tabstudio.studio.ui.charts import LinePlot
from tabstudio.studio.ui.elements import empty, folded
from tabstudio.studio.ui.frame import PageView

FOLDED = ("system", "members", "references")
"""Groups that are folded at first."""
MOST_CHARTS = 24
MOST_LINES = 24
"""Lines of one chart at most; the rest stands in the table of metrics."""


class MetricCharts:
    """Charts of the metrics that have more than one point. `refresh(metrics)` moves them."""

    def __init__(self, view: PageView, run_id: str) -> None:
        self.view, self.run_id = view, run_id
        self.charts: dict[str, LinePlot] = {}
        self.opened: set[str] = set()
        self.places: dict[str, ui.element] = {}
        self.nothing = ui.label("").classes("nothing")
        self.grid = ui.element("div").classes("grid charts")
        self.more = ui.element("div")

    async def refresh(self, metrics: Sequence[str]) -> None:
        """Fetch the visible curves, and draw them in place."""
        groups = group_metrics(metrics)
        beyond = [group for group in groups if group not in FOLDED][MOST_CHARTS:]
        for group in groups:
            if group in FOLDED and group not in self.places:
                self._fold(group)
        wanted = {
            group: names
            for group, names in groups.items()
            if group in self.opened or group not in (*FOLDED, *beyond)
        }
        curves = await asyncio.to_thread(self._fetch, wanted)
        for group, series in curves.items():
            self._draw(group, series)
        self.nothing.text = "" if self.charts else "No metric has more than one point yet."
        if beyond:
            self.nothing.text = f"{len(beyond)} more measures stand in the table of metrics."
        self.nothing.set_visibility(bool(self.nothing.text))

    def _fetch(self, wanted: Mapping[str, list[str]]) -> dict[str, dict[str, Points]]:
        client = self.view.studio.runs.client
        return {
            group: {
                name: points
                for name, points in metric_curves(client, self.run_id, names[:MOST_LINES]).items()
                if len({step for step, _ in points}) > 1
            }
            for group, names in wanted.items()
        }

    def _draw(self, group: str, series: dict[str, Points]) -> None:
        short = {
            name.partition("/")[2] if group in FOLDED else name: points for name, points in series.items()
        }
        if group in self.charts:
            self.charts[group].draw(short)
        elif series:
            with self.places.get(group, self.grid):
                self.charts[group] = LinePlot(_title(group), short, x="step", height=240)

    def _fold(self, group: str) -> None:
        with self.more, folded(_title(group)) as details:
            self.places[group] = ui.element("div")

        async def turned() -> None:
            if group not in self.opened:
                self.opened.add(group)
                row = (await asyncio.to_thread(self.view.studio.runs.rows, [self.run_id]))[0]
                names = group_metrics(row.moving).get(group, [])
                for name, series in (await asyncio.to_thread(self._fetch, {group: names})).items():
                    self._draw(name, series)
                if group not in self.charts:
                    with self.places[group]:
                        empty("Nothing of it has more than one point yet.")

        details.on("toggle", turned)


def _title(group: str) -> str:
    return group.replace("_", " ").capitalize() if group.islower() else group
