"""How good a model is on parts of the rows: on each level of a column by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.evaluation.evaluate import evaluate
from tabstudio.evaluation.evaluation_result import Measure, from_plain, to_plain
from tabstudio.evaluation.paired_bootstrap import Difference, compare
from tabstudio.report.text_format import format_value
from tabstudio.table.schema import Target

if TYPE_CHECKING:
    from tabstudio.table.table import Labels

MOST_LEVELS = 20
"""Levels of a column that are measured by themselves; the rarer ones are measured together."""
FEW_VALUES = 10
"""Numbers of more different values than this are cut into quarters."""
OTHERS, NO_VALUE = "(all others)", "(no value)"

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Slice:
    """The measures on the rows of one level of a column, with their 95 % intervals."""

    column: str
    level: str
    rows: int
    metrics: Mapping[str, Measure]

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for `json.dumps`, nan as None; `from_json` takes it back."""
        plain: dict[str, object] = to_plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The slice that `to_json` wrote."""
        metrics = {name: Measure(**from_plain(measure)) for name, measure in data["metrics"].items()}
        return cls(data["column"], data["level"], data["rows"], metrics)


def evaluate_slices(
    columns: Sequence[str],
    frame: pl.DataFrame,
    target: Target,
    labels: Labels,
    prediction: npt.NDArray[np.float64],
    *,
    threshold: float | None = None,
    resamples: int = 1000,
) -> tuple[Slice, ...]:
    """Measure a prediction on every level of each of `columns`; the rest is as `evaluate` takes it.

    `frame` holds the columns of the same n rows as `labels` and `prediction`.
    """
    slices = []
    for column in columns:
        for level, rows in levels(frame[column]):
            measured = evaluate(
                target, labels[rows], prediction[rows], threshold=threshold, resamples=resamples
            )
            slices.append(Slice(column, level, int(rows.sum()), measured.metrics))
    return tuple(slices)


@dataclass(frozen=True, slots=True)
class SliceDifference:
    """How two predictions differ on the rows of one level of a column."""

    column: str
    level: str
    rows: int
    metrics: Mapping[str, Difference]


def compare_slices(
    frame: pl.DataFrame,
    target: Target,
    labels: Labels,
    first: npt.NDArray[np.float64],
    second: npt.NDArray[np.float64],
    *,
    thresholds: tuple[float | None, float | None] = (None, None),
    resamples: int = 1000,
) -> tuple[SliceDifference, ...]:
    """Compare two predictions on every level of each column of `frame`; the rest is as `compare` takes it."""
    differences = []
    for column in frame.iter_columns():
        for level, rows in levels(column):
            metrics = compare(
                target, labels[rows], first[rows], second[rows], thresholds=thresholds, resamples=resamples
            )
            differences.append(SliceDifference(column.name, level, int(rows.sum()), metrics))
    return tuple(differences)


def levels(series: pl.Series) -> Iterator[tuple[str, Bools]]:
    """The levels of a column, each with the mask (n,) of its rows, together every row once.

    Words and truth values are levels as they are, the commonest first; numbers of many values and dates are
    cut into quarters of equally many rows. A gap is a level of its own.
    """
    gaps = series.is_null().to_numpy()
    ordered = series.dtype.is_numeric() or series.dtype.is_temporal()
    if ordered and series.drop_nulls().n_unique() > FEW_VALUES:
        yield from _quarters(series, gaps)
    else:
        yield from _value_levels(series, ordered=ordered)
    if gaps.any():
        yield NO_VALUE, gaps


def _value_levels(series: pl.Series, *, ordered: bool) -> Iterator[tuple[str, Bools]]:
    counts = series.drop_nulls().value_counts(name="rows")
    by = [series.name] if ordered else ["rows", series.name]
    distinct = counts.sort(by, descending=[False] if ordered else [True, False])[series.name]
    alone = distinct if len(distinct) <= MOST_LEVELS else distinct[: MOST_LEVELS - 1]
    rest = series.is_not_null().to_numpy().copy()
    for value in alone:
        rows = (series == value).fill_null(value=False).to_numpy()
        rest &= ~rows
        yield format_value(value), rows
    if rest.any():
        yield OTHERS, rest


def _quarters(series: pl.Series, gaps: Bools) -> Iterator[tuple[str, Bools]]:
    plain = series.cast(pl.Datetime("us")) if series.dtype.is_temporal() else series
    present = plain.drop_nulls().sort()
    edges = [present[len(present) * part // 4] for part in (1, 2, 3)]
    # Where most rows hold the least value, it is set against all others.
    edges = sorted({edge for edge in edges if edge > present[0]}) or [present.filter(present > present[0])[0]]
    interval = np.searchsorted(np.array(edges), plain.fill_null(present[0]).to_numpy(), side="right")
    for number in range(len(edges) + 1):
        yield _between(edges, number), (interval == number) & ~gaps


def _between(edges: Sequence[object], number: int) -> str:
    if number == 0:
        return f"below {format_value(edges[0])}"
    if number == len(edges):
        return f"from {format_value(edges[-1])}"
    return f"{format_value(edges[number - 1])} to below {format_value(edges[number])}"
