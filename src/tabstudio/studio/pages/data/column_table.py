"""The columns, each with its kind and its role to be corrected; light enough for a thousand of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from nicegui import ui
from nicegui.events import GenericEventArguments

from tabstudio.studio.pages.data.table_choices import TableChoices
from tabstudio.studio.services.tables.preview_types import ColumnPreview, SchemaPreview
from tabstudio.studio.ui.pager import Pager
from tabstudio.table.schema import KINDS

LIMIT = 50
_HEADERS = ("Column", "Kind", "Use", "Missing", "Different", "Examples", "Why")
_EDITED = (
    "(e) => { const d = e.target.dataset; if (d.what) emit([d.what, Number(d.place), e.target.value]); }"
)


class ColumnTable:
    """Native fields in a table: `place` is that of the column in the schema, whatever its name holds."""

    def __init__(self, choices: TableChoices, changed: Callable[[], None]) -> None:
        self.choices, self.changed = choices, changed
        self.columns: list[ColumnPreview] = []
        self.rows = 1
        self.number = 1
        self.search = ui.input("Search by name", on_change=lambda: self._turn(1))
        self.search.props('outlined dense clearable debounce=200 type="search"').classes("search")
        self.table = ui.html("", sanitize=False).classes("scroll")
        self.table.props('tabindex="0" role="region" aria-label="Columns"')
        self.table.on("change", self._edited, js_handler=_EDITED)
        self.pager = Pager(self._turn, "columns")

    def show(self, schema: SchemaPreview) -> None:
        """Draw the columns of a look; the page of them stays."""
        self.columns, self.rows = schema["columns"], schema["rows"] or 1
        self.search.set_visibility(len(schema["columns"]) > LIMIT)
        self._draw()

    async def _turn(self, number: int) -> None:
        self.number = number
        self._draw()

    def _draw(self) -> None:
        word = (self.search.value or "").casefold()
        matching = [
            (index, column) for index, column in enumerate(self.columns) if word in column["name"].casefold()
        ]
        shown = matching[(self.number - 1) * LIMIT : self.number * LIMIT]
        head = "".join(f'<th scope="col">{name}</th>' for name in _HEADERS)
        body = "".join(self._row(index, column) for index, column in shown)
        self.table.set_content(
            f'<table class="plain columns"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        )
        self.pager.update(self.number, more=len(matching) > self.number * LIMIT)

    def _row(self, index: int, column: ColumnPreview) -> str:
        gaps = f"{column['missing']:,} ({column['missing'] / self.rows:.1%})" if column["missing"] else "0"
        examples = ", ".join(column["examples"])
        return (
            f'<tr><th scope="row">{escape(column["name"])}</th>'
            f"<td>{self._kind(index, column)}</td><td>{self._use(index, column)}</td>"
            f'<td class="n">{gaps}</td><td class="n">{column["unique"]:,}</td>'
            f"<td>{escape(examples)}</td><td>{escape(column['reason'])}</td></tr>"
        )

    def _kind(self, index: int, column: ColumnPreview) -> str:
        kind = self.choices.options.get("kind", {}).get(column["name"], "")
        guess = column["kind"] if not kind else "guess"
        options = [("", f"{guess} (guessed)" if not kind else guess), *((name, name) for name in KINDS)]
        return _select("kind", index, f"Kind of {column['name']}", options, kind)

    def _use(self, index: int, column: ColumnPreview) -> str:
        if column["role"] == "target":
            return '<span class="badge info">target</span>'
        used = column["role"] == "feature"
        unused = "left out" if used or column["role"] == "dropped" else f"left out: {column['role']}"
        return _select(
            "use",
            index,
            f"Use of {column['name']}",
            [("yes", "feature"), ("no", unused)],
            "yes" if used else "no",
        )

    def _edited(self, event: GenericEventArguments) -> None:
        field, index, value = event.args
        name = self.columns[index]["name"]
        if field == "kind":
            self.choices.read_as(name, value)
        elif value == "yes":
            self.choices.use(name)
        else:
            self.choices.leave_out(name)
        self.changed()


def _select(field: str, index: int, label: str, options: Sequence[tuple[str, str]], chosen: str) -> str:
    markup = []
    for value, text in options:
        selected = " selected" if value == chosen else ""
        markup.append(f'<option value="{escape(value, quote=True)}"{selected}>{escape(text)}</option>')
    named = f'data-what="{field}" data-place="{index}" aria-label="{escape(label, quote=True)}"'
    return f"<select {named}>{''.join(markup)}</select>"
