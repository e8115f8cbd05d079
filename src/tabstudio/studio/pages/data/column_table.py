"""The columns, each with its kind and its role to be corrected; light enough for a thousand of them."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui
from nicegui.events import GenericEventArguments

from tabstudio.report.templates import render
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
        """Draw the columns of a preview; the page number stays."""
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
        rows = [self._row(index, column) for index, column in shown]
        self.table.set_content(
            render("tabstudio.studio", "column_table.html", headers=_HEADERS, columns=rows)
        )
        self.pager.update(self.number, more=len(matching) > self.number * LIMIT)

    def _row(self, index: int, column: ColumnPreview) -> dict[str, object]:
        missing = column["missing"]
        return {
            "index": index,
            "name": column["name"],
            "kinds": self._kinds(column),
            "target": column["role"] == "target",
            "uses": _uses(column["role"]),
            "missing": f"{missing:,} ({missing / self.rows:.1%})" if missing else "0",
            "unique": f"{column['unique']:,}",
            "examples": ", ".join(column["examples"]),
            "reason": column["reason"],
        }

    def _kinds(self, column: ColumnPreview) -> list[tuple[str, str, bool]]:
        """Return the kinds to choose from: value, text, whether it is chosen."""
        chosen = self.choices.options.get("kind", {}).get(column["name"], "")
        guess = "guess" if chosen else f"{column['kind']} (guessed)"
        return [("", guess, not chosen), *((kind, kind, kind == chosen) for kind in KINDS)]

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


def _uses(role: str) -> list[tuple[str, str, bool]]:
    used = role == "feature"
    unused = "left out" if used or role == "dropped" else f"left out: {role}"
    return [("yes", "feature", used), ("no", unused, not used)]
