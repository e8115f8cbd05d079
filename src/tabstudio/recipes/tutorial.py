"""The recipe of the breast-cancer tutorial that this project grew from, step by step as it is written.

It is kept to be compared with: it validates on its test part, trains for 50 steps of 1e-4 and so learns
next to nothing. The default recipe is the one to use.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tabstudio.errors import ConfigError
from tabstudio.options import NetworkConfig, TrainConfig

if TYPE_CHECKING:
    from tabstudio.table import Split, Table

RANDOM_STATE = 101
WARNING = (
    "the tutorial recipe validates on its test part and takes 50 steps at a learning rate of 0.0001:\n"
    "its test figures are not honest and its model has hardly learned. Leave --recipe out to do it well."
)


def apply(config: TrainConfig) -> TrainConfig:
    """Return the tutorial's configuration; the seed of the weights and the reading options stay."""
    return replace(
        config,
        split=replace(config.split, test_size=0.25, folds=1, seed=RANDOM_STATE),
        network=NetworkConfig(name="mlp", hidden=(30, 15), dropout=0.3, activation="relu", scaling="minmax"),
        training=replace(
            config.training,
            epochs=50,
            batch_size=0,
            learning_rate=1e-4,
            weight_decay=0.0,
            patience=0,
            members=1,
            distill=False,
            precision="float32",
        ),
    )


def split(table: Table, config: TrainConfig) -> Split:
    """Set a quarter of the rows apart, in the order of scikit-learn's `train_test_split(random_state=101)`.

    Raises `ConfigError` where the target has not two classes, or where an honest split was asked for.
    """
    from tabstudio.table import Split

    target = table.schema.target
    if target is None or target.task != "binary":
        raise ConfigError(
            "option recipe: the tutorial's loss is for a target with two classes; leave --recipe out"
        )
    splits = [name for name in ("group", "time", "column") if getattr(config.split, name)]
    if splits:
        raise ConfigError(
            f"option recipe: the tutorial splits at random; leave --recipe or --{splits[0]} out"
        )
    order = np.random.RandomState(RANDOM_STATE).permutation(len(table))
    tested = int(np.ceil(config.split.test_size * len(table)))
    return Split(
        train=order[tested:].astype(np.int64),
        test=order[:tested].astype(np.int64),
        fold=np.full(len(table) - tested, -1, dtype=np.int16),
        folds=0,
        how="75/25 at random with random_state=101, as the tutorial does; validated on the test part",
        notes=(),
    )


def learning(parts: Split) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to learn from and their folds: the tutorial validates on its test rows."""
    fold = np.repeat(np.array([-1, 0], dtype=np.int16), [len(parts.train), len(parts.test)])
    return np.concatenate([parts.train, parts.test]), fold
