"""`tabstudio train`: from a table to a registered model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tabstudio.cli import options as o


def command(
    file: o.File,
    target: Annotated[str | None, typer.Option("--target", "-t", help="The column to predict.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the registered model [default: from the file's].")
    ] = None,
    register: Annotated[bool, typer.Option("--register/--no-register", help="Register a version.")] = True,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the model and its reports, beside MLflow."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="default, or tutorial: the well-known tutorial, exactly.")
    ] = None,
    config: o.Config = None,
    experiment: Annotated[
        str | None, typer.Option(help="MLflow experiment [default: the model's name].")
    ] = None,
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow's address [default: MLFLOW_TRACKING_URI].")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this training was cut off.")] = False,
    separator: o.Separator = None,
    encoding: o.Encoding = None,
    missing: o.Missing = None,
    kind: o.KindOption = None,
    drop: o.Drop = None,
    keep: o.Keep = None,
    task: o.TaskOption = None,
    positive: o.Positive = None,
    test_size: Annotated[float | None, typer.Option(help="Share of the rows set apart for the test.")] = None,
    folds: Annotated[int | None, typer.Option(help="Validation folds inside the training part.")] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Rows of one group stay together.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Later rows are tested on earlier ones.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column with train, validation, test.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the split, the weights and the order of rows.")
    ] = None,
    network: Annotated[str | None, typer.Option(help="tabular or mlp.")] = None,
    hidden: Annotated[
        str | None, typer.Option(metavar="WIDTHS", help="Widths of the hidden layers: 30,15.")
    ] = None,
    dropout: Annotated[float | None, typer.Option(help="Share of units dropped while training.")] = None,
    activation: Annotated[str | None, typer.Option(help="relu, gelu, selu, silu, tanh or mish.")] = None,
    scaling: Annotated[str | None, typer.Option(help="robust, minmax or standard.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training rows, at most.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in a step; 0 takes all at once.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Decoupled weight decay.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without a better validation loss; 0: never stop.")
    ] = None,
    members: Annotated[int | None, typer.Option(help="Networks in the pack.")] = None,
    balance: Annotated[bool | None, typer.Option("--balance", help="Weigh classes by their rarity.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bf16.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Bound on the training's time.")] = None,
    cost_false_positive: Annotated[float | None, typer.Option(help="Cost of a false alarm.")] = None,
    cost_false_negative: Annotated[float | None, typer.Option(help="Cost of a missed positive.")] = None,
    resamples: Annotated[int | None, typer.Option(help="Bootstrap resamples behind the intervals.")] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="COLUMN", help="Measure the levels of a column one by one too."),
    ] = None,
    references: Annotated[
        bool | None, typer.Option("--references/--no-references", help="Train simple models beside it.")
    ] = None,
) -> int:
    """Read, look, split, train, evaluate, track and register: the main job."""
    told = o.chosen(
        config,
        recipe=recipe,
        separator=separator,
        encoding=encoding,
        missing=missing,
        kind=o.split_kinds(kind),
        drop=drop,
        keep=keep,
        task=task,
        positive=positive,
        test_size=test_size,
        folds=folds,
        group=group,
        time=time,
        split=split,
        seed=seed,
        network=network,
        hidden=o.widths(hidden),
        dropout=dropout,
        activation=activation,
        scaling=scaling,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        patience=patience,
        members=members,
        balance=balance,
        device=device,
        precision=precision,
        minutes=minutes,
        cost_false_positive=cost_false_positive,
        cost_false_negative=cost_false_negative,
        resamples=resamples,
        slice=slices,
        references=references,
    )
    return run(
        file,
        target=target or told.pop("target", None),
        options=told,
        name=name or told.pop("name", None),
        register=register,
        output=output,
        experiment=experiment or told.pop("experiment", None),
        tracking_uri=tracking_uri or told.pop("tracking_uri", None),
        resume=resume,
    )


def run(file: str, *, target: str | None, options: dict[str, Any], **job: Any) -> int:
    """Train with progress on the terminal.

    0 when all is done, 1 when something waits for the tracker, 130 for a partial result.
    """
    from tabstudio.cli.progress import TerminalReporter
    from tabstudio.errors import ConfigError
    from tabstudio.recipes import train

    if target is None:
        raise ConfigError("option target: name the column to predict, such as --target diagnosis")
    with TerminalReporter(every_epoch=options.get("recipe") == "tutorial") as reporter:
        result = train(file, target, reporter=reporter, **job, **options)
    print(result.text())
    if result.partial:
        return 130
    return 0 if result.delivery.complete else 1
