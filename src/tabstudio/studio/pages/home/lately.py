"""What happened lately: moves of versions, runs that ended, trainings."""

from __future__ import annotations

import asyncio

from nicegui import ui

from tabstudio.report.text_format import shorten
from tabstudio.studio.happening import Event, day, lately
from tabstudio.studio.pages.jobs.wording import TONES as JOB_TONES
from tabstudio.studio.pages.runs.wording import TONES as RUN_TONES
from tabstudio.studio.ui.frame import View
from tabstudio.studio.ui.places import job_page, run_page, version_page
from tabstudio.studio.ui.tables import Badge, Cell, Link, markup

_MOVES = {
    "external": "warning",
    "rollback": "warning",
    "lost": "danger",
    "reject": "danger",
    "approve": "good",
}
_WORDS = {"move": "stage", "run": "run", "job": "training"}


class Lately:
    """The newest first; drawn again when something has happened."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.shown: list[Event] | None = None
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
        found = await asyncio.to_thread(lately, self.view.studio, self.view.who)
        if found == self.shown:
            return
        self.shown = found
        self.table.set_content(
            markup(("When (UTC)", "What", "How", "Detail", "Who"), [_row(event) for event in found])
        )
        self.table.set_visibility(bool(found))
        self.nothing.text = "" if found else "Nothing yet."


def _row(event: Event) -> tuple[Cell, ...]:
    if event.kind == "move":
        model, version = event.key
        what, tone = (
            Link(f"{model} version {version}", version_page(model, version)),
            _MOVES.get(event.state, "info"),
        )
        return (day(event.at), what, Badge(event.state, tone), shorten(event.text, 160), event.who)
    if event.kind == "job":
        what, tone = Link(event.text, job_page(event.key[0])), JOB_TONES.get(event.state, "")  # type: ignore[call-overload]
    else:
        what, tone = Link(event.text, run_page(event.key[0])), RUN_TONES.get(event.state.upper(), "")
    return (day(event.at), what, Badge(event.state, tone), _WORDS[event.kind], event.who)
