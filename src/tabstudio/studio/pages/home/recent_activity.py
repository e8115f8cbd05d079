"""Recent events: moves of versions, runs that ended, jobs."""

from __future__ import annotations

import asyncio

from tabstudio.report.text_format import shorten
from tabstudio.studio.pages.jobs.job_text import JOB_TONES
from tabstudio.studio.pages.runs.run_text import RUN_TONES
from tabstudio.studio.services.activity import ActivityEvent, recent_events
from tabstudio.studio.ui.addresses import job_page, run_page, version_page
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import BadgeCell, Cell, LinkCell, LiveTable, format_minute

HEADERS = ("When (UTC)", "What", "How", "Detail", "Who")
_MOVES = {
    "external": "warning",
    "rollback": "warning",
    "lost": "danger",
    "reject": "danger",
    "approve": "good",
}
_WORDS = {"move": "", "run": "run", "job": "training"}


class RecentActivity:
    """The newest first; drawn again when something has happened."""

    def __init__(self, view: PageView) -> None:
        self.view = view
        self.shown: list[ActivityEvent] | None = None
        self.table = LiveTable("What happened lately", whole=True)
        view.soon(self._begin, "10rem")

    async def _begin(self) -> None:
        await self.refresh()
        for topic in ("registry", "runs", "jobs"):
            self.view.follow(topic, self.refresh)

    async def refresh(self) -> None:
        """Update the table where there is a new event."""
        events = await asyncio.to_thread(recent_events, self.view.studio, self.view.who)
        if events == self.shown:
            return
        self.shown = events
        self.table.show(HEADERS, [_event_row(event) for event in events], nothing="Nothing yet.")


def _event_row(event: ActivityEvent) -> tuple[Cell, ...]:
    detail = _WORDS[event.kind]
    if event.kind == "move":
        model, version = event.key
        what = LinkCell(f"{model} version {version}", version_page(model, version))
        tone, detail = _MOVES.get(event.state, "info"), shorten(event.text, 160)
    elif event.kind == "job":
        what, tone = LinkCell(event.text, job_page(event.key[0])), JOB_TONES.get(event.state, "")  # type: ignore[call-overload]
    else:
        what, tone = LinkCell(event.text, run_page(event.key[0])), RUN_TONES.get(event.state.upper(), "")
    return (format_minute(event.at), what, BadgeCell(event.state, tone), detail, event.who)
