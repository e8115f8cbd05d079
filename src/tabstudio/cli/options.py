"""Options that several commands share, and their way into a `TrainConfig`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tabstudio.errors import ConfigError

File = Annotated[
    str, typer.Argument(metavar="FILE", help="CSV, Parquet or Arrow file, a folder or a glob of them.")
]
ADDRESS = "models:/NAME/VERSION, models:/NAME@ALIAS, runs:/ID/model or a folder."
Address = Annotated[str, typer.Argument(metavar="MODEL", help=ADDRESS)]
Separator = Annotated[
    str | None, typer.Option(help="Field separator of a text table, where the guess is wrong.")
]
Encoding = Annotated[str | None, typer.Option(help="Text encoding, where the guess is wrong.")]
Missing = Annotated[
    list[str] | None,
    typer.Option(metavar="WORD", help="A word that stands for no value. Repeat it for several."),
]
KindOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kind", metavar="COLUMN=KIND", help="Read a column as number, boolean, category, date or text."
    ),
]
Drop = Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Leave a column out of the features.")]
Keep = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Keep a column that was taken for an id or a constant."),
]
TaskOption = Annotated[str | None, typer.Option("--task", help="binary, multiclass or regression.")]
Positive = Annotated[
    str | None, typer.Option(metavar="LABEL", help="The class of interest of a binary target.")
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="TOML", help="Options by the same names, from a file; the command line wins."),
]

TargetOption = Annotated[str | None, typer.Option("--target", "-t", help="The column to predict.")]
Experiment = Annotated[str | None, typer.Option(help="MLflow experiment [default: the model's name].")]
TrackingUri = Annotated[str | None, typer.Option(help="MLflow's address [default: MLFLOW_TRACKING_URI].")]
TestSize = Annotated[float | None, typer.Option(help="Share of the rows set apart for the test.")]
Folds = Annotated[int | None, typer.Option(help="Validation folds inside the training part.")]
Group = Annotated[str | None, typer.Option(metavar="COLUMN", help="Rows of one group stay together.")]
Time = Annotated[str | None, typer.Option(metavar="COLUMN", help="Later rows are tested on earlier ones.")]
SplitColumn = Annotated[str | None, typer.Option(metavar="COLUMN", help="Column of train, validation, test.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the split, the weights and the order of rows.")]
Network = Annotated[str | None, typer.Option(help="tabular, mlp, tabm or resnet.")]
Hidden = Annotated[str | None, typer.Option(metavar="WIDTHS", help="Widths of the hidden layers: 30,15.")]
Dropout = Annotated[float | None, typer.Option(help="Share of units dropped while training.")]
Activation = Annotated[str | None, typer.Option(help="relu, gelu, selu, silu, tanh or mish.")]
ScalingOption = Annotated[str | None, typer.Option(help="robust, minmax or standard.")]
Embedding = Annotated[int | None, typer.Option(help="Width of the vectors of categories, where many.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training rows, at most.")]
BatchSize = Annotated[int | None, typer.Option(help="Rows in a step; 0 takes all at once.")]
LearningRate = Annotated[float | None, typer.Option(help="Peak learning rate.")]
WeightDecay = Annotated[float | None, typer.Option(help="Decoupled weight decay.")]
LabelSmoothing = Annotated[float | None, typer.Option(help="Share of a label that goes to all classes.")]
Patience = Annotated[int | None, typer.Option(help="Epochs without a better validation loss; 0: never stop.")]
Members = Annotated[int | None, typer.Option(help="Networks in the pack.")]
Balance = Annotated[bool | None, typer.Option("--balance", help="Weigh classes by their rarity.")]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]
PrecisionOption = Annotated[str | None, typer.Option(help="auto, float32 or bf16.")]
Minutes = Annotated[float | None, typer.Option(help="Bound on the training's time.")]

Trials = Annotated[int | None, typer.Option(help="Sets of options to try.")]
Halving = Annotated[
    bool | None,
    typer.Option("--halving/--no-halving", help="Let the worse half leave early, or train all to the end."),
]


def named_target(target: str | None) -> str:
    """The target column.

    Raises `ConfigError` where none is named.
    """
    if target is None:
        raise ConfigError("option target: name the column to predict, such as --target diagnosis")
    return target


def split_kinds(pairs: list[str] | None) -> dict[str, str] | None:
    """COLUMN=KIND words as a dictionary.

    Raises `ConfigError` where a word has no `=`.
    """
    if not pairs:
        return None
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise ConfigError(f"option kind: COLUMN=KIND was expected, such as zip=category, got {wrong[0]!r}")
    return dict(pair.rsplit("=", 1) for pair in pairs)


def chosen(config_file: Path | None, **options: Any) -> dict[str, Any]:
    """What the file and the command line say, the latter winning; what neither names is left out."""
    from tabstudio.config import load_config

    told = load_config(config_file) if config_file else {}
    given = {name: value for name, value in options.items() if value is not None and value != []}
    return told | given


def widths(text: str | None) -> tuple[int, ...] | None:
    """`30,15` as (30, 15).

    Raises `ConfigError` where a part is not a whole number.
    """
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f"option hidden: whole numbers such as 30,15 were expected, got {text!r}") from None
