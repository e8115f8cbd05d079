"""The short form that trains on a table; what the form does not show is chosen as the command line would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from nicegui import ui

from tabstudio.errors import TabstudioError
from tabstudio.recipes.names import stem
from tabstudio.studio.pages.data.table_choices import TableChoices
from tabstudio.studio.services.jobs import job_command
from tabstudio.studio.services.jobs.studio_jobs import JobKind
from tabstudio.studio.ui.addresses import job_page
from tabstudio.studio.ui.copy_button import copyable_command
from tabstudio.studio.ui.frame import PageView


@dataclass(frozen=True, slots=True)
class OptionField:
    """One option of `train`: what it is called on the page, how it is entered, where it stands.

    `words` are the values to choose from; the first of them is the default. Numbers are left empty for the
    default, which `hint` tells.
    """

    option: str
    label: str
    how: Literal["number", "whole", "words", "switch", "column", "widths", "columns"]
    words: tuple[str, ...] = ()
    hint: str = ""
    sweep: bool = True


SHORT = (
    OptionField("minutes", "Minutes, at most", "number", hint="no bound"),
    OptionField("recipe", "Recipe", "words", ("default", "tutorial"), sweep=False),
    OptionField("network", "Network", "words", ("tabular", "mlp", "tabm", "resnet")),
    OptionField("test_size", "Share of rows for the test", "number", hint="0.25"),
    OptionField("folds", "Validation folds", "whole", hint="5"),
    OptionField("seed", "Seed", "whole", hint="0"),
    OptionField("group", "Rows that stay together, by", "column"),
    OptionField("time", "Later rows are tested, by", "column"),
    OptionField("trials", "Trials", "whole", hint="32"),
)
FURTHER = (
    OptionField("split", "Split that is given, in", "column"),
    OptionField("epochs", "Epochs, at most", "whole", hint="by size"),
    OptionField("batch_size", "Rows in a step", "whole", hint="by size"),
    OptionField("learning_rate", "Learning rate", "number", hint="by network"),
    OptionField("weight_decay", "Weight decay", "number", hint="by network"),
    OptionField("dropout", "Dropout", "number", hint="by rows"),
    OptionField("label_smoothing", "Label smoothing", "number", hint="by task"),
    OptionField("hidden", "Widths of the layers", "widths", hint="by rows"),
    OptionField("activation", "Activation", "words", ("silu", "relu", "gelu", "selu", "tanh", "mish")),
    OptionField("scaling", "Scaling", "words", ("robust", "minmax", "standard")),
    OptionField("patience", "Epochs of patience", "whole", hint="a third"),
    OptionField("members", "Networks in the pack", "whole", hint="one a fold"),
    OptionField("device", "Device", "words", ("auto", "cpu", "cuda", "mps")),
    OptionField("precision", "Precision", "words", ("auto", "float32", "bf16")),
    OptionField("cost_false_positive", "Cost of a false alarm", "number", sweep=False),
    OptionField("cost_false_negative", "Cost of a missed positive", "number", sweep=False),
    OptionField("slice", "Measure the levels of", "columns", sweep=False),
    OptionField("balance", "Weigh classes by their rarity", "switch"),
    OptionField("search", "Try options first", "switch", sweep=False),
    OptionField("distill", "Make one network of the ensemble", "switch", sweep=False),
)


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
            for field in SHORT:
                self._field(field)
        with ui.element("details").classes("numbers"):
            with ui.element("summary"):
                ui.label("More options").classes("inline")
            with ui.element("div").classes("fields wide"):
                for field in FURTHER:
                    self._field(field)
        self.register = ui.switch("Register a version when it is done", value=True, on_change=self._tell)
        with ui.element("div").classes("row-wrap tools"):
            self.button = ui.button("Train", on_click=self._start).props("unelevated no-caps")
            self.why_not = ui.label("").classes("muted").props('aria-live="polite"')
        self.wrong = ui.label("").classes("problem").props('role="alert"')
        self.wrong.set_visibility(False)
        ui.label("The same on the command line").classes("muted")
        self.command = copyable_command("")
        self._turned()

    def show(self, schema: dict[str, Any]) -> None:
        """Offer the columns of the table."""
        names = [column["name"] for column in schema["columns"] if column["name"] != self.choices.target]
        for field in (*SHORT, *FURTHER):
            if field.how in ("column", "columns"):
                entered = self.fields[field.option]
                kept = [name for name in _listed(entered.value) if name in names]
                several = field.how == "columns"
                entered.set_options(names, value=kept if several else next(iter(kept), None))
        self._tell()

    def group_by(self, column: str) -> None:
        """Keep the rows of each value of a column on one side of every split."""
        self.fields["group"].value = column

    def _field(self, field: OptionField) -> None:
        made: Any
        if field.how == "switch":
            made = ui.switch(field.label, on_change=self._tell)
        elif field.how == "words":
            words = {
                word: f"{word} (default)" if place == 0 and word != "default" else word
                for place, word in enumerate(field.words)
            }
            made = ui.select(words, label=field.label, value=field.words[0], on_change=self._tell)
        elif field.how in ("column", "columns"):
            several = field.how == "columns"
            made = ui.select([], label=field.label, with_input=True, multiple=several, on_change=self._tell)
            made.props("clearable use-chips" if several else "clearable")
        elif field.how == "widths":
            made = ui.input(field.label, on_change=self._tell)
        else:
            precision = 0 if field.how == "whole" else None
            made = ui.number(field.label, precision=precision, on_change=self._tell)
        if field.how != "switch":
            made.props("outlined dense options-dense")
            if field.hint:
                made.props("stack-label").props["placeholder"] = field.hint
        self.fields[field.option] = made

    def _turned(self) -> None:
        sweep = self.kind.value == "sweep"
        for field in (*SHORT, *FURTHER):
            self.fields[field.option].set_visibility(field.sweep or not sweep)
        self.fields["trials"].set_visibility(sweep)
        self.register.set_visibility(not sweep)
        self.button.text = "Search" if sweep else "Train"
        self._tell()

    def _options(self) -> dict[str, Any]:
        """What was chosen, by the names of `train`; what is left at its default is left out."""
        options = dict(self.choices.options)
        sweep = self.kind.value == "sweep"
        for field in (*SHORT, *FURTHER):
            value = _entered(field, self.fields[field.option].value)
            if value is not None and (field.sweep or not sweep) and (sweep or field.option != "trials"):
                options[field.option] = value
        return options

    def _tell(self) -> None:
        """Show the command, and whether it can be started."""
        self.why_not.text = "" if self.choices.target else "Choose the column to predict first, above."
        self.button.set_enabled(bool(self.choices.target))
        studio, kind, register, name = self._told()
        try:
            asked = studio.jobs.ask(
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
        self.command.text = job_command.job_command(asked)

    def _told(self) -> tuple[Any, JobKind, bool, str | None]:
        return (
            self.view.studio,
            self.kind.value,
            bool(self.register.value),
            (self.name.value or "").strip() or None,
        )

    async def _start(self) -> None:
        studio, kind, register, name = self._told()
        start: Callable[..., Any] = studio.jobs.start
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


def _entered(field: OptionField, value: Any) -> Any:
    """A field's value as an option; None where it is left at its default."""
    if value is None or value is False or value in ("", [], *field.words[:1]):
        return None
    if field.how == "whole":
        return int(value)
    if field.how == "widths":
        widths = [part.strip() for part in str(value).split(",") if part.strip()]
        return [int(part) if part.isdecimal() else part for part in widths]
    return value


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
