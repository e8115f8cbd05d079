"""`tabstudio train`: from a table to a registered model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tabstudio.cli import options as o


@o.with_options("train")
def command(
    file: o.File,
    target: o.Target = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the registered model [default: from the file's].")
    ] = None,
    register: Annotated[bool, typer.Option("--register/--no-register", help="Register a version.")] = True,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the model and its reports, beside MLflow."),
    ] = None,
    config: o.Config = None,
    experiment: o.Experiment = None,
    tracking_uri: o.TrackingUri = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this training was cut off.")] = False,
    **options: Any,
) -> int:
    """Read, look, split, train, evaluate, track and register: the main job."""
    job = {"target": target, "name": name, "experiment": experiment, "tracking_uri": tracking_uri}
    merged = o.merge_options(config, options | job)
    return run(
        file,
        target=merged.pop("target", None),
        options=merged,
        register=register,
        output=output,
        resume=resume,
    )


def run(file: str, *, target: str | None, options: dict[str, Any], **job: Any) -> int:
    """Train with progress on the terminal.

    0 when all is done, 1 when something waits for a tracker that should have it, 130 for a partial result.
    """
    from tabstudio.cli.progress import TerminalReporter
    from tabstudio.recipes import train

    column = o.require_target(target)
    with TerminalReporter(every_epoch=options.get("recipe") == "tutorial") as reporter:
        result = train(file, column, reporter=reporter, **job, **options)
    print(result.text())
    if result.partial:
        return 130
    return 0 if result.delivery.complete or result.delivery.postponed else 1
