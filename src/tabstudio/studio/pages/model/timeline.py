"""What happened to a model: who moved which version where, when, why and on what evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from html import escape

from nicegui import ui

from tabstudio.registry.history import Verification
from tabstudio.registry.records import Evidence, Transition, TransitionKind
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
"""What a kind of row is called, and its tone."""


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
        """Put rows that are newer than those shown on top; what a reader has opened stays open."""
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
            ui.html(_verdict(verification), sanitize=False)


def entry(row: Transition) -> str:
    """One row as HTML; whatever its texts hold, they stay texts."""
    word, tone = WORDS[row.kind]
    badges = _badge(word, tone) + (_badge("gates overruled", "danger") if row.forced else "")
    link = f'<a href="{escape(version_page(row.model, row.version), quote=True)}">Version {row.version}</a>'
    move = f": {escape(row.from_stage or 'no stage')} → {escape(row.to_stage or 'no stage')}"
    if row.kind in ("note", "lost"):
        move = ""
    moment = f"<time datetime='{escape(row.time)}'>{escape(format_time(row.time))} UTC</time>"
    signature = f"by {escape(row.actor)}, {moment}"
    refers = f", for row {row.refers}" if row.refers else ""
    why = f'<p class="why">{escape(row.reason)}</p>' if row.reason else ""
    return (
        f'<div class="entry"><div class="row-wrap">{badges}<span>{link}{move}</span></div>'
        f'<p class="muted">row {row.number}, {signature}{refers}</p>'
        f"{why}{_outside(row)}{_evidence(row)}</div>"
    )


def _outside(row: Transition) -> str:
    if row.kind != "external":
        return ""
    return '<p class="muted">Done in MLflow itself, past the gates; MLflow does not say by whom.</p>'


def _evidence(row: Transition) -> str:
    parts = "".join(_parts(row.evidence))
    hashes = f'<p class="muted">SHA-256 <span class="hash">{escape(row.hash)}</span></p>'
    label = "Evidence" if parts else "Hash"
    return f'<details class="numbers"><summary>{label}</summary>{parts}{hashes}</details>'


def _parts(evidence: Evidence) -> Iterator[str]:
    if evidence.gates:
        yield table_markup(HEADERS, gate_rows(evidence.gates), "Gates")
    if evidence.approvals:
        yield f"<p>Agreed: {escape('; '.join(evidence.approvals))}</p>"
    if evidence.metrics:
        yield table_markup(
            ("Figure", "Value"), [(n, str(m)) for n, m in evidence.metrics.items()], "Figures of its run"
        )
    if evidence.datasets:
        rows = [(d.get("name", ""), d.get("context", ""), d.get("digest", "")) for d in evidence.datasets]
        yield table_markup(("Data", "Used as", "Digest"), rows)
    if evidence.facts:
        yield table_markup(("Fact", ""), [(str(name), str(value)) for name, value in evidence.facts.items()])
    if evidence.bundle:
        yield f'<p class="muted">Bundle SHA-256 <span class="hash">{escape(evidence.bundle)}</span></p>'


def _badge(text: str, tone: str) -> str:
    return f'<span class="badge {tone}">{escape(text)}</span>'


def _verdict(verification: Verification) -> str:
    if verification.whole:
        text = f"all {verification.rows:,} rows are as they were written, the last hash is "
        text += f"{verification.head[:16]}…"
        return f"{_badge('history intact', 'good')} <span class='muted'>{text}</span>"
    faults = "".join(f"<li>{escape(str(fault))}</li>" for fault in verification.faults[:20])
    return f"{_badge('history not intact', 'danger')}<ul class='problem'>{faults}</ul>"
