"""`tabstudio explore`: look at a table before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tabstudio.cli import options as o


@o.with_options("explore")
def command(
    file: o.File,
    target: o.Target = None,
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

    merged = o.merge_options(config, options | {"target": target})
    reading = configure(**{name: value for name, value in merged.items() if name not in o.JOB}).read
    exploration = explore(file, target=merged.get("target"), config=reading)
    print(exploration.text())
    folder = output or Path(f"{stem(file)}-report")
    exploration.save(folder)
    print(f"\nreport: {folder / 'report.html'}")
