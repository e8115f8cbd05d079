"""The history of a model: who moved which version where, when, why and on what evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from markupsafe import Markup
from nicegui import ui

from tabstudio.registry.records import Evidence, Transition, TransitionKind
from tabstudio.report.templates import render
from tabstudio.report.text_format import format_time
from tabstudio.studio.pages.model.promotion_dialog import HEADERS, gate_rows
from tabstudio.studio.ui.addresses import version_page
from tabstudio.studio.ui.elements import empty
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import table_markup

WORDS: dict[TransitionKind, tuple[str, str]] = {
    "promote": ("promoted", "good"),
    "archive": ("archived", ""),
    "rollback": ("rolled back", "warning"),
    "displaced": ("made room", ""),
    "external": ("external", "warning"),
    "request": ("approval asked for", "info"),
    "approve": ("approved", "good"),
    "reject": ("rejected", "danger"),
    "note": ("noted", "info"),
    "lost": ("history lost", "danger"),
}
"""The word for each kind of row, and its tone."""


class HistoryTimeline:
    """The newest rows first, `limit` at a time; and the check of the whole chain."""

    def __init__(self, view: PageView, name: str, rows: Sequence[Transition], limit: int) -> None:
        self.view, self.name, self.limit = view, name, limit
        self.newest, self.oldest = 0, 0
        with ui.element("div").classes("row-wrap tools"):
            ui.button("Check the history", on_click=self._verify).props("outline no-caps")
            self.verdict = ui.element("div").props('aria-live="polite"')
        self.nothing = ui.element("div")
        with self.nothing:
            empty("Nothing happened to it yet: promote a version.")
        self.list = ui.element("ol").classes("timeline")
        self.older = ui.button("Older entries", on_click=self._older).props("flat no-caps")
        self.update(rows)
        self.older.set_visibility(len(rows) == limit)

    def update(self, rows: Sequence[Transition]) -> None:
        """Put newer rows on top; what a reader has opened stays open."""
        fresh = [row for row in rows if row.number > self.newest]
        for row in reversed(fresh):
            self._item(row).move(self.list, 0)
        self._note_ends(rows)

    async def _older(self) -> None:
        registry = self.view.studio.registry(self.view.who)
        rows = await asyncio.to_thread(registry.history, self.name, before=self.oldest, limit=self.limit)
        for row in rows:
            self._item(row)
        self._note_ends(rows)
        self.older.set_visibility(len(rows) == self.limit)

    def _note_ends(self, rows: Sequence[Transition]) -> None:
        numbers = [row.number for row in rows]
        self.newest = max([self.newest, *numbers])
        self.oldest = min([self.oldest or self.newest, *numbers])
        self.nothing.set_visibility(not self.newest)

    def _item(self, row: Transition) -> ui.element:
        with self.list:
            return ui.html(entry(row), sanitize=False, tag="li")

    async def _verify(self) -> None:
        registry = self.view.studio.registry(self.view.who)
        verification = await asyncio.to_thread(registry.verify, self.name)
        self.verdict.clear()
        with self.verdict:
            ui.html(render("tabstudio.studio", "history_verdict.html", history=verification), sanitize=False)


def entry(row: Transition) -> str:
    """Return one row of the history as HTML."""
    word, tone = WORDS[row.kind]
    evidence = row.evidence
    gates = table_markup(HEADERS, gate_rows(evidence.gates), "Gates") if evidence.gates else ""
    tables = [*map(Markup, _tables(evidence))]
    return render(
        "tabstudio.studio",
        "timeline_entry.html",
        row=row,
        word=word,
        tone=tone,
        address=version_page(row.model, row.version),
        time=format_time(row.time),
        gates=Markup(gates),  # noqa: S704 - `table_markup` escapes the cells
        tables=tables,
        evidence=gates or tables or evidence.approvals or evidence.bundle,
    )


def _tables(evidence: Evidence) -> Iterator[str]:
    if evidence.metrics:
        figures = [(name, str(metric)) for name, metric in evidence.metrics.items()]
        yield table_markup(("Figure", "Value"), figures, "Figures of its run")
    if evidence.datasets:
        rows = [(d.get("name", ""), d.get("context", ""), d.get("digest", "")) for d in evidence.datasets]
        yield table_markup(("Data", "Used as", "Digest"), rows)
    if evidence.facts:
        facts = [(str(name), str(value)) for name, value in evidence.facts.items()]
        yield table_markup(("Fact", ""), facts)
