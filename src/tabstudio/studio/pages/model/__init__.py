"""The pages of a registered model: all of it, one version, and two versions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabstudio.studio.pages.model.comparison import Compared
from tabstudio.studio.pages.model.overview import Overview
from tabstudio.studio.pages.model.version import OneVersion
from tabstudio.studio.ui.frame import View, heading, page

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the pages."""

    @page(studio, "/monitor/{name}", "Model", "Monitor")
    async def model(view: View, name: str) -> None:
        heading(name, "Versions, their stages, and everything that happened to them.")
        Overview(view, name)

    @page(studio, "/monitor/{name}/compare", "Two versions", "Monitor")
    async def compare(view: View, name: str, first: int, second: int) -> None:
        Compared(view, name, first, second)

    @page(studio, "/monitor/{name}/{version}", "Version", "Monitor")
    async def version(view: View, name: str, version: int) -> None:
        OneVersion(view, name, version)
