"""What to predict, and how the file is read where the guess was wrong."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from tabstudio.studio.pages.data.table_choices import TableChoices
from tabstudio.studio.services.tables.preview_types import SchemaPreview, TargetPreview
from tabstudio.studio.ui.elements import folded

_TASKS = {
    "": "guess",
    "binary": "one of two classes",
    "multiclass": "one of many classes",
    "regression": "a number",
}


class ReadOptionsForm:
    """`changed` is called after each choice. `show` brings the fields to what was read."""

    def __init__(self, choices: TableChoices, changed: Callable[[], None]) -> None:
        self.choices, self.changed = choices, changed
        self.showing = False
        with ui.element("div").classes("fields wide"):
            self.target = ui.select({}, label="Column to predict", with_input=True, on_change=self._aim)
            self.task = ui.select(_TASKS, label="It is", value="", on_change=self._chosen("task"))
            self.positive = ui.select({}, label="Class of interest", on_change=self._chosen("positive"))
        self.reason = ui.label("").classes("muted")
        with folded("How the file is read"):
            with ui.element("div").classes("fields wide"):
                self.separator = ui.input("Separator, where the guess is wrong")
                self.encoding = ui.input("Encoding, where the guess is wrong")
                self.missing = ui.input("Words that mean no value, separated by spaces")
            ui.button("Read it so", on_click=self._read).props("outline no-caps")
        for entered in (self.separator, self.encoding, self.missing):
            entered.props("stack-label")
        for field in (self.target, self.task, self.positive, self.separator, self.encoding, self.missing):
            field.props("outlined dense options-dense")

    def show(self, schema: SchemaPreview) -> None:
        """Update the fields without a call of `changed`."""
        self.showing = True
        names = {column["name"]: column["name"] for column in schema["columns"]}
        self.target.set_options(names, value=self.choices.target or None)
        goal, options = schema["target"], self.choices.options
        self.task.set_visibility(goal is not None)
        self.task.value = options.get("task", "")
        self.positive.set_visibility(goal is not None and goal["task"] == "binary")
        if goal is not None and goal["task"] == "binary":
            self.positive.set_options({label: label for label in goal["classes"]}, value=goal["positive"])
        self.reason.text = self._target_text(goal)
        self.separator.value, self.encoding.value = options.get("separator", ""), options.get("encoding", "")
        self.separator.props["placeholder"] = repr(schema["separator"])[1:-1] if schema["separator"] else ""
        self.encoding.props["placeholder"] = schema["encoding"] or ""
        self.missing.value = " ".join(options.get("missing", []))
        self.missing.props["placeholder"] = " ".join(schema["missing_words"])
        self.showing = False

    def _target_text(self, goal: TargetPreview | None) -> str:
        if goal is None:
            return "Choose the column that a model shall predict."
        more = f" and {goal['more_classes']:,} more" if goal["more_classes"] else ""
        classes = f" of {len(goal['classes']) + goal['more_classes']} classes" if goal["classes"] else ""
        shown = f": {', '.join(goal['classes'][:8])}{more or (', …' if len(goal['classes']) > 8 else '')}"
        return f"{goal['task']}{classes}{shown if goal['classes'] else ''} ({goal['reason']})"

    def _aim(self) -> None:
        if not self.showing:
            self.choices.aim(self.target.value or "")
            self.changed()

    def _chosen(self, name: str) -> Callable[[ValueChangeEventArguments[str]], None]:
        def choose(event: ValueChangeEventArguments[str]) -> None:
            if not self.showing:
                self.choices.set(name, event.value)
                self.changed()

        return choose

    def _read(self) -> None:
        separator = (self.separator.value or "").replace("\\t", "\t")
        self.choices.set("separator", separator)
        self.choices.set("encoding", (self.encoding.value or "").strip())
        self.choices.set("missing", (self.missing.value or "").split())
        self.changed()
