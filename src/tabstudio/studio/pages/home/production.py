"""The models in production: services, requests, integrity of their history."""

from __future__ import annotations

import asyncio

from tabstudio.report.text_format import format_time
from tabstudio.studio.services.activity import ProductionHealth, ProductionMonitor
from tabstudio.studio.ui.addresses import model_page, service_page, version_page
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import BadgeCell, Cell, LinkCell, LiveTable

TRAFFIC_SECONDS = 10.0
"""Age that the numbers may have while predictions come."""
HEADERS = ("Model", "Version", "Since (UTC)", "Served by", "Failed", "Last hour", "History")


class ProductionTable:
    """Updated when a stage changes, a service starts or ends, or predictions are logged."""

    def __init__(self, view: PageView, healths: ProductionMonitor) -> None:
        self.view, self.healths = view, healths
        self.table = LiveTable("Models in production")
        view.soon(self._begin, "5rem")

    async def _begin(self) -> None:
        await self.refresh()
        for topic in ("registry", "deployments"):
            self.view.follow(topic, self.refresh)
        self.view.follow("traffic", lambda: self.refresh(older=TRAFFIC_SECONDS))

    async def refresh(self, older: float = 0.0) -> None:
        """Update the table; histories are verified after the rest is shown."""
        models = await asyncio.to_thread(self.healths.all, self.view.who, older)
        self._show(models)
        if any(health.whole is None for health in models):
            who = self.view.who
            self._show([await asyncio.to_thread(self.healths.verified, who, health) for health in models])

    def _show(self, models: list[ProductionHealth]) -> None:
        rows = [_health_row(health) for health in models]
        self.table.show(
            HEADERS, rows, nothing="No version is in production yet: promote one on the Monitor page."
        )


def _health_row(health: ProductionHealth) -> tuple[Cell, ...]:
    served: Cell = (
        tuple(LinkCell(name, service_page(name)) for name in health.served)
        if health.served
        else BadgeCell("by no service", "warning")
    )
    return (
        LinkCell(health.model, model_page(health.model)),
        LinkCell(f"version {health.version}", version_page(health.model, health.version)),
        f"{format_time(health.since)[:16]} by {health.by}" if health.since else None,
        served,
        _failed(health),
        None if health.lately is None else f"{health.lately:,} rows",
        _history(health),
    )


def _failed(health: ProductionHealth) -> Cell:
    if health.asked is None or health.failed is None:
        return None
    if not health.failed:
        return BadgeCell(f"none of {health.asked:,}", "good")
    return BadgeCell(f"{health.failed:,} of {health.asked:,}", "danger")


def _history(health: ProductionHealth) -> Cell:
    if health.whole is None:
        return "being verified …"
    return BadgeCell("whole", "good") if health.whole else BadgeCell("broken: see its page", "danger")
