"""Every option of a training, declared once: a field of a small frozen dataclass, its bound and its `Option`.

The command line, the studio's form, scikit-learn's estimators, validation, documentation and the search space
are made from these declarations. What ran is what is logged: `TrainConfig` is written whole into the run's
parameters and the model's bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from tabstudio.options.declarations import declared_options
from tabstudio.options.option import (
    AT_LEAST_0,
    AT_LEAST_1,
    DEVICE,
    FILE,
    MODEL,
    NOT_NEGATIVE,
    POSITIVE,
    READING,
    RUN,
    SHARE,
    TRAIN,
    WIDTH,
    Option,
)
from tabstudio.options.ranges import Around, Between, Layers, Multiples, OneOf
from tabstudio.table.schema import Kind, Label, Task

Device = str
"""`auto`, `cpu`, `cuda`, `cuda:1`, `mps`."""
Precision = Literal["auto", "float32", "bf16"]
Recipe = Literal["default", "tutorial"]
Scaling = Literal["robust", "minmax", "standard"]
"""`robust` is RealMLP's: centre by the median, scale by quartiles, clip smoothly."""


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """How a table is read, where the guesses shall be overridden."""

    separator: Annotated[
        str | None, Option("Field separator of a text table, where the guess is wrong.", FILE, "guessed")
    ] = None
    encoding: Annotated[str | None, Option("Text encoding, where the guess is wrong.", FILE, "guessed")] = (
        None
    )
    missing: Annotated[
        tuple[str, ...] | None,
        Option(
            "A word that stands for no value, beside the empty cell. Repeat it for several.",
            READING,
            "guessed",
            metavar="WORD",
        ),
    ] = None
    kinds: Annotated[
        Mapping[str, Kind],
        Option(
            "Read a column as number, boolean, category, date or text.",
            READING,
            "guessed",
            name="kind",
            metavar="COLUMN=KIND",
        ),
    ] = field(default_factory=dict)
    drop: Annotated[
        tuple[str, ...], Option("Leave a column out of the features.", READING, metavar="COLUMN")
    ] = ()
    keep: Annotated[
        tuple[str, ...],
        Option("Keep a column that was taken for an id or a constant.", READING, metavar="COLUMN"),
    ] = ()
    task: Annotated[Task | None, Option("What is predicted.", READING, "guessed from the target")] = None
    positive: Annotated[
        Label | None, Option("The class of interest of a binary target.", READING, "guessed", metavar="LABEL")
    ] = None


