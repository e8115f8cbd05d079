"""`tabstudio sweep`: search for the options that a table is best trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tabstudio.cli import options as o


@o.with_options("sweep")
def command(
    file: o.File,
    target: o.Target = None,
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

    job = {"target": target, "name": name, "experiment": experiment, "tracking_uri": tracking_uri}
    merged = o.merge_options(config, options | job)
    column = o.require_target(merged.pop("target", None))
    with TerminalReporter() as reporter:
        result = sweep(file, column, output=output, reporter=reporter, **merged)
    print(result.text())
    if result.searched.interrupted:
        return 130
    return 0 if result.delivery.complete or result.delivery.postponed else 1
