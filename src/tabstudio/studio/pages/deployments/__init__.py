"""The pages of services: all of them, and one with its load, its log and a form to try it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabstudio.studio.pages.deployments.service_page import ServicePage
from tabstudio.studio.pages.deployments.service_table import ServiceTable
from tabstudio.studio.pages.deployments.start_dialog import StartServiceDialog
from tabstudio.studio.ui.elements import heading
from tabstudio.studio.ui.frame import PageView, page

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the pages."""

    @page(studio, "/deployments", "Deployments", "Deployments")
    async def deployments(view: PageView, model: str = "", which: str = "", start: bool = False) -> None:
        heading("Deployments", "Services that answer with registered models. They outlive this page.")
        ServiceTable(view)
        if model or start:
            StartServiceDialog(view, model, which)

    @page(studio, "/deployments/{name}", "Service", "Deployments")
    async def service(view: PageView, name: str) -> None:
        ServicePage(view, name)
