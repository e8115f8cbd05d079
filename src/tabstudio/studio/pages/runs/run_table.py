"""The table of all runs: filtered, sorted, paged and grouped on the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from urllib.parse import urlencode

from nicegui import ui
from nicegui.events import GenericEventArguments

from tabstudio.errors import TabstudioError
from tabstudio.report.text_format import format_age
from tabstudio.studio.pages.runs.run_text import RUN_TONES, format_duration, format_millis
from tabstudio.studio.services.runs.run_comparison import MOST_RUNS
from tabstudio.studio.services.runs.run_query import EXAMPLE, RunQuery
from tabstudio.studio.services.runs.run_records import STATUSES, RunRow
from tabstudio.studio.services.runs.run_store import RunColumns
from tabstudio.studio.ui.addresses import run_page
from tabstudio.studio.ui.elements import dialog_card, section
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import PagedTable, PageRequest, QuasarRow, format_number

CHILDREN = 50
"""Runs below one that are shown in its place; all of them have a list of their own."""
USUAL = (
    *("test_roc_auc", "test_accuracy", "test_f1", "test_rmse", "test_r2"),
    *("best_val_loss", "val_loss", "train_loss"),
)
"""Metrics that are shown at first, where runs have them."""
STORED = "tabstudio_run_columns"
_NAME = """
<q-td :props="props"><span class="run-name" :class="{below: props.row.below}">
<q-btn v-if="props.row.children" dense flat no-caps size="sm" class="fold"
 :aria-expanded="String(props.row.open)"
 :aria-label="(props.row.open ? 'Hide' : 'Show') + ' the runs below ' + props.row.name"
 @click="$parent.$emit('fold', props.row.id)">
{{ props.row.open ? '▾' : '▸' }} {{ props.row.children }}</q-btn>
<a :href="props.row.href">{{ props.row.name }}</a>
<a v-if="props.row.more" :href="props.row.more">all {{ props.row.brothers }}</a></span></q-td>
"""
_STATUS = """
<q-td :props="props"><span class="badge" :class="props.row.tone">{{ props.row.status }}</span></q-td>
"""
_STARTED = '<q-td :props="props"><span :title="props.row.since">{{ props.row.started }}</span></q-td>'


@dataclass(slots=True)
class RunFilter:
    """The filter and order of the table, kept in the page's address."""

    experiment: str = ""
    name: str = ""
    status: str = ""
    filter: str = ""
    parent: str = ""
    order: str = "started"
    up: bool = False
    group: bool = False

    def query(self) -> RunQuery:
        """Return the query of the filter."""
        return RunQuery(
            experiments=(self.experiment,) if self.experiment else (),
            name=(self.name or "").strip(),
            status=self.status or "",
            filter=(self.filter or "").strip(),
            parent=self.parent,
            grouped=self.group and not self.parent,
            order=self.order,
            descending=not self.up,
        )

    def address(self) -> str:
        """Return the address of the page with this filter."""
        values = {
            "experiment": self.experiment,
            "name": self.name,
            "status": self.status,
            "filter": self.filter,
            "parent": self.parent,
            "order": self.order if self.order != "started" else "",
            "up": "1" if self.up else "",
            "group": "1" if self.group else "",
        }
        query = urlencode({key: value for key, value in values.items() if value})
        return f"/runs?{query}" if query else "/runs"


