"""`tabstudio sweep`: search for the options that a table is best trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tabstudio.cli import options as o


@o.taking(o.SEARCHING, o.READING, o.TRAINING)
def command(
    file: o.File,
    target: o.TargetOption = None,
    name: Annotated[str | None, typer.Option(help="Name of the sweep [default: from the file's].")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="TOML file for the best options.")
    ] = None,
    config: o.Config = None,
    experiment: o.Experiment = None,
    tracking_uri: o.TrackingUri = None,
    **options: Any,
) -> int:
    """Search for the best options: what is given is kept, what is left open is searched.

    Only the training part of the table is used. Every trial is a child run in MLflow.
    """
    from tabstudio.cli.progress import TerminalReporter
    from tabstudio.recipes import sweep

    told = o.chosen(config, **options)
    column = o.named_target(target or told.pop("target", None))
    with TerminalReporter() as reporter:
        result = sweep(
            file,
            column,
            name=name or told.pop("name", None),
            output=output,
            experiment=experiment or told.pop("experiment", None),
            tracking_uri=tracking_uri or told.pop("tracking_uri", None),
            reporter=reporter,
            **told,
        )
    print(result.text())
    if result.searched.interrupted:
        return 130
    return 0 if result.delivery.complete or result.delivery.postponed else 1
