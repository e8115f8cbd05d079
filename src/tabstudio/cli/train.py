"""`tabstudio train`: from a table to a registered model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tabstudio.cli import options as o


def command(
    file: o.File,
    target: o.TargetOption = None,
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
    experiment: o.Experiment = None,
    tracking_uri: o.TrackingUri = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this training was cut off.")] = False,
    separator: o.Separator = None,
    encoding: o.Encoding = None,
    missing: o.Missing = None,
    kind: o.KindOption = None,
    drop: o.Drop = None,
    keep: o.Keep = None,
    task: o.TaskOption = None,
    positive: o.Positive = None,
    test_size: o.TestSize = None,
    folds: o.Folds = None,
    group: o.Group = None,
    time: o.Time = None,
    split: o.SplitColumn = None,
    seed: o.Seed = None,
    network: o.Network = None,
    hidden: o.Hidden = None,
    dropout: o.Dropout = None,
    activation: o.Activation = None,
    scaling: o.ScalingOption = None,
    embedding: o.Embedding = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = None,
    learning_rate: o.LearningRate = None,
    weight_decay: o.WeightDecay = None,
    label_smoothing: o.LabelSmoothing = None,
    patience: o.Patience = None,
    members: o.Members = None,
    balance: o.Balance = None,
    search: Annotated[
        bool | None,
        typer.Option("--search", help="Try options first; the model is made of the best trials."),
    ] = None,
    trials: o.Trials = None,
    halving: o.Halving = None,
    distill: Annotated[
        bool | None, typer.Option("--distill", help="Make one network of the ensemble, for cheap serving.")
    ] = None,
    device: o.DeviceOption = None,
    precision: o.PrecisionOption = None,
    minutes: o.Minutes = None,
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
        embedding=embedding,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        patience=patience,
        members=members,
        balance=balance,
        search=search,
        trials=trials,
        halving=halving,
        distill=distill,
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
    from tabstudio.recipes import train

    column = o.named_target(target)
    with TerminalReporter(every_epoch=options.get("recipe") == "tutorial") as reporter:
        result = train(file, column, reporter=reporter, **job, **options)
    print(result.text())
    if result.partial:
        return 130
    return 0 if result.delivery.complete else 1
