"""Options that several commands share, and their way into a `TrainConfig`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from tabstudio.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

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
Minutes = Annotated[
    float | None, typer.Option(help="Time for the training: filled with more networks or trials.")
]

Recipe = Annotated[str | None, typer.Option(help="default, or tutorial: the well-known tutorial, exactly.")]
Search = Annotated[
    bool | None, typer.Option("--search", help="Try options first; the model is made of the best trials.")
]
Distill = Annotated[
    bool | None, typer.Option("--distill", help="Make one network of the ensemble, for cheap serving.")
]
FalsePositive = Annotated[float | None, typer.Option(help="Cost of a false alarm.")]
FalseNegative = Annotated[float | None, typer.Option(help="Cost of a missed positive.")]
Resamples = Annotated[int | None, typer.Option(help="Bootstrap resamples behind the intervals.")]
Slice = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Measure the levels of a column one by one too."),
]
References = Annotated[
    bool | None, typer.Option("--references/--no-references", help="Train simple models beside it.")
]
Trials = Annotated[int | None, typer.Option(help="Sets of options to try.")]
Halving = Annotated[
    bool | None,
    typer.Option("--halving/--no-halving", help="Let the worse half leave early, or train all to the end."),
]

READING: dict[str, Any] = {
    "separator": Separator,
    "encoding": Encoding,
    "missing": Missing,
    "kind": KindOption,
    "drop": Drop,
    "keep": Keep,
    "task": TaskOption,
    "positive": Positive,
}
"""How a table is read: names of `TrainConfig`'s options, and what the command line says of them."""
SEARCHING: dict[str, Any] = {"trials": Trials, "halving": Halving, "minutes": Minutes}
TRAINING: dict[str, Any] = {
    "test_size": TestSize,
    "folds": Folds,
    "group": Group,
    "time": Time,
    "split": SplitColumn,
    "seed": Seed,
    "network": Network,
    "hidden": Hidden,
    "dropout": Dropout,
    "activation": Activation,
    "scaling": ScalingOption,
    "embedding": Embedding,
    "epochs": Epochs,
    "batch_size": BatchSize,
    "learning_rate": LearningRate,
    "weight_decay": WeightDecay,
    "label_smoothing": LabelSmoothing,
    "patience": Patience,
    "members": Members,
    "balance": Balance,
    "device": DeviceOption,
    "precision": PrecisionOption,
}
"""How rows are split and networks trained, likewise."""
MODELLING: dict[str, Any] = {
    "search": Search,
    **SEARCHING,
    "distill": Distill,
    "cost_false_positive": FalsePositive,
    "cost_false_negative": FalseNegative,
    "resamples": Resamples,
    "slice": Slice,
    "references": References,
}
"""What is made of the networks, and how it is judged, likewise."""


def taking(*tables: dict[str, Any]) -> Callable[[Command], Command]:
    """Give a command the options of some tables, which come to it as `**options`, None where not used."""
    table = {name: option for one in tables for name, option in one.items()}

    def extended(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        parameters = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
            for name, option in table.items()
        ]
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return extended


def named_target(target: str | None) -> str:
    """The target column.

    Raises `ConfigError` where none is named.
    """
    if target is None:
        raise ConfigError("option target: name the column to predict, such as --target diagnosis")
    return target


def split_kinds(pairs: list[str]) -> dict[str, str]:
    """COLUMN=KIND words as a dictionary.

    Raises `ConfigError` where a word has no `=`.
    """
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise ConfigError(f"option kind: COLUMN=KIND was expected, such as zip=category, got {wrong[0]!r}")
    return dict(pair.rsplit("=", 1) for pair in pairs)


def chosen(config_file: Path | None, **options: Any) -> dict[str, Any]:
    """What the file and the command line say, the latter winning; what neither names is left out."""
    from tabstudio.options import load_config

    told = load_config(config_file) if config_file else {}
    given = {name: value for name, value in options.items() if value is not None and value != []}
    read: dict[str, Callable[[Any], Any]] = {"kind": split_kinds, "hidden": widths}
    return told | {name: read[name](value) if name in read else value for name, value in given.items()}


def widths(text: str) -> tuple[int, ...]:
    """`30,15` as (30, 15).

    Raises `ConfigError` where a part is not a whole number.
    """
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f"option hidden: whole numbers such as 30,15 were expected, got {text!r}") from None
