"""The pages of a registered model: all of it, one version, and two versions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabstudio.studio.pages.model.comparison import VersionComparison
from tabstudio.studio.pages.model.overview import ModelOverview
from tabstudio.studio.pages.model.version import VersionPage
from tabstudio.studio.ui.elements import heading
from tabstudio.studio.ui.frame import PageView, page

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the pages."""

    @page(studio, "/monitor/{name}", "Model", "Monitor")
    async def model(view: PageView, name: str) -> None:
        heading(name, "Versions, their stages, and everything that happened to them.")
        ModelOverview(view, name)

    @page(studio, "/monitor/{name}/compare", "Two versions", "Monitor")
    async def compare(view: PageView, name: str, first: int, second: int) -> None:
        VersionComparison(view, name, first, second)

    @page(studio, "/monitor/{name}/{version}", "Version", "Monitor")
    async def version(view: PageView, name: str, version: int) -> None:
        VersionPage(view, name, version)
