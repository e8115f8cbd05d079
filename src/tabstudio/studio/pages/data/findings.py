"""What to mind before training, each with the way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from tabstudio.studio.pages.data.choices import Choices
from tabstudio.studio.ui.frame import empty

MOST = 30
_WORDS = {"danger": "Danger", "warning": "Warning", "info": "Note"}
_TO_DROP = ("leak", "cardinality", "missing")


def show_findings(findings: Sequence[dict[str, Any]], choices: Choices, changed: Callable[[], None]) -> None:
    """The gravest first. Where a column is the trouble, a button leaves it out, or keeps it."""
    if not findings:
        empty("Nothing: no ids, constants, copies of rows, gaps or suspected leaks.")
    for finding in findings[:MOST]:
        with ui.element("div").classes(f"note {finding['severity'].replace('info', '')}"):
            with ui.element("p"):
                ui.label(f"{_WORDS[finding['severity']]}: ").classes("inline strong")
                ui.label(finding["message"]).classes("inline")
            ui.label(finding["remedy"]).classes("muted")
            _way_out(finding, choices, changed)
    if len(findings) > MOST:
        empty(f"… and {len(findings) - MOST} more.")
    if not choices.target:
        empty("Leaks are looked for once a column to predict is chosen.")


def _way_out(finding: dict[str, Any], choices: Choices, changed: Callable[[], None]) -> None:
    columns = [name for name in finding["columns"] if name != choices.target]
    act: Callable[..., None]
    if finding["kind"] == "id":
        doing, act = "Keep it", choices.use
    elif finding["kind"] in _TO_DROP and finding["severity"] != "info":
        doing, act = "Leave it out" if len(columns) == 1 else "Leave them out", choices.leave_out
    else:
        return

    def done() -> None:
        act(*columns)
        changed()

    button = ui.button(doing, on_click=done).props("flat dense no-caps")
    button.props["aria-label"] = f"{doing}: {', '.join(columns)[:200]}"
