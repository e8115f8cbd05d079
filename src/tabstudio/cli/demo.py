"""`tabstudio demo`: the main job on the real breast-cancer data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[
        Path, typer.Option(help="Folder that gets the table, mlflow.db and the reports.")
    ] = Path("demo"),
    recipe: Annotated[
        str, typer.Option(help="default, or tutorial: the well-known tutorial, exactly.")
    ] = "default",
) -> int:
    """Write the Wisconsin breast-cancer table, train on it, and say where to look."""
    from tabstudio.cli.train import run
    from tabstudio.recipes.demo import write_cancer_table

    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    table = write_cancer_table(Path("cancer_classification.csv"))
    return run(
        str(table),
        target="diagnosis",
        name="breast-cancer",
        output=Path("report"),
        options={"recipe": recipe},
    )