class RunTable:
    """Builds the page: filters above a table whose rows change by themselves."""

    def __init__(self, view: PageView, wanted: RunFilter) -> None:
        self.view, self.wanted, self.runs = view, wanted, view.studio.runs
        self.known = RunColumns((), ())
        self.shown: list[str] | None = None
        self.open: set[str] = set()
        self.ready = asyncio.Event()
        with section(""):
            self._filters()
            self.wrong = ui.label("").classes("problem").props('role="alert"')
            self.wrong.set_visibility(False)
            self.count_label = ui.label("").classes("muted").props('aria-live="polite"')
            self.table = PagedTable(
                self._columns(),
                self._fetch,
                order=wanted.order,
                descending=not wanted.up,
                select=True,
                title="Runs",
            )
            self.table.table.add_slot("body-cell-name", _NAME)
            self.table.table.add_slot("body-cell-status", _STATUS)
            self.table.table.add_slot("body-cell-started", _STARTED)
            self.table.table.on("fold", self._fold)
            self.table.table.on_select(self._ticked)
        view.soon(self._begin, "1px")

    # what stands above the table

    def _filters(self) -> None:
        wanted = self.wanted
        with (
            ui.element("div").classes("row-wrap filters").props('role="search" aria-label="Filter the runs"')
        ):
            self.name = ui.input("Name contains", value=wanted.name, on_change=self._changed)
            self.name.props("outlined dense clearable debounce=300").classes("search")
            self.experiment = ui.select(
                {"": "All experiments"}, label="Experiment", value="", on_change=self._changed
            )
            self.experiment.props("outlined dense options-dense").classes("wide")
            states = {"": "Any status"} | {status: status.capitalize() for status in STATUSES}
            self.status = ui.select(
                states,
                label="Status",
                value=wanted.status if wanted.status in states else "",
                on_change=self._changed,
            )
            self.status.props("outlined dense options-dense").classes("narrow")
            self.filter = ui.input("MLflow filter", value=wanted.filter, placeholder=EXAMPLE)
            self.filter.props("outlined dense clearable stack-label").classes("growing code-input")
            self.filter.on("keydown.enter", self._changed).on("blur", self._changed).on(
                "clear", self._changed
            )
        with ui.element("div").classes("row-wrap tools"):
            self.compare = ui.button("Compare", on_click=self._compare).props("unelevated no-caps")
            self.compare.disable()
            ui.button("Columns", on_click=self._choose).props("outline no-caps")
            self.group = ui.checkbox("Fold runs of sweeps", value=wanted.group, on_change=self._changed)
            self.group.set_visibility(not wanted.parent)
            if wanted.parent:
                with ui.element("span").classes("row-wrap"):
                    ui.label("Runs below")
                    ui.link(wanted.parent[:8], run_page(wanted.parent))
                    ui.link("all runs", "/runs")

    async def _begin(self) -> None:
        experiments = await asyncio.to_thread(self.runs.experiments)
        self.experiment.set_options({"": "All experiments"} | experiments)
        if self.wanted.experiment in experiments:
            self.experiment.value = self.wanted.experiment
        await self._refresh()
        self.view.follow("runs", self._refresh)
        await self.view.client.connected()
        stored = await ui.run_javascript(f"localStorage.getItem({json.dumps(STORED)})", timeout=10)
        self.known = await asyncio.to_thread(self._known)
        self.shown = _stored(stored)
        await self._show_columns()
        self.ready.set()

    def _known(self) -> RunColumns:
        try:
            return self.runs.columns(self.wanted.query())
        except TabstudioError:  # the table says it: a filter that makes no sense
            return self.runs.columns(RunQuery())

    async def _changed(self) -> None:
        wanted = RunFilter(
            experiment=self.experiment.value or "",
            name=self.name.value or "",
            status=self.status.value or "",
            filter=self.filter.value or "",
            parent=self.wanted.parent,
            order=self.wanted.order,
            up=self.wanted.up,
            group=bool(self.group.value),
        )
        if wanted != self.wanted:
            self.wanted = wanted
            self._remember()
            await self._guarded(self.table.first())

    def _remember(self) -> None:
        ui.run_javascript(f"history.replaceState(null, '', {json.dumps(self.wanted.address())})")

    # the rows

    async def _refresh(self) -> None:
        await self._guarded(self.table.refresh())

    async def _guarded(self, refreshing: Awaitable[None]) -> None:
        try:
            await refreshing
        except TabstudioError as error:
            self.wrong.text = str(error)
        else:
            self.wrong.text = ""
        self.wrong.set_visibility(bool(self.wrong.text))

    async def _fetch(self, request: PageRequest) -> tuple[list[QuasarRow], int]:
        order, up = request.order or "started", not request.descending and bool(request.order)
        if (order, up) != (self.wanted.order, self.wanted.up):
            self.wanted.order, self.wanted.up = order, up
            self._remember()
        query = self.wanted.query()
        page = await asyncio.to_thread(
            self.runs.page, query, request.offset, request.limit, children=query.grouped
        )
        rows: list[QuasarRow] = []
        for row in page.rows:
            rows.append(self._cells(row))
            if row.id in self.open and row.children:
                rows += await asyncio.to_thread(self._below, row)
        self.count_label.text = f"{page.total:,} {'run' if page.total == 1 else 'runs'}" + (
            ", those of sweeps folded below their parent" if query.grouped else ""
        )
        return rows, page.total

    def _below(self, parent: RunRow) -> list[QuasarRow]:
        page = self.runs.page(
            RunQuery(parent=parent.id, order=self.wanted.order, descending=not self.wanted.up), 0, CHILDREN
        )
        rows = [self._cells(row) | {"below": True} for row in page.rows]
        if page.total > len(rows):
            rows[-1] |= {"more": RunFilter(parent=parent.id).address(), "brothers": page.total}
        return rows

    def _cells(self, row: RunRow) -> QuasarRow:
        cells: QuasarRow = {
            "id": row.id,
            "name": row.name,
            "href": run_page(row.id),
            "experiment": row.experiment,
            "status": row.status.lower(),
            "tone": RUN_TONES.get(row.status, ""),
            "started": f"{format_age(row.started)} ago" if row.started else "–",
            "since": format_millis(row.started),
            "seconds": format_duration(row.seconds),
            "user": row.user or "–",
            "children": row.children or 0,
            "open": row.id in self.open,
        }
        for column in self.shown or ():
            kind, _, name = column.partition(".")
            value = row.metrics.get(name) if kind == "metrics" else row.params.get(name)
            cells[column] = value if isinstance(value, str) else format_number(value)
        return cells

    async def _fold(self, event: GenericEventArguments) -> None:
        self.open ^= {str(event.args)}
        await self._refresh()

    # columns

    def _columns(self) -> list[QuasarRow]:
        fixed = [
            ("name", "Run", True, "left"),
            ("status", "Status", True, "left"),
            ("experiment", "Experiment", False, "left"),
            ("started", "Started", True, "left"),
            ("seconds", "Took", False, "right"),
            ("user", "By", True, "left"),
        ]
        chosen = [
            (column, column.partition(".")[2], True, "right" if column.startswith("metrics.") else "left")
            for column in self.shown or ()
        ]
        return [
            {"name": name, "field": name, "label": label, "sortable": sortable, "align": align}
            for name, label, sortable, align in (*fixed, *chosen)
        ]

    async def _show_columns(self) -> None:
        if self.shown is None:
            self.shown = [f"metrics.{name}" for name in USUAL if name in self.known.metrics][:4]
            if not self.shown:
                plain = [name for name in self.known.metrics if "/" not in name]
                self.shown = [f"metrics.{name}" for name in plain[:4]]
        await self._refresh()
        self.table.table.columns = self._columns()

    async def _choose(self) -> None:
        await self.ready.wait()
        shown = self.shown or []
        known = [*(f"metrics.{n}" for n in self.known.metrics), *(f"params.{n}" for n in self.known.params)]
        options = {name: _column_label(name) for name in dict.fromkeys((*shown, *known))}
        with dialog_card("Columns") as dialog:
            ui.label(
                "Metrics and parameters of the newest runs. The choice is kept in this browser."
            ).classes("muted")
            chosen = ui.select(options, multiple=True, label="Columns", value=list(shown), with_input=True)
            chosen.props("outlined use-chips options-dense")
            with ui.element("div").classes("row-wrap ends"):
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
                ui.button("Show", on_click=lambda: keep()).props("unelevated no-caps")

        async def keep() -> None:
            self.shown = list(chosen.value or [])
            columns = json.dumps(json.dumps(self.shown))
            ui.run_javascript(f"localStorage.setItem({json.dumps(STORED)}, {columns})")
            dialog.close()
            await self._show_columns()

        dialog.open()

    # several runs

    def _ticked(self) -> None:
        count = len(self.table.selected)
        self.compare.text = f"Compare {count} runs" if count > 1 else "Compare"
        self.compare.set_enabled(1 < count <= MOST_RUNS)

    def _compare(self) -> None:
        ui.navigate.to(f"/runs/compare?ids={','.join(row['id'] for row in self.table.selected)}")


def _column_label(column: str) -> str:
    kind, _, name = column.partition(".")
    return f"{name} (metric)" if kind == "metrics" else f"{name} (parameter)"


def _stored(text: object) -> list[str] | None:
    """Parse the columns that the browser has stored, None where there are none."""
    try:
        columns = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if not isinstance(columns, list):
        return None
    return [name for name in columns if isinstance(name, str) and name.startswith(("metrics.", "params."))]
