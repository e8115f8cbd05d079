"""Keys of a model's training rows and its predictions of the test rows, for comparisons without the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.model.inference.arrays import Array
from tabstudio.table.row_keys import Keys, KeySet, row_keys
from tabstudio.table.schema import Schema

MOST_CELLS = 1 << 20
"""Predictions kept at most, 8 MiB of them: intervals gain nothing from more."""


@dataclass(frozen=True)
class RowEvidence:
    """The training rows as a set of keys; of the test part what was true and what the model said, row by row.

    A key is that of the features alone, see `feature_keys`. `numbers` (n,) are the rows' places in the table
    as it was read, `labels` (n,) places in the target's classes or values, `predictions` (n, classes)
    probabilities or (n,) values. Of a very large test part only every second or later row is kept.
    """

    trained: KeySet
    keys: Keys
    numbers: npt.NDArray[np.int64]
    labels: Array
    predictions: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls,
        schema: Schema,
        trained: pl.DataFrame,
        tested: pl.DataFrame,
        numbers: npt.NDArray[np.int64],
        labels: Array,
        predictions: npt.NDArray[np.float64],
    ) -> Self:
        """The evidence of a training: `trained` and `tested` are rows with the schema's features."""
        step = max(1, -(-predictions.size // MOST_CELLS))
        every = slice(None, None, step)
        return cls(
            KeySet.of(feature_keys(trained, schema)),
            feature_keys(tested[every], schema),
            np.asarray(numbers[every], dtype=np.int64),
            labels[every].copy(),
            np.ascontiguousarray(predictions[every], dtype=np.float64),
        )

    def tensors(self) -> dict[str, Array]:
        """Return arrays by name for a file, read by `from_tensors`."""
        return {
            "trained": self.trained.bits,
            "keys": self.keys,
            "numbers": self.numbers,
            "labels": self.labels,
            "predictions": self.predictions,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> Self:
        """The evidence that `tensors` gave. Raises `KeyError` where one is missing."""
        names = ("keys", "numbers", "labels", "predictions")
        return cls(KeySet(tensors["trained"]), *(tensors[name] for name in names))


def feature_keys(rows: pl.DataFrame, schema: Schema) -> Keys:
    """A key for each row (n,), of the schema's features alone; `rows` are typed as `conform` types them."""
    return row_keys(rows.select([column.name for column in schema.features]))
