"""`tabstudio explore`: look at a table before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tabstudio.cli import options as o


def command(
    file: o.File,
    target: Annotated[str | None, typer.Option("--target", "-t", help="The column to predict.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for report.html and the pictures.")
    ] = None,
    separator: o.Separator = None,
    encoding: o.Encoding = None,
    missing: o.Missing = None,
    kind: o.KindOption = None,
    drop: o.Drop = None,
    keep: o.Keep = None,
    task: o.TaskOption = None,
    positive: o.Positive = None,
    config: o.Config = None,
) -> None:
    """Show a table's types, numbers, charts and findings, and write them as one HTML page."""
    from tabstudio.config import configure
    from tabstudio.exploration import explore
    from tabstudio.recipes.naming import stem

    told = o.chosen(
        config,
        separator=separator,
        encoding=encoding,
        missing=missing,
        kind=o.split_kinds(kind),
        drop=drop,
        keep=keep,
        task=task,
        positive=positive,
    )
    exploration = explore(file, target=target or told.pop("target", None), config=configure(**told).read)
    print(exploration.text())
    folder = output or Path(f"{stem(file)}-report")
    exploration.save(folder)
    print(f"\nreport: {folder / 'report.html'}")
