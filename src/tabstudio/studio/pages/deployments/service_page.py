"""The page of one service: state, served versions, load, log, and a form to try it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.report.text_format import format_time
from tabstudio.serving.deployments import Deployment
from tabstudio.studio.pages.deployments.prediction_form import ServiceForm
from tabstudio.studio.pages.deployments.service_actions import STATE_TONES, service_buttons, web_link
from tabstudio.studio.services import deployments
from tabstudio.studio.services.service_metrics import (
    KEPT_SAMPLES,
    SECONDS,
    MetricSample,
    ServiceRates,
    format_latency,
)
from tabstudio.studio.ui.addresses import model_page
from tabstudio.studio.ui.charts import LinePlot
from tabstudio.studio.ui.elements import badge, facts, heading, section
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.links import version_link
from tabstudio.studio.ui.tables import Cell, LinkCell, format_number, plain_table

LOG_LINES = 200
AXIS = "seconds before now"
SPAN = (-KEPT_SAMPLES * SECONDS, 0.0)


class ServicePage:
    """Builds the page of a service."""

    def __init__(self, view: PageView, name: str) -> None:
        self.view, self.name = view, name
        heading(name, "A service that answers with models of the registry.")
        self.shown: Deployment | None = None
        self.answering: frozenset[tuple[str, str, str]] = frozenset()
        self.contract: object = None
        with ui.element("p"):
            ui.link("All services", "/deployments")
        view.soon(self._build, "30rem")

    async def _build(self) -> None:
        service = await self._find()
        with section("State"):
            self.state = ui.element("div").props('aria-live="polite"')
            self.lanes = ui.element("div")
        with section(
            "Load",
            "Predictions that it was asked for, as it counts them itself; followed while this page is open.",
        ):
            self.load = ServiceLoad(self.view, self.name)
        self.trying = ui.element("div")
        with section("Log", f"The last {LOG_LINES} lines."):
            self.log = ui.label("").classes("code log").props('tabindex="0" role="log" aria-label="Log"')
        await self._show(service)
        await self._show_log()
        self.view.follow("deployments", self._changed)
        self.view.follow(f"log:{self.name}", self._show_log)
        self.view.follow(f"service:{self.name}", self._swapped)

    async def _find(self) -> Deployment:
        return await asyncio.to_thread(self.view.studio.deployments.find, self.name)

    async def _changed(self) -> None:
        try:
            await self._show(await self._find())
        except ConfigError:
            self.state.clear()
            with self.state:
                ui.label("It was removed.").classes("nothing")
            self.lanes.clear()
            self.trying.clear()

    async def _show(self, service: Deployment) -> None:
        if service == self.shown:
            return
        changed = self.shown is None or self.shown.url != service.url or self.shown.state != service.state
        self.shown = service
        self.state.clear()
        with self.state:
            self._show_state(service)
        if changed:
            await self._show_contents(service)

    def _show_state(self, service: Deployment) -> None:
        with ui.element("div").classes("row-wrap tools"):
            badge(service.state, STATE_TONES[service.state])
            if service.url:
                web_link(service.url, service.url)
                web_link("Swagger", f"{service.url}/docs")
                web_link("Metrics", f"{service.url}/metrics")
            ui.label(f"since {format_time(service.changed)} UTC").classes("muted")
            service_buttons(self.view, service)
        if service.state == "died":
            ui.label("Its process ended without being asked to; the log below may say why.").classes(
                "problem"
            )
        ui.label("tabstudio serve " + " ".join(service.words)).classes("code")

    async def _swapped(self) -> None:
        """Update the served versions where others answer now."""
        samples = self.view.studio.service_metrics.samples(self.name)
        if samples and self.answering and samples[-1].lanes != self.answering:
            await self._show_contents(await self._find())

    async def _show_contents(self, service: Deployment) -> None:
        """Show the served versions and the prediction form, both asked of the service."""
        lanes: list[deployments.ServedVersion] = []
        schemas: dict[str, dict[str, object]] = {}
        problem = ""
        if service.state == "running":
            try:
                lanes = await asyncio.to_thread(deployments.served_versions, service)
                schemas = await asyncio.to_thread(deployments.row_schemas, service)
            except TabstudioError as error:
                problem = str(error)
        self.answering = frozenset((lane.model, lane.role, lane.version) for lane in lanes)
        self.lanes.clear()
        with self.lanes:
            if problem:
                ui.label(problem).classes("note warning")
            if lanes:
                plain_table(
                    ("Model", "Version", "Role", "Share"),
                    [_lane(service, lane) for lane in lanes],
                    "It answers with",
                )
        self._offer(service, schemas)

    def _offer(self, service: Deployment, schemas: dict[str, dict[str, object]]) -> None:
        """Show the form; its values stay while the contract stays the same."""
        contract = (service.url, {name: _kinds(schema) for name, schema in schemas.items()})
        if contract == self.contract:
            return
        self.contract = contract
        self.trying.clear()
        if schemas:
            with self.trying, section("Try a prediction", "Answered, logged and counted like any other."):
                ServiceForm(self.view, service, schemas)

    async def _show_log(self) -> None:
        if self.shown is not None:
            tail = await asyncio.to_thread(deployments.log_tail, self.shown, LOG_LINES)
            self.log.text = tail or "It has said nothing yet."


class ServiceLoad:
    """Requests, errors and latency of a service, drawn as they change."""

    def __init__(self, view: PageView, name: str) -> None:
        self.view, self.name = view, name
        self.figures = facts(_figures([], []))
        with ui.element("div").classes("grid charts"):
            self.rates = LinePlot("Requests per second", self._rates([]), x=AXIS, span=SPAN, height=220)
            self.latency = LinePlot(
                "Latency in milliseconds", self._latency([]), x=AXIS, span=SPAN, height=220
            )
        view.follow(f"service:{name}", self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Draw the last samples."""
        metrics = self.view.studio.service_metrics
        samples, readings = metrics.samples(self.name), metrics.readings(self.name)
        for name, value in _figures(samples, readings).items():
            self.figures[name].text = value
        self.rates.draw(self._rates(readings))
        self.latency.draw(self._latency(readings))

    def _rates(self, readings: Sequence[ServiceRates]) -> dict[str, list[tuple[float, float]]]:
        now = time.time()
        return {
            "asked": [(round(one.at - now, 1), one.asked) for one in readings],
            "refused": [(round(one.at - now, 1), one.refused) for one in readings],
            "failed": [(round(one.at - now, 1), one.failed) for one in readings],
        }

    def _latency(self, readings: Sequence[ServiceRates]) -> dict[str, list[tuple[float, float]]]:
        now = time.time()
        return {
            "median": [(round(one.at - now, 1), one.p50) for one in readings if one.p50 is not None],
            "95 % are faster": [(round(one.at - now, 1), one.p95) for one in readings if one.p95 is not None],
        }


def _figures(samples: Sequence[MetricSample], readings: Sequence[ServiceRates]) -> dict[str, str]:
    last = readings[-1] if readings else None
    return {
        "Requests per second": format_number(last and last.asked, 3),
        "Median latency": format_latency(last and last.p50),
        "Slowest twentieth": format_latency(last and last.p95),
        "Refused per second": format_number(last and last.refused, 3),
        "Failed per second": format_number(last and last.failed, 3),
        "Requests in all": format_number(int(samples[-1].asked) if samples else None),
    }


def _kinds(schema: dict[str, Any]) -> dict[str, object]:
    return {name: kind.get("type") for name, kind in schema["properties"].items()}


def _lane(service: Deployment, lane: deployments.ServedVersion) -> list[Cell]:
    model = deployments.registered_model(service, lane.model)
    share = None if lane.share is None else f"{lane.share:.0%}"
    return [LinkCell(model, model_page(model)), version_link(model, lane.version), lane.role, share]
