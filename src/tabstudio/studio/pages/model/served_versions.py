"""The services of a model, and the traffic of its versions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from nicegui import ui

from tabstudio.report.text_format import format_value
from tabstudio.studio.services.deployments import ServedVersion, all_served_versions, served_name
from tabstudio.studio.services.service_metrics import ServiceRates, format_latency
from tabstudio.studio.services.traffic import BINS, ModelTraffic
from tabstudio.studio.ui.addresses import service_page
from tabstudio.studio.ui.charts import BarPlot, LinePlot
from tabstudio.studio.ui.elements import section
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.links import version_link
from tabstudio.studio.ui.tables import Cell, LinkCell, LiveTable

PERIODS = {1: "the last hour", 24: "the last day", 168: "the last week"}
QUANTILES = ("5 %", "25 %", "median", "75 %", "95 %")
HEADERS = (
    "Service",
    "Version",
    "Role",
    "Requests",
    "Refused",
    "Failed",
    "Median latency",
    "Slowest twentieth",
)
TRAFFIC_HEADERS = ("Version", "Rows", "Labels that came later", "By these labels")
AXIS = "minutes before now"


class ModelServing:
    """The services that answer with this model, and its traffic from the prediction log."""

    def __init__(self, view: PageView, name: str) -> None:
        self.view, self.name = view, name
        with section("Served"):
            with ui.element("div").classes("row-wrap tools"):
                if view.who.may("editor"):
                    start = ui.button("Serve it…", on_click=self._serve).props("outline no-caps")
                    start.props["aria-label"] = f"Start a service with {name}"
            self.table = LiveTable("Services")
            view.soon(self.refresh, "4rem")
        view.follow("deployments", self.refresh)
        with section(
            "Traffic", "Every prediction that was answered, as the prediction log of this folder keeps it."
        ):
            TrafficCharts(view, served_name(name))

    async def refresh(self) -> None:
        """Update the services."""
        rows = await asyncio.to_thread(_served, self.view, self.name)
        self.table.show(
            HEADERS,
            rows,
            "Counted by each service since it started",
            nothing="No running service answers with this model.",
        )

    def _serve(self) -> None:
        from tabstudio.studio.pages.deployments.start_dialog import StartServiceDialog

        StartServiceDialog(self.view, self.name)


class TrafficCharts:
    """Charts of the traffic within a period, updated as predictions come."""

    def __init__(self, view: PageView, served: str) -> None:
        self.view, self.served = view, served
        with ui.element("div").classes("row-wrap tools"):
            self.period = ui.select(PERIODS, label="Period", value=1, on_change=self.refresh)
            self.period.props("outlined dense options-dense").classes("wide")
        self.table = LiveTable("Traffic by version")
        with ui.element("div").classes("grid charts") as self.charts:
            self.requests = LinePlot("Requests per minute", {}, x=AXIS, height=240)
            self.answers = BarPlot("Answers", [], {}, height=240)
            self.scores = BarPlot("Probability of the answer", [], {}, height=240)
        view.soon(self.refresh, "4rem")
        view.follow("traffic", self.refresh)

    async def refresh(self) -> None:
        """Update the traffic."""
        hours = float(self.period.value)
        traffic = await asyncio.to_thread(self.view.studio.traffic.find, self.served, hours)
        nothing = f"Nothing was asked in {PERIODS[int(hours)]}."
        self.table.show(TRAFFIC_HEADERS, _traffic_rows(traffic), nothing=nothing)
        self.charts.set_visibility(bool(traffic.rows))
        if traffic.rows:
            self._draw(traffic)

    def _draw(self, traffic: ModelTraffic) -> None:
        self.requests.draw(traffic.requests, span=(-60 * traffic.hours, 0))
        if traffic.values:
            self.answers.draw(QUANTILES, traffic.values, "answer")
        else:
            self.answers.draw(*_counted(traffic.classes), "rows")
        self.scores.show(bool(traffic.scores))
        parts = [f"{index / BINS:.2f}" for index in range(BINS)]
        self.scores.draw(parts, traffic.scores, "share of rows")


def _counted(classes: Mapping[str, Mapping[str, int]]) -> tuple[list[str], dict[str, list[float]]]:
    """Return the labels of all versions, and the rows of each version by label."""
    labels = list(dict.fromkeys(label for counts in classes.values() for label in counts))
    return labels, {name: [counts.get(label, 0) for label in labels] for name, counts in classes.items()}


def _traffic_rows(traffic: ModelTraffic) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = []
    for name, count in traffic.rows.items():
        labels, score = traffic.labelled.get(name, (0, 0.0))
        quality = f"mean error {format_value(score)}" if traffic.values else f"{score:.1%} right"
        rows.append((name, count, labels, quality if labels else None))
    return rows


def _served(view: PageView, name: str) -> list[list[Cell]]:
    served = served_name(name)
    lanes = [lane for lane in all_served_versions(view.studio) if lane.model == served]
    return [
        _service_row(name, lane, view.studio.service_metrics.totals(lane.service, served)) for lane in lanes
    ]


def _service_row(model: str, lane: ServedVersion, total: ServiceRates | None) -> list[Cell]:
    version = version_link(model, lane.version)
    role = lane.role if lane.share is None else f"{lane.role}, {lane.share:.0%}"
    counted: list[Cell] = [None] * 5
    if total is not None and lane.role == "live":  # a service counts by model, not by version
        latencies = (format_latency(total.p50), format_latency(total.p95))
        counted = [int(total.asked), int(total.refused), int(total.failed), *latencies]
    return [LinkCell(lane.service, service_page(lane.service)), version, role, *counted]
