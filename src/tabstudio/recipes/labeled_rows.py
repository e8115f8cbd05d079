"""The rows of a training: typed columns, labels and folds in one object."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabstudio.table.schema import Schema, Target

if TYPE_CHECKING:
    from tabstudio.model.encoder import Encoder
    from tabstudio.table import Table
    from tabstudio.training.data import TrainingRows


@dataclass(frozen=True)
class LabeledRows:
    """Rows that members train on or hold out.

    `frame` is typed as `Table.frame` is. `labels` (n,) are as `Table.labels` gives them, `fold` (n,) as
    `Split.fold`: the number of the fold that holds a row out, -1 for rows that are always trained on. Rows
    of a single fold beside -1 are held out by every member.
    """

    frame: pl.DataFrame
    schema: Schema
    labels: np.ndarray
    fold: np.ndarray

    @classmethod
    def of(cls, table: Table, fold: np.ndarray) -> LabeledRows:
        """Return the rows of a table with their folds."""
        return cls(table.frame, table.schema, table.labels(), fold)

    @property
    def target(self) -> Target:
        """What the labels are labels of."""
        assert self.schema.target is not None
        return self.schema.target

    @property
    def folds(self) -> int:
        """Number of folds."""
        return int(self.fold.max(initial=-1)) + 1

    @cached_property
    def trained(self) -> np.ndarray:
        """Which rows (n,) some member trains on."""
        return self.fold < 0 if self.folds == 1 else np.ones(len(self.fold), dtype=bool)

    def encoded(self, encoder: Encoder) -> TrainingRows:
        """Return the rows in the trainer's form."""
        from tabstudio.training.data import TrainingRows

        inputs = encoder.encode(self.frame)
        return TrainingRows(inputs, self.labels, self.fold, self.target, encoder.cardinalities)
