"""What happened lately, what goes on now, and the health of what is in production."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import run

from tabstudio.studio.ui.frame import View, empty, heading, page, section

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the page."""

    @page(studio, "/", "Home", "Home")
    async def home(view: View) -> None:
        heading("Home")
        models = await run.io_bound(view.studio.registry(view.who).models)
        with section("Models"):
            if not models:
                empty("No model is registered yet.")
