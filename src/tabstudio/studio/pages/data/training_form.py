"""The form that trains on a table, made from the declared options."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nicegui import ui

from tabstudio.errors import TabstudioError
from tabstudio.options import Declared, used_by
from tabstudio.recipes.names import stem
from tabstudio.studio.pages.data.table_choices import TableChoices
from tabstudio.studio.services.jobs import job_command
from tabstudio.studio.services.jobs.studio_jobs import JobKind, StudioJob
from tabstudio.studio.services.tables.preview_types import SchemaPreview
from tabstudio.studio.ui.addresses import job_page
from tabstudio.studio.ui.copy_button import copyable_command
from tabstudio.studio.ui.elements import folded
from tabstudio.studio.ui.frame import PageView

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio

_OPTIONS = used_by("form")
_OF_SEARCH = ("trials", "halving")


class TrainingForm:
    """`show` offers the columns that were read; the command that does the same stands below the form."""

    def __init__(self, view: PageView, choices: TableChoices) -> None:
        self.view, self.choices = view, choices
        self.fields: dict[str, Any] = {}
        with ui.element("div").classes("row-wrap tools"):
            kinds = {"train": "Train a model", "sweep": "Search for the best options"}
            self.kind = ui.radio(kinds, value="train", on_change=self._turned).props("inline")
            self.kind.props["aria-label"] = "What is to be done"
        with ui.element("div").classes("fields wide"):
            self.name = ui.input("Name of the model", on_change=self._tell)
            self.name.props("outlined dense stack-label").props["placeholder"] = stem(choices.table)
            for declared in _OPTIONS:
                if declared.option.short:
                    self._field(declared)
        with folded("More options"), ui.element("div").classes("fields wide"):
            for declared in _OPTIONS:
                if not declared.option.short:
                    self._field(declared)
        self.register = ui.switch("Register a version when it is done", value=True, on_change=self._tell)
        with ui.element("div").classes("row-wrap tools"):
            self.button = ui.button("Train", on_click=self._start).props("unelevated no-caps")
            self.why_not = ui.label("").classes("muted").props('aria-live="polite"')
        self.wrong = ui.label("").classes("problem").props('role="alert"')
        self.wrong.set_visibility(False)
        ui.label("The same on the command line").classes("muted")
        self.command = copyable_command("")
        self._turned()

    def show(self, schema: SchemaPreview) -> None:
        """Offer the columns of the table."""
        names = [column["name"] for column in schema["columns"] if column["name"] != self.choices.target]
        for declared in _OPTIONS:
            if declared.option.metavar == "COLUMN":
                field = self.fields[declared.name]
                chosen = [name for name in _listed(field.value) if name in names]
                several = declared.form == "words"
                field.set_options(names, value=chosen if several else next(iter(chosen), None))
        self._tell()

    def group_by(self, column: str) -> None:
        """Keep the rows of each value of a column on one side of every split."""
        self.fields["group"].value = column

    def _field(self, declared: Declared) -> None:
        field: Any
        label, option = declared.label, declared.option
        if declared.form == "flag":
            value = bool(declared.default)
            field = ui.switch(label, value=value, on_change=self._turned)
        elif declared.words:
            words = {
                word: f"{word} (default)" if word == declared.default != "default" else word
                for word in declared.words
            }
            field = ui.select(words, label=label, value=declared.default, on_change=self._tell)
        elif option.metavar == "COLUMN":
            several = declared.form == "words"
            field = ui.select([], label=label, with_input=True, multiple=several, on_change=self._tell)
            field.props("clearable use-chips" if several else "clearable")
        elif declared.form == "widths":
            field = ui.input(label, on_change=self._tell)
        else:
            precision = 0 if declared.form == "whole" else None
            field = ui.number(label, precision=precision, on_change=self._tell)
        if declared.form != "flag":
            field.props("outlined dense options-dense")
        if declared.form in ("widths", "whole", "number"):
            field.props("stack-label").props["placeholder"] = declared.unset.partition(":")[0]
        field.props["title"] = f"{option.help} Left open: {declared.unset}."
        self.fields[declared.name] = field

    def _turned(self) -> None:
        sweep = self.kind.value == "sweep"
        for declared in _OPTIONS:
            self.fields[declared.name].set_visibility(self._applies(declared))
        self.register.set_visibility(not sweep)
        self.button.text = "Search" if sweep else "Train"
        self._tell()

    def _applies(self, declared: Declared) -> bool:
        """Whether what is to be done takes an option."""
        sweep = self.kind.value == "sweep"
        if declared.name in _OF_SEARCH:
            return sweep or bool(self.fields["search"].value)
        return ("sweep" if sweep else "train") in declared.option.used_by

    def _options(self) -> dict[str, object]:
        """What was chosen, by the names of `train`; what is left at its default is left out."""
        options = dict(self.choices.options)
        for declared in _OPTIONS:
            value = _entered(declared, self.fields[declared.name].value)
            if value is not None and self._applies(declared):
                options[declared.name] = value
        return options

    def _tell(self) -> None:
        """Show the command, and whether it can be started."""
        self.why_not.text = "" if self.choices.target else "Choose the column to predict first, above."
        self.button.set_enabled(bool(self.choices.target))
        studio, kind, register, name = self._job_choices()
        try:
            request = studio.jobs.ask(
                kind,
                self.choices.table,
                self.choices.target or "COLUMN",
                self._options(),
                model=name,
                register=register,
            )
        except TabstudioError as error:
            self.command.text = f"# {error}"
            return
        self.command.text = job_command.job_command(request)

    def _job_choices(self) -> tuple[Studio, JobKind, bool, str | None]:
        return (
            self.view.studio,
            self.kind.value,
            bool(self.register.value),
            (self.name.value or "").strip() or None,
        )

    async def _start(self) -> None:
        studio, kind, register, name = self._job_choices()
        start: Callable[..., StudioJob] = studio.jobs.start
        self.button.props("loading").disable()
        try:
            job = await asyncio.to_thread(
                start,
                self.view.who,
                kind,
                self.choices.table,
                self.choices.target,
                self._options(),
                model=name,
                register=register,
            )
        except TabstudioError as error:
            self.wrong.text = str(error)
            self.wrong.set_visibility(True)
            return
        finally:
            self.button.props(remove="loading").enable()
        ui.navigate.to(job_page(job.id))


def _entered(declared: Declared, value: Any) -> object:
    """A field's value as an option; None where it is left at its default."""
    if value in (None, "", []) or value == declared.default:
        return None
    if declared.form == "whole":
        return int(value)
    if declared.form == "widths":
        widths = [part.strip() for part in str(value).split(",") if part.strip()]
        return [int(part) if part.isdecimal() else part for part in widths]
    return value


def _listed(value: list[str] | str | None) -> list[str]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
