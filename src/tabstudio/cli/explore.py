"""`tabstudio explore`: look at a table before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tabstudio.cli import options as o


@o.taking(o.READING)
def command(
    file: o.File,
    target: Annotated[str | None, typer.Option("--target", "-t", help="The column to predict.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for report.html and the pictures.")
    ] = None,
    config: o.Config = None,
    **options: Any,
) -> None:
    """Show a table's types, numbers, charts and findings, and write them as one HTML page."""
    from tabstudio.exploration import explore
    from tabstudio.options import configure
    from tabstudio.recipes.names import stem

    told = o.chosen(config, **options)
    exploration = explore(file, target=target or told.pop("target", None), config=configure(**told).read)
    print(exploration.text())
    folder = output or Path(f"{stem(file)}-report")
    exploration.save(folder)
    print(f"\nreport: {folder / 'report.html'}")
