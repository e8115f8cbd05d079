"""`tabstudio sweep`: search for the options that a table is best trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tabstudio.cli import options as o


def command(
    file: o.File,
    target: o.TargetOption = None,
    trials: o.Trials = None,
    minutes: o.Minutes = None,
    halving: o.Halving = None,
    name: Annotated[str | None, typer.Option(help="Name of the sweep [default: from the file's].")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="TOML file for the best options.")
    ] = None,
    config: o.Config = None,
    experiment: o.Experiment = None,
    tracking_uri: o.TrackingUri = None,
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
    device: o.DeviceOption = None,
    precision: o.PrecisionOption = None,
) -> int:
    """Search for the best options: what is given is kept, what is left open is searched.

    Only the training part of the table is used. Every trial is a child run in MLflow.
    """
    from tabstudio.cli.progress import TerminalReporter
    from tabstudio.recipes import sweep

    told = o.chosen(
        config,
        trials=trials,
        minutes=minutes,
        halving=halving,
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
        device=device,
        precision=precision,
    )
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
    return 0 if result.delivery.complete else 1
