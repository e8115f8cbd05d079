"""The tables of the folder, a page at a time."""

from __future__ import annotations

import asyncio

from nicegui import ui

from tabstudio.report.text_format import format_size
from tabstudio.studio.services.tables.table_folder import MOST_TABLES, TableEntry
from tabstudio.studio.ui.addresses import table_page
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.pager import Pager
from tabstudio.studio.ui.tables import LinkCell, LiveTable, format_minute

LIMIT = 25


class TableList:
    """The newest tables first, filtered by name."""

    def __init__(self, view: PageView) -> None:
        self.view = view
        self.entries: list[TableEntry] = []
        self.search = ui.input("Search by name", on_change=lambda: self._show(1))
        self.search.props('outlined dense clearable debounce=200 type="search"').classes("search")
        self.table = LiveTable("Tables", whole=True)
        self.more = ui.label(f"The folder holds more: the first {MOST_TABLES:,} by name are listed.").classes(
            "muted"
        )
        self.pager = Pager(self._show, "tables")
        view.soon(self._look, "8rem")

    async def _look(self) -> None:
        entries = await asyncio.to_thread(self.view.studio.tables.list)
        self.entries = sorted(entries, key=lambda entry: entry.changed, reverse=True)
        await self._show(1)

    async def _show(self, number: int) -> None:
        word = (self.search.value or "").casefold()
        matching = [entry for entry in self.entries if word in entry.name.casefold()]
        shown = matching[(number - 1) * LIMIT : number * LIMIT]
        rows = [
            (LinkCell(e.name, table_page(e.name)), format_size(e.bytes), format_minute(e.changed))
            for e in shown
        ]
        self.table.show(("Table", "Size", "Changed (UTC)"), rows, nothing=_nothing(word))
        self.more.set_visibility(len(self.entries) >= MOST_TABLES)
        self.search.set_visibility(len(self.entries) > 8)
        self.pager.update(number, more=len(matching) > number * LIMIT)


def _nothing(word: str) -> str:
    if word:
        return f"No table has “{word}” in its name."
    return "No table lies here yet. Upload one above, or put one into the folder."
