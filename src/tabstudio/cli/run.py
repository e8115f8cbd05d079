"""`tabstudio run`: a script or notebook of the user's own, tracked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    context: typer.Context,
    script: Annotated[
        Path, typer.Argument(help="Python script or notebook; what follows it are its arguments.")
    ],
    experiment: Annotated[
        str | None,
        typer.Option(
            help="Experiment of the run; by default MLFLOW_EXPERIMENT_NAME, then the script's name."
        ),
    ] = None,
    run_name: Annotated[str | None, typer.Option(help="Name of the run; by default the script's.")] = None,
    registered_model_name: Annotated[
        str | None,
        typer.Option("--register", metavar="NAME", help="Register the model as a version of this name."),
    ] = None,
    log_models: Annotated[
        bool, typer.Option("--models/--no-models", help="Keep the best and the last model.")
    ] = True,
    silent: Annotated[
        bool, typer.Option("--silent", help="Say nothing beside what the script says.")
    ] = False,
) -> int:
    """Run a PyTorch script or notebook as it is, and log its training to MLflow."""
    from tabstudio.autologging import AutologOptions
    from tabstudio.autologging.launch.script import run_script

    options = AutologOptions(
        experiment,
        run_name or script.stem,
        registered_model_name,
        log_models,
        silent=silent,
    )
    if script.suffix == ".ipynb":
        from tabstudio.autologging.launch.notebook import run_notebook

        return run_notebook(script, context.args, options)
    return run_script(script, context.args, options)
