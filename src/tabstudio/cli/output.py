"""Tables for the terminal, and JSON for programs: how the registry's commands print."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tabstudio.registry.records import GateResult

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
_PIPED_WIDTH = 200


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print rows under a head, columns `right` aligned to the right. Into a pipe the lines stay whole."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, name in enumerate(head):
        table.add_column(name, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: a name with brackets is no markup
    Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False).print(table)


def print_json(value: object) -> None:
    """Print a plain value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_gates(results: Sequence[GateResult]) -> None:
    """Print what each gate found."""
    rows = [("passed" if r.passed else "FAILED", r.name, r.measured, r.required, r.message) for r in results]
    print_table(("", "gate", "measured", "required", ""), rows)