@dataclass(frozen=True, slots=True)
class SplitConfig:
    """How rows are set apart for the test and for validation."""

    test_size: Annotated[
        float,
        SHARE,
        Option(
            "Share of the rows set apart for the test.", RUN, label="Share of rows for the test", short=True
        ),
    ] = 0.25
    folds: Annotated[
        int,
        AT_LEAST_1,
        Option("Validation folds inside the training part.", MODEL, label="Validation folds", short=True),
    ] = 5
    group: Annotated[
        str | None,
        Option(
            "Rows of one group stay together.",
            RUN,
            "no groups",
            label="Rows that stay together, by",
            metavar="COLUMN",
            short=True,
        ),
    ] = None
    time: Annotated[
        str | None,
        Option(
            "Later rows are tested on earlier ones.",
            RUN,
            "at random",
            label="Later rows are tested, by",
            metavar="COLUMN",
            short=True,
        ),
    ] = None
    column: Annotated[
        str | None,
        Option(
            "Column of train, validation, test.",
            RUN,
            "none is given",
            label="Split that is given, in",
            name="split",
            metavar="COLUMN",
        ),
    ] = None
    seed: Annotated[
        int, Option("Seed of the split, the weights and the order of rows.", RUN, label="Seed", short=True)
    ] = 0


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """The network. `tabular` is the default for tables; `mlp` is plain layers of the given widths.

    `tabm` is an ensemble that shares most of its weights, `resnet` has a residual block for each width.
    """

    name: Annotated[
        Literal["tabular", "mlp", "tabm", "resnet"],
        Option("Architecture of the networks.", MODEL, label="Network", name="network", short=True),
    ] = "tabular"
    hidden: Annotated[
        tuple[Annotated[int, WIDTH], ...] | None,
        Option(
            "Widths of the hidden layers: 30,15.",
            MODEL,
            "128,128,128: narrower where the training would take too long",
            label="Widths of the layers",
            metavar="WIDTHS",
            search=Layers(4, (0.25, 0.5, 1.0), fewer=2, more=1),
        ),
    ] = None
    dropout: Annotated[
        float | None,
        SHARE,
        Option(
            "Share of units dropped while training.",
            MODEL,
            "0.15: 0 for tabular from 2,000 training rows on",
            label="Dropout",
            search=Between(2, 0.0, 0.6),
        ),
    ] = None
    activation: Annotated[
        Literal["silu", "relu", "gelu", "selu", "tanh", "mish"],
        Option("Activation function of the hidden layers.", MODEL, label="Activation"),
    ] = "silu"
    scaling: Annotated[Scaling, Option("How numbers are scaled.", MODEL, label="Scaling")] = "robust"
    embedding: Annotated[
        int,
        AT_LEAST_1,
        Option(
            "Width of the learned vector of a category, in columns with many.",
            MODEL,
            label="Width of category vectors",
            search=OneOf(6, (4, 8, 16)),
        ),
    ] = 8

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
    """The training loop. What is None is chosen from the table's size, printed and recorded."""

    epochs: Annotated[
        int | None,
        AT_LEAST_1,
        Option(
            "Passes over the training rows, at most.",
            MODEL,
            "by rows: 8 to 100, on large tables what 2,400 steps make; more for regressions of little noise",
            label="Epochs, at most",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        AT_LEAST_0,
        Option(
            "Rows in a step; 0 takes all at once, in their order.",
            MODEL,
            "by rows: 256, 512 above 32,768 training rows, 1,024 above 65,536",
            label="Rows in a step",
            search=Multiples(5, (0.5, 1, 2)),
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        POSITIVE,
        Option(
            "Peak learning rate.",
            MODEL,
            "by network: 0.04 for tabular, 0.1 for its regressions, 0.002 for tabm, else 0.001",
            label="Learning rate",
            search=Around(0, 10),
        ),
    ] = None
    weight_decay: Annotated[
        float | None,
        NOT_NEGATIVE,
        Option(
            "Decoupled weight decay.",
            MODEL,
            "by network: 0.02 for tabular, else 0",
            label="Weight decay",
            search=Between(1, 1e-5, 0.3, log=True),
        ),
    ] = None
    label_smoothing: Annotated[
        float | None,
        SHARE,
        Option(
            "Share of a label that goes to all classes; a regression has none.",
            MODEL,
            "by network: 0.1 for tabular, else 0",
            label="Label smoothing",
            search=Between(3, 0.0, 0.2),
        ),
    ] = None
    patience: Annotated[
        int | None,
        AT_LEAST_0,
        Option(
            "Epochs without a better validation loss; 0 trains them all and keeps the last weights.",
            MODEL,
            "by network: 12 for tabular, all epochs for its regressions, else a third of them, at least 10",
            label="Epochs of patience",
        ),
    ] = None
    members: Annotated[
        int | None,
        AT_LEAST_1,
        Option(
            "Networks in the pack, at least one for each fold.",
            MODEL,
            "one a fold: with minutes as many as they have room for",
            label="Networks in the pack",
        ),
    ] = None
    balance: Annotated[bool, Option("Weigh classes by their rarity.", MODEL)] = False
    distill: Annotated[
        bool,
        Option(
            "Make one network of the ensemble, for cheap serving.",
            TRAIN,
            label="Make one network of the ensemble",
        ),
    ] = False
    device: Annotated[
        Device,
        DEVICE,
        Option(
            "Where the training runs: auto, cpu, cuda, cuda:1 or mps.",
            MODEL,
            "cuda where there is a CUDA device, else cpu",
            label="Device",
            words=("auto", "cpu", "cuda", "mps"),
        ),
    ] = "auto"
    precision: Annotated[
        Precision,
        Option(
            "Number format of the products.",
            MODEL,
            "bf16 where the device has it and batches of 1,024 rows or more gain by it, else float32",
            label="Precision",
        ),
    ] = "auto"
    minutes: Annotated[
        float | None,
        POSITIVE,
        Option(
            "Time for the training: filled with more networks or trials.",
            MODEL,
            "no bound",
            label="Minutes, at most",
            short=True,
        ),
    ] = None
    seed: int = 0
    """Set by the option `seed`, with the split's."""


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """What a good decision is, and what is measured."""

    cost_false_positive: Annotated[
        float | None,
        POSITIVE,
        Option(
            "Cost of a false alarm.",
            TRAIN,
            "the threshold is chosen by F1: 1 where only the other cost is given",
        ),
    ] = None
    cost_false_negative: Annotated[
        float | None,
        POSITIVE,
        Option(
            "Cost of a missed positive.",
            TRAIN,
            "the threshold is chosen by F1: 1 where only the other cost is given",
        ),
    ] = None
    resamples: Annotated[
        int,
        AT_LEAST_0,
        Option("Bootstrap resamples behind the intervals.", TRAIN, label="Resamples behind the intervals"),
    ] = 1000
    references: Annotated[bool, Option("Train simple models beside it.", TRAIN)] = True
    slices: Annotated[
        tuple[str, ...],
        Option(
            "Measure the levels of a column one by one too.",
            TRAIN,
            label="Measure the levels of",
            name="slice",
            metavar="COLUMN",
        ),
    ] = ()


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """The search for better options, where one is asked for."""

    search: Annotated[
        bool,
        Option("Try options first; the model is made of the best trials.", TRAIN, label="Try options first"),
    ] = False
    trials: Annotated[int, AT_LEAST_1, Option("Sets of options to try.", RUN, label="Trials", short=True)] = (
        32
    )
    halving: Annotated[
        bool,
        Option(
            "Let the worse half of the trials leave early, after a quarter and after half of the epochs.",
            RUN,
            label="Let the worse half leave early",
        ),
    ] = True


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training, whole. `recipe` says which steps are taken, the rest how."""

    read: ReadConfig = field(default_factory=ReadConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    recipe: Annotated[
        Recipe,
        Option(
            "The steps that are taken; tutorial: the well-known tutorial, exactly.",
            TRAIN,
            label="Recipe",
            short=True,
        ),
    ] = "default"

    def flat(self) -> dict[str, object]:
        """Every choice by the name that the command line and TOML files use: what a run records."""
        return {name: declared.of(self) for name, declared in declared_options(TrainConfig).items()}
