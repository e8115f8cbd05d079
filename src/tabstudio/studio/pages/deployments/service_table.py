"""The table of all services: state, served models, address."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicegui import ui

from tabstudio.serving.deployments import Deployment
from tabstudio.studio.pages.deployments.service_actions import STATE_TONES, service_buttons, web_link
from tabstudio.studio.pages.deployments.start_dialog import StartServiceDialog
from tabstudio.studio.ui.addresses import service_page
from tabstudio.studio.ui.elements import badge, empty, section, table_head
from tabstudio.studio.ui.frame import PageView

HEADERS = ("Service", "State", "Serves", "Answers at", "What to do")


class ServiceTable:
    """The table of services, updated when one of them changes."""

    def __init__(self, view: PageView) -> None:
        self.view = view
        self.shown: list[Deployment] | None = None
        with section("Services"):
            if view.who.may("editor"):
                with ui.element("div").classes("row-wrap tools"):
                    ui.button("New service…", on_click=lambda: StartServiceDialog(view)).props(
                        "unelevated no-caps"
                    )
            self.container = ui.element("div").classes("scroll whole").props('aria-live="polite"')
            view.soon(self.refresh)
        view.follow("deployments", self.refresh)

    async def refresh(self) -> None:
        """Draw the table where a service has changed."""
        services = await asyncio.to_thread(self.view.studio.deployments.list)
        if services == self.shown:
            return
        self.shown = services
        self.container.clear()
        with self.container:
            self._table(services)

    def _table(self, services: Sequence[Deployment]) -> None:
        if not services:
            empty("No service was started yet.")
            return
        with ui.element("table").classes("plain versions"):
            table_head(HEADERS)
            with ui.element("tbody"):
                for service in services:
                    with ui.element("tr"):
                        self._row(service)

    def _row(self, service: Deployment) -> None:
        with ui.element("th").props('scope="row"'):
            ui.link(service.name, service_page(service.name))
        with ui.element("td").classes("nowrap"):
            badge(service.state, STATE_TONES[service.state])
        with ui.element("td"):
            ui.label(" ".join(word for word in service.words if ":" in word or "/" in word) or "–")
        with ui.element("td").classes("nowrap"):
            if service.url:
                with ui.element("div").classes("row-wrap"):
                    web_link(service.url, service.url)
                    web_link("Swagger", f"{service.url}/docs")
            else:
                ui.label("–")
        with ui.element("td"):
            service_buttons(self.view, service)
