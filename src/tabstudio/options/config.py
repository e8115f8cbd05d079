"""Every choice that a user can make, as small frozen dataclasses.

What ran is what is logged: `TrainConfig` is written whole into the run's parameters and the model's bundle.
Precedence is argument > environment > file > default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from tabstudio.errors import ConfigError
from tabstudio.table.schema import Kind, Label, Task

Device = str
"""`auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
Precision = Literal["auto", "float32", "bf16"]
Recipe = Literal["default", "tutorial"]
Scaling = Literal["robust", "minmax", "standard"]
"""`robust` is RealMLP's: centre by the median, scale by quartiles, clip smoothly."""


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """How to read a table, where the guesses shall be overridden.

    `missing` are words that stand for no value, beside the empty cell; None leaves them to be guessed.
    """

    separator: str | None = None
    encoding: str | None = None
    missing: tuple[str, ...] | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    task: Task | None = None
    positive: Label | None = None


@dataclass(frozen=True, slots=True)
class SplitConfig:
    """How rows are set apart.

    `group`, `time` and `column` name columns: rows of one group stay together, later rows are tested on
    earlier ones, `column` holds a split that is given.
    """

    test_size: float = 0.25
    folds: int = 5
    group: str | None = None
    time: str | None = None
    column: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The network. `tabular` is the default for tables; `mlp` is plain layers of the given widths.

    `tabm` is an ensemble that shares most of its weights, `resnet` has a residual block for each width.
    `dropout` None leaves it to be chosen from the table's size. `embedding` is the width of the learned
    vector that `tabular` gives each category of a column with many.
    """

    name: Literal["tabular", "mlp", "tabm", "resnet"] = "tabular"
    hidden: tuple[int, ...] | None = None
    dropout: float | None = None
    activation: Literal["relu", "gelu", "selu", "silu", "tanh", "mish"] = "silu"
    scaling: Scaling = "robust"
    embedding: int = 8

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the hidden layers; where they were left open, what wider ones did not surpass."""
        return (128, 128, 128) if self.hidden is None else self.hidden

    @property
    def dropped(self) -> float:
        """Share of units dropped while training: that of small tables where it was left open."""
        return 0.15 if self.dropout is None else self.dropout


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The loop. None means: chosen from the table's size, printed and recorded.

    `members` is the number of networks trained in the pack, at least one per fold. `minutes` bounds the
    wall-clock time of the training. `patience` counts epochs without a better validation loss; 0 trains
    all epochs and keeps the last weights. `batch_size` 0 takes all rows at once, in their order. `distill`
    makes one network of the ensemble in the end, for cheap serving.
    """

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    label_smoothing: float | None = None
    patience: int | None = None
    members: int | None = None
    balance: bool = False
    distill: bool = False
    device: Device = "auto"
    precision: Precision = "auto"
    minutes: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """What a good decision is: `threshold` by F1, or by the costs of the two kinds of error.

    `slices` are columns whose levels are measured each by itself.
    """

    cost_false_positive: float | None = None
    cost_false_negative: float | None = None
    resamples: int = 1000
    references: bool = True
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """The search for better options, where one is asked for.

    `trials` is the number of sets of options that are tried. With `halving` the worse half of them leaves
    after a quarter, and again after half of the epochs.
    """

    search: bool = False
    trials: int = 32
    halving: bool = True


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training, whole. `recipe` says which steps are taken, the rest how."""

    read: ReadConfig = field(default_factory=ReadConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    recipe: Recipe = "default"

    def flat(self) -> dict[str, Any]:
        """Every choice by the name that the command line and TOML files use: what a run records."""
        return {
            option: getattr(getattr(self, section), name) if section else getattr(self, name)
            for option, (section, name) in OPTIONS.items()
        }


def _options() -> dict[str, tuple[str, str]]:
    renamed = {
        ("read", "kinds"): "kind",
        ("split", "column"): "split",
        ("network", "name"): "network",
        ("evaluation", "slices"): "slice",
    }
    table = {"recipe": ("", "recipe")}
    for section in ("read", "split", "network", "training", "evaluation", "search"):
        for f in fields(getattr(TrainConfig(), section)):
            table.setdefault(renamed.get((section, f.name), f.name), (section, f.name))
    return table


OPTIONS: Mapping[str, tuple[str, str]] = _options()
"""Option name -> (section of `TrainConfig`, field). `seed` stands for the split's and the training's."""


def configure(base: TrainConfig | None = None, **options: Any) -> TrainConfig:
    """Set options by their flat names, as the command line and TOML files spell them.

    Raises `ConfigError` naming every unknown option and every value that does not fit.

    >>> configure(epochs=20, network="mlp", hidden=(30, 15)).network.hidden
    (30, 15)
    """
    config = base or TrainConfig()
    faults = [_unknown(name) for name in options if name not in OPTIONS]
    sections: dict[str, dict[str, Any]] = {}
    for option, value in options.items():
        section, name = OPTIONS.get(option, ("", option))
        sections.setdefault(section, {})[name] = value
    if "seed" in options:
        sections.setdefault("training", {})["seed"] = options["seed"]
    checked: dict[str, Any] = {}
    for section, values in sections.items():
        if section:
            checked[section] = _checked(getattr(config, section), values, faults)
        elif "recipe" in values:
            checked["recipe"] = _recipe(values["recipe"], faults)
    if faults:
        raise ConfigError("\n".join(faults))
    return replace(config, **checked)


def load_config(path: str | Path) -> dict[str, Any]:
    """Options of a TOML file, by their flat names, to be handed to `configure`.

    Raises `ConfigError` where the file cannot be read or is not TOML.
    """
    import tomllib

    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: the configuration cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: this is not a TOML file: {error}") from error


def _checked(section: Any, values: dict[str, Any], faults: list[str]) -> Any:
    from pydantic import TypeAdapter, ValidationError

    options = {place: option for option, place in OPTIONS.items()}
    merged = {f.name: getattr(section, f.name) for f in fields(section)} | values
    try:
        adapted: Any = TypeAdapter(type(section)).validate_python(merged)
    except ValidationError as error:
        place = _place_of(section)
        for fault in error.errors():
            name = options.get((place, str(fault["loc"][0])), str(fault["loc"][0]))
            faults.append(f"option {name}: {fault['msg']}, got {fault['input']!r}")
        return section
    faults.extend(_out_of_range(adapted))
    return adapted


def _place_of(section: Any) -> str:
    return next(
        f.name for f in fields(TrainConfig) if isinstance(getattr(TrainConfig(), f.name), type(section))
    )


_AT_LEAST = {
    "folds": 1,
    "epochs": 1,
    "batch_size": 0,
    "patience": 0,
    "members": 1,
    "resamples": 0,
    "trials": 1,
    "weight_decay": 0,
    "embedding": 1,
}
_ABOVE_ZERO = ("learning_rate", "minutes", "cost_false_positive", "cost_false_negative")


def _out_of_range(section: Any) -> list[str]:
    faults = []
    for f in fields(section):
        value = getattr(section, f.name)
        if value is None:
            continue
        if f.name in _AT_LEAST and value < _AT_LEAST[f.name]:
            faults.append(f"option {f.name}: at least {_AT_LEAST[f.name]} was expected, got {value}")
        if f.name in _ABOVE_ZERO and not 0 < value < float("inf"):
            faults.append(f"option {f.name}: a number above 0 was expected, got {value}")
        if f.name in ("test_size", "dropout", "label_smoothing") and not 0 <= value < 1:
            faults.append(f"option {f.name}: a share from 0 to below 1 was expected, got {value}")
        if f.name == "device" and not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
            faults.append(f"option device: auto, cpu, cuda, cuda:1 or mps was expected, got {value!r}")
        if f.name == "hidden" and any(width < 1 for width in value):
            faults.append(f"option hidden: widths of at least 1 were expected, got {value}")
    return faults


def _recipe(value: Any, faults: list[str]) -> Any:
    if value not in get_args(Recipe):
        faults.append(f"option recipe: one of {', '.join(get_args(Recipe))} was expected, got {value!r}")
    return value


def _unknown(name: str) -> str:
    close = get_close_matches(name, OPTIONS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the options are {', '.join(sorted(OPTIONS))}"
    return f"option {name} does not exist: {hint}"
