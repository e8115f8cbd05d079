"""Home: what happened lately, what goes on now, and the health of what is in production."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nicegui import ui

from tabstudio.studio.happening import Healths
from tabstudio.studio.pages.home.lately import Lately
from tabstudio.studio.pages.home.machine import MachineMeters
from tabstudio.studio.pages.home.now import Now
from tabstudio.studio.pages.home.production import Production
from tabstudio.studio.pages.home.welcome import is_new, welcome
from tabstudio.studio.ui.frame import View, heading, page, section

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the page."""
    healths = Healths(studio)

    @page(studio, "/", "Home", "Home")
    async def home(view: View) -> None:
        with ui.element("div").classes("row-wrap between"):
            heading("Home")
            _buttons()
        if await asyncio.to_thread(is_new, studio):
            welcome(studio)
        with section("Going on now"):
            Now(view)
        with ui.element("div").classes("grid wide-first"):
            with section("In production"):
                Production(view, healths)
            with section("This machine"):
                MachineMeters(view)
        with section("Lately"):
            Lately(view)


def _buttons() -> None:
    with ui.element("div").classes("row-wrap"):
        ui.link("Train on a table", "/data").classes("plain-button")
        ui.link("Start a service", "/deployments?start=true").classes("plain-button quiet")
