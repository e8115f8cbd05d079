"""Where the versions of a model are served, and what is asked of them."""

from __future__ import annotations

import asyncio

from nicegui import ui

from tabstudio.studio.services import Lane, all_lanes
from tabstudio.studio.ui.frame import View, section
from tabstudio.studio.ui.places import service_page, version_page
from tabstudio.studio.ui.tables import Cell, Link, markup


class Serving:
    """The services that answer with this model."""

    def __init__(self, view: View, name: str) -> None:
        self.view, self.name = view, name
        with section("Served"):
            self.table = ui.html("", sanitize=False).classes("scroll")
            self.table.props('tabindex="0" role="region" aria-label="Services"')
            self.nothing = ui.label("").classes("nothing")
            view.soon(self.refresh, "4rem")
        view.follow("deployments", self.refresh)

    async def refresh(self) -> None:
        """Ask the services again."""
        lanes = await asyncio.to_thread(all_lanes, self.view.studio)
        rows = [_row(lane) for lane in lanes if lane.model == self.name]
        self.table.set_content(markup(("Service", "Version", "Role", "Share"), rows))
        self.table.set_visibility(bool(rows))
        self.nothing.text = "" if rows else "No running service answers with this model."


def _row(lane: Lane) -> list[Cell]:
    share = None if lane.share is None else f"{lane.share:.0%}"
    number: Cell = lane.version
    if lane.version.isdigit():
        number = Link(f"version {lane.version}", version_page(lane.model, lane.version))
    return [Link(lane.service, service_page(lane.service)), number, lane.role, share]
