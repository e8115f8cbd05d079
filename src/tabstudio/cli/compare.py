"""`tabstudio compare`: two models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tabstudio.cli import options as o
from tabstudio.cli.connections import open_remote_registry
from tabstudio.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from tabstudio.registry.comparison import Comparison
    from tabstudio.remote.registry import RemoteComparison


def command(
    first: Annotated[str, typer.Argument(metavar="A", help=o.ADDRESS)],
    second: Annotated[str, typer.Argument(metavar="B", help="The model that it is compared with.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Rows with labels to compare on [default: the test rows]."),
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="COLUMN", help="Compare each level of a column too. Repeat it."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for report.html, its pictures and numbers.")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Compare two models on rows that neither was trained on, with intervals of the differences."""
    comparison = _compare(first, second, data, slices or [])
    if output is not None:
        comparison.save(output)
    if json_:
        print_json(comparison.to_json())
        return
    print(comparison.text())
    if output is not None:
        print(f"\nreport: {output / 'report.html'}")


def _compare(first: str, second: str, data: str | None, slices: list[str]) -> Comparison | RemoteComparison:
    studio = open_remote_registry()
    if studio is not None:
        return studio.compare(first, second, data=data, slices=slices)
    from tabstudio.registry.comparison import compare

    return compare(first, second, data=data, slices=slices)
