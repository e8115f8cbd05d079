"""Tables: plain ones in the page, and long ones that are paged on the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments


@dataclass(frozen=True, slots=True)
class LinkCell:
    """A cell that leads to another page of the studio."""

    text: str
    address: str


@dataclass(frozen=True, slots=True)
class BadgeCell:
    """A cell with a word in a frame; see `elements.badge` for the tones."""

    text: str
    tone: str = ""


Cell = str | int | float | LinkCell | BadgeCell | None | tuple["Cell", ...]
"""What stands in a cell; several things beside each other as a tuple."""


def plain_table(
    headers: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "", *, wide: bool = False
) -> ui.html:
    """A table of a moderate number of rows. The first column names the row; numbers stand at the right.

    Every text is escaped. `wide` lets the cells of the first column be data, not names.
    """
    table = ui.html(table_markup(headers, rows, caption, wide=wide), sanitize=False).classes("scroll")
    table.props["tabindex"], table.props["role"] = "0", "region"
    table.props["aria-label"] = caption or "table"
    return table


class LiveTable:
    """A table of a moderate number of rows that is drawn again in place, or a sentence where it has none."""

    def __init__(self, label: str, *, whole: bool = False) -> None:
        self.table = ui.html("", sanitize=False).classes("scroll whole" if whole else "scroll")
        self.table.props('tabindex="0" role="region"').props["aria-label"] = label
        self.nothing = ui.label("").classes("nothing")

    def show(
        self, headers: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str = "", *, nothing: str = ""
    ) -> None:
        """Draw these rows, or say `nothing`."""
        self.table.set_content(table_markup(headers, rows, caption))
        self.table.set_visibility(bool(rows))
        self.nothing.text = "" if rows else nothing


def table_markup(
    headers: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "", *, wide: bool = False
) -> str:
    """Return the table as HTML."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in headers)
    body = "".join("<tr>" + "".join(_cells(row, wide)) + "</tr>" for row in rows)
    caption_markup = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<table class="plain">{caption_markup}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def format_number(value: float | int | None, digits: int = 4) -> str:
    """Return a number with significant digits and commas between thousands; a dash where there is none."""
    if value is None or value != value:
        return "–"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if 10**digits <= abs(value) < 1e15:
        return f"{value:,.0f}"  # no exponent where the whole number has place
    return f"{value:,.{digits}g}"


def format_minute(at: float) -> str:
    """Return a time in Unix seconds, to the minute, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _cells(row: Sequence[Cell], wide: bool) -> Iterable[str]:
    for index, cell in enumerate(row):
        text = _cell(cell)
        if index == 0 and not wide:
            yield f'<th scope="row">{text}</th>'
        elif isinstance(cell, int | float):
            yield f'<td class="n">{text}</td>'
        else:
            yield f"<td>{text}</td>"


def _cell(cell: Cell) -> str:
    if isinstance(cell, LinkCell):
        return f'<a href="{escape(cell.address, quote=True)}">{escape(cell.text)}</a>'
    if isinstance(cell, tuple):
        return " ".join(_cell(part) for part in cell) or "–"
    if isinstance(cell, BadgeCell):
        return f'<span class="badge {escape(cell.tone, quote=True)}">{escape(cell.text)}</span>'
    if cell is None or isinstance(cell, int | float):
        return escape(format_number(cell))
    return escape(cell)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page of a long table to fetch: `limit` rows from `offset` on, in an order."""

    offset: int
    limit: int
    order: str = ""
    descending: bool = False


QuasarRow = dict[str, Any]
"""A row of a `PagedTable` by field, or one of its columns, as Quasar takes them."""
Fetch = Callable[[PageRequest], Awaitable[tuple[list[QuasarRow], int]]]


class PagedTable:
    """A table of any length: `fetch` brings the rows of one page, and how many there are in all.

    `columns` are those of Quasar's table: name, label, field, sortable, align. `row_key` names the field that
    tells rows apart. With `select`, rows can be ticked, and `selected` holds them over all pages.
    """

    def __init__(
        self,
        columns: list[QuasarRow],
        fetch: Fetch,
        *,
        row_key: str = "id",
        limit: int = 25,
        order: str = "",
        descending: bool = True,
        select: bool = False,
        title: str = "",
    ) -> None:
        self.fetch = fetch
        self._requested = self._shown = 0
        self._pagination = {
            "sortBy": order or None,
            "descending": descending,
            "page": 1,
            "rowsPerPage": limit,
            "rowsNumber": 0,
        }
        self.table = ui.table(
            columns=columns,
            rows=[],
            row_key=row_key,
            pagination=self._pagination,
            selection="multiple" if select else None,
        ).classes("paged")
        self.table.props(":rows-per-page-options='[10,25,50,100]' flat").props["aria-label"] = title
        self.table.on("request", self._request)

    @property
    def selected(self) -> list[QuasarRow]:
        """The ticked rows."""
        return list(self.table.selected)

    async def refresh(self) -> None:
        """Fetch the page that is shown again."""
        self._requested = number = self._requested + 1
        p = self._pagination
        size = int(p["rowsPerPage"] or 25)
        request = PageRequest(
            (int(p["page"] or 1) - 1) * size, size, str(p["sortBy"] or ""), bool(p["descending"])
        )
        rows, total = await self.fetch(request)
        if number < self._shown:  # a later request was answered earlier
            return
        self._shown = number
        p["rowsNumber"] = total
        self.table.pagination = dict(p)
        self.table.rows = rows

    async def first(self) -> None:
        """Go back to the first page: the filter has changed."""
        self._pagination["page"] = 1
        await self.refresh()

    async def _request(self, event: GenericEventArguments) -> None:
        wanted = event.args["pagination"]
        self._pagination.update(
            {key: wanted.get(key) for key in ("sortBy", "descending", "page", "rowsPerPage")}
        )
        self.table.pagination = dict(self._pagination)  # the next click may come before the rows
        await self.refresh()
