"""The pages of services: all of them, and one with its load, its log and a form to try it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabstudio.studio.pages.deployments.listing import Listing
from tabstudio.studio.pages.deployments.service import Service
from tabstudio.studio.pages.deployments.starting import Starting
from tabstudio.studio.ui.frame import View, heading, page

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the pages."""

    @page(studio, "/deployments", "Deployments", "Deployments")
    async def deployments(view: View, model: str = "", which: str = "", start: bool = False) -> None:
        heading("Deployments", "Services that answer with registered models. They outlive this page.")
        Listing(view)
        if model or start:
            Starting(view, model, which)

    @page(studio, "/deployments/{name}", "Service", "Deployments")
    async def service(view: View, name: str) -> None:
        Service(view, name)
