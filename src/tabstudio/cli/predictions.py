"""`tabstudio predictions`: what was served, and what turned out to be true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[str | None, typer.Argument(help="The name it is served by; without one, all.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="The log's folder, else predictions in TABSTUDIO_HOME.")
    ] = None,
    last: Annotated[int, typer.Option(help="How many rows to show.")] = 10,
) -> None:
    """Look at the log of predictions: how many of which version, the last ones, their later labels."""
    from tabstudio.serving.predictionlog.reader import logged_models, prediction_log
    from tabstudio.serving.predictionlog.summary import summary_table, tail_table

    for name in [model] if model else logged_models(folder):
        log = prediction_log(name, folder)
        print(f"{name}\n{summary_table(log)}")
        if model:
            print(f"\n{tail_table(log, last)}")
