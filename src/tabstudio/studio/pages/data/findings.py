"""The findings of a table, each with a button for its remedy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicegui import ui

from tabstudio.studio.pages.data.table_choices import TableChoices
from tabstudio.studio.services.tables.preview_types import FindingPreview
from tabstudio.studio.ui.elements import empty

MOST = 30
_WORDS = {"danger": "Danger", "warning": "Warning", "info": "Note"}
_TO_DROP = ("leak", "cardinality", "missing")


def show_findings(
    findings: Sequence[FindingPreview],
    choices: TableChoices,
    changed: Callable[[], None],
    group_by: Callable[[str], None],
) -> None:
    """List the findings, the gravest first, each with a button for its remedy.

    A column is left out or kept, which `changed` is told of; or its rows stay together by `group_by`.
    """
    if not findings:
        empty("Nothing: no ids, constants, copies of rows, gaps or suspected leaks.")
    for finding in findings[:MOST]:
        with ui.element("div").classes(f"note {finding['severity'].replace('info', '')}"):
            with ui.element("p"):
                ui.label(f"{_WORDS[finding['severity']]}: ").classes("inline strong")
                ui.label(finding["message"]).classes("inline")
            ui.label(finding["remedy"]).classes("muted")
            _way_out(finding, choices, changed, group_by)
    if len(findings) > MOST:
        empty(f"… and {len(findings) - MOST} more.")
    if not choices.target:
        empty("Leaks are looked for once a column to predict is chosen.")


def _way_out(
    finding: FindingPreview,
    choices: TableChoices,
    changed: Callable[[], None],
    group_by: Callable[[str], None],
) -> None:
    columns = [name for name in finding["columns"] if name != choices.target]
    doing, look_again = "Keep it", True
    act: Callable[..., None] = choices.use
    if finding["kind"] == "groups":
        doing, act, look_again = "Keep its rows together", group_by, False
    elif finding["kind"] in _TO_DROP and finding["severity"] != "info":
        doing, act = "Leave it out" if len(columns) == 1 else "Leave them out", choices.leave_out
    elif finding["kind"] != "id":
        return

    def done() -> None:
        act(*columns)
        if look_again:
            changed()

    button = ui.button(doing, on_click=done).props("flat dense no-caps")
    button.props["aria-label"] = f"{doing}: {', '.join(columns)[:200]}"
