"""Every choice that a user can make, as small frozen dataclasses.

What ran is what is logged: `TrainConfig` is written whole into the run's parameters and the model's bundle.
Precedence is argument > environment > file > default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tabstudio.table.schema import Kind, Label, Task

Device = str
"""`auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
Precision = Literal["auto", "float32", "bf16"]
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
    """How rows are set apart. `group`, `time` and `column` name columns; `column` holds a split that is given."""

    test_size: float = 0.25
    folds: int = 5
    group: str | None = None
    time: str | None = None
    column: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The network. `tabular` is the default for tables; `mlp` is plain layers of the given widths."""

    name: Literal["tabular", "mlp"] = "tabular"
    hidden: tuple[int, ...] = (256, 256, 256)
    dropout: float = 0.15
    activation: Literal["relu", "gelu", "selu", "silu", "tanh", "mish"] = "silu"
    scaling: Scaling = "robust"


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """The loop. None means: chosen from the table's size, printed and recorded.

    `members` is the number of networks trained in the pack, at least one per fold. `minutes` bounds the
    wall-clock time of the training. `patience` counts epochs without a better validation loss.
    """

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    patience: int | None = None
    members: int | None = None
    balance: bool = False
    device: Device = "auto"
    precision: Precision = "auto"
    minutes: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """What a good decision is: `threshold` by F1, or by the costs of the two kinds of error."""

    cost_false_positive: float | None = None
    cost_false_negative: float | None = None
    resamples: int = 1000
    references: bool = True


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training, whole."""

    read: ReadConfig = field(default_factory=ReadConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    recipe: Literal["default", "tutorial"] = "default"
