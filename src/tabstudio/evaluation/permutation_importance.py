"""Permutation importance: how much worse a model gets when a column is shuffled (Breiman 2001)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tabstudio.evaluation.evaluate import check_probabilities, check_values
from tabstudio.evaluation.evaluation_result import NAMES, number
from tabstudio.evaluation.metrics import Floats, Ints
from tabstudio.table.schema import Target

if TYPE_CHECKING:
    import polars as pl

    from tabstudio.table.table import Labels

MOST_COLUMNS = 100
LEAST_ROWS = 100
ROWS_AT_ONCE = 8192
"""Rows handed to the model in one call: enough to keep it busy, few enough for any machine."""

Predict = Callable[["pl.DataFrame", Ints], np.ndarray]
"""A frame of m rows, and where each stood in the original (m,), to probabilities (m, classes) or values (m,).

The places let a model of several members answer by those that have not seen the row.
"""


@dataclass(frozen=True, slots=True)
class ColumnImportance:
    """One column: mean increase of the loss, its standard deviation over the repeats."""

    column: str
    value: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Importance:
    """Columns by falling importance. `metric` is the loss that grows, `base` its value without permuting."""

    metric: str
    base: float
    columns: tuple[ColumnImportance, ...]
    rows: int
    repeats: int
    notes: tuple[str, ...] = ()

    def text(self, most: int = 10) -> str:
        """The most important columns, a line each."""
        width = max((len(column.column) for column in self.columns[:most]), default=0)
        head = f"increase of the {NAMES[self.metric]} ({number(self.base)}) when a column is shuffled"
        lines = [
            f"  {c.column.ljust(width)}  {number(c.value)} ± {number(c.deviation)}"
            for c in self.columns[:most]
        ]
        return "\n".join((head, *lines, *(f"note: {note}" for note in self.notes)))

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that `Importance.from_json` takes back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Importance:
        """The importance that `to_json` wrote."""
        columns = tuple(ColumnImportance(**column) for column in data["columns"])
        return cls(**{**data, "columns": columns, "notes": tuple(data["notes"])})


def importance(
    columns: Sequence[str],
    frame: pl.DataFrame,
    labels: npt.ArrayLike,
    predict: Predict,
    target: Target,
    *,
    rows: int = 1000,
    repeats: int = 3,
    budget: int = 10_000,
    seed: int = 0,
) -> Importance:
    """Measure how much the model needs each of `columns`.

    `frame` has n rows, `labels` (n,) are as `evaluate` takes them. The loss is the log loss, or the RMSE of a
    regression. At most `rows` rows are drawn, and fewer, down to 100, so that the model predicts about
    `budget` rows in all; of more than 100 columns the first 100 are measured. Columns that carry the same
    message hide each other.

    Raises `DataError` where a prediction cannot be measured.
    """
    measured = list(columns[:MOST_COLUMNS])
    notes = []
    if len(columns) > len(measured):
        notes.append(f"only the first {len(measured)} of {len(columns)} columns were measured")
    generator = np.random.default_rng(seed)
    affordable = max(LEAST_ROWS, budget // max(1, len(measured) * repeats))
    sample_size = min(len(frame), rows, affordable)
    drawn = np.sort(generator.choice(len(frame), sample_size, replace=False))
    sample, truth = frame[drawn], np.asarray(labels)[drawn]
    base = _loss(target, truth, predict(sample, drawn))
    orders = np.stack([generator.permutation(sample_size) for _ in range(repeats)])
    losses = [
        loss
        for part in _parts(measured, sample_size * repeats)
        for loss in _shuffled(sample, drawn, truth, predict, target, part, orders)
    ]
    importances = [
        ColumnImportance(column, float(increase.mean()), float(increase.std()))
        for column, increase in zip(measured, (loss - base for loss in losses), strict=True)
    ]
    importances.sort(key=lambda column: -column.value)
    metric = "rmse" if target.task == "regression" else "log_loss"
    return Importance(metric, base, tuple(importances), sample_size, repeats, tuple(notes))


def _parts(columns: Sequence[str], rows_each: int) -> list[Sequence[str]]:
    size = max(1, ROWS_AT_ONCE // rows_each)
    return [columns[start : start + size] for start in range(0, len(columns), size)]


def _shuffled(
    sample: pl.DataFrame,
    drawn: Ints,
    truth: Labels,
    predict: Predict,
    target: Target,
    columns: Sequence[str],
    orders: Ints,
) -> Floats:
    """Losses (columns, repeats): one call predicts a copy of the sample per column and repeat."""
    repeats, rows = orders.shape
    straight = np.tile(np.arange(rows), (len(columns), repeats, 1))
    copies = sample[straight.ravel()]
    for index, column in enumerate(columns):
        picks = straight.copy()
        picks[index] = orders
        copies = copies.with_columns(sample[column].gather(picks.ravel()))
    predictions = predict(copies, drawn[straight.ravel()]).reshape(len(columns), repeats, rows, -1)
    flat = predictions[..., 0] if target.task == "regression" else predictions
    return np.array([[_loss(target, truth, copy) for copy in column] for column in flat])


def _loss(target: Target, labels: Labels, prediction: np.ndarray) -> float:
    if target.task == "regression":
        truth, values = check_values(target, labels, prediction)
        return float(np.sqrt(np.mean((values - truth) ** 2)))
    numbers, probabilities = check_probabilities(target, labels, prediction)
    own = probabilities[np.arange(len(numbers)), numbers]
    return float(-np.log(np.maximum(own, np.finfo(np.float64).eps)).mean())
