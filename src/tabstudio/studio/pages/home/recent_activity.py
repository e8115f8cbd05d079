"""What happened lately: moves of versions, runs that ended, trainings."""

from __future__ import annotations

import asyncio

from nicegui import ui

from tabstudio.report.text_format import shorten
from tabstudio.studio.pages.jobs.job_text import JOB_TONES
from tabstudio.studio.pages.runs.run_text import RUN_TONES
from tabstudio.studio.services.activity import ActivityEvent, format_minute, recent_events
from tabstudio.studio.ui.addresses import job_page, run_page, version_page
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import BadgeCell, Cell, LinkCell, table_markup

_MOVES = {
    "external": "warning",
    "rollback": "warning",
    "lost": "danger",
    "reject": "danger",
    "approve": "good",
}
_WORDS = {"move": "stage", "run": "run", "job": "training"}


class RecentActivity:
    """The newest first; drawn again when something has happened."""

    def __init__(self, view: PageView) -> None:
        self.view = view
        self.shown: list[ActivityEvent] | None = None
        self.table = ui.html("", sanitize=False).classes("scroll whole")
        self.table.props('tabindex="0" role="region" aria-label="What happened lately"')
        self.nothing = ui.label("").classes("nothing")
        view.soon(self._begin, "10rem")

    async def _begin(self) -> None:
        await self.refresh()
        for topic in ("registry", "runs", "jobs"):
            self.view.follow(topic, self.refresh)

    async def refresh(self) -> None:
        """Look again, and draw what is new."""
        found = await asyncio.to_thread(recent_events, self.view.studio, self.view.who)
        if found == self.shown:
            return
        self.shown = found
        self.table.set_content(
            table_markup(("When (UTC)", "What", "How", "Detail", "Who"), [_row(event) for event in found])
        )
        self.table.set_visibility(bool(found))
        self.nothing.text = "" if found else "Nothing yet."


def _row(event: ActivityEvent) -> tuple[Cell, ...]:
    if event.kind == "move":
        model, version = event.key
        what, tone = (
            LinkCell(f"{model} version {version}", version_page(model, version)),
            _MOVES.get(event.state, "info"),
        )
        return (
            format_minute(event.at),
            what,
            BadgeCell(event.state, tone),
            shorten(event.text, 160),
            event.who,
        )
    if event.kind == "job":
        what, tone = LinkCell(event.text, job_page(event.key[0])), JOB_TONES.get(event.state, "")  # type: ignore[call-overload]
    else:
        what, tone = LinkCell(event.text, run_page(event.key[0])), RUN_TONES.get(event.state.upper(), "")
    return (format_minute(event.at), what, BadgeCell(event.state, tone), _WORDS[event.kind], event.who)
