"""Tables for the terminal, and JSON for programs: how the registry's commands print."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tabstudio.registry.records import GateResult, Metric, Version

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
_PIPED_WIDTH = 200
_FIRST_METRICS = ("roc_auc", "f1", "accuracy", "r2", "rmse", "mae", "log_loss")
_SHOWN_METRICS = 2


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print rows under a head, columns `right` aligned to the right. Into a pipe the lines stay whole."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, name in enumerate(head):
        made.add_column(name, justify="right" if place in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))  # Text: a name with brackets is no markup
    Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False).print(made)


def as_json(value: Any) -> None:
    """Print a plain value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def gate_table(results: Sequence[GateResult]) -> None:
    """Print what each gate found."""
    rows = [("passed" if r.passed else "FAILED", r.name, r.measured, r.required, r.message) for r in results]
    table(("", "gate", "measured", "required", ""), rows)


def metric_names(versions: Sequence[Version]) -> list[str]:
    """The metrics that a table of versions shows: those of the test part, the best known first."""
    known = list(dict.fromkeys(name for version in versions for name in version.metrics))
    tested = [name for name in known if name.startswith("test_")] or known
    first = [f"test_{name}" for name in _FIRST_METRICS] + list(_FIRST_METRICS)
    tested.sort(key=lambda name: first.index(name) if name in first else len(first))
    return tested[:_SHOWN_METRICS]


def said(metric: Metric | None) -> str:
    """A figure with its 95 % interval, a dash for none."""
    from tabstudio.report.wording import say

    if metric is None:
        return "–"
    if metric.low is None or metric.high is None:
        return say(metric.value)
    return f"{say(metric.value)} [{say(metric.low)}, {say(metric.high)}]"


def age(created: int) -> str:
    """How long ago a time in milliseconds was, in its largest unit."""
    seconds = max(0, time.time() - created / 1000)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def when(stamp: str) -> str:
    """A time of the history to the second, UTC."""
    return stamp[:19].replace("T", " ")
