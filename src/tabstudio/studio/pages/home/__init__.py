"""The page Home: work in progress, health of what is in production, load of the machine, recent events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nicegui import ui

from tabstudio.studio.pages.home.in_progress import InProgress
from tabstudio.studio.pages.home.machine_load import MachineLoadPanel
from tabstudio.studio.pages.home.production import ProductionTable
from tabstudio.studio.pages.home.recent_activity import RecentActivity
from tabstudio.studio.pages.home.welcome import is_new, welcome
from tabstudio.studio.services.activity import ProductionMonitor
from tabstudio.studio.ui.elements import heading, section
from tabstudio.studio.ui.frame import PageView, page

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the page."""
    healths = ProductionMonitor(studio)

    @page(studio, "/", "Home", "Home")
    async def home(view: PageView) -> None:
        with ui.element("div").classes("row-wrap between"):
            heading("Home")
            _buttons()
        if await asyncio.to_thread(is_new, studio):
            welcome(studio)
        with section("Going on now"):
            InProgress(view)
        with ui.element("div").classes("grid wide-first"):
            with section("In production"):
                ProductionTable(view, healths)
            with section("This machine"):
                MachineLoadPanel(view)
        with section("Lately"):
            RecentActivity(view)


def _buttons() -> None:
    with ui.element("div").classes("row-wrap"):
        ui.link("Train on a table", "/data").classes("plain-button")
        ui.link("Start a service", "/deployments?start=true").classes("plain-button quiet")
