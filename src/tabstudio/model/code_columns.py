"""Numbers that are codes: values that mean something of their own, not more or less of the same.

A zip code, a month's payment status, a capital gain that a form puts in: the target jumps from one value to
the next, and a smooth function of the number cannot follow. Such a column enters the network twice, as the
number it is and by a code for each of its common values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from tabstudio.model.inference.arrays import Array
from tabstudio.model.inference.encoding import FIRST, UNSEEN, CodeTable, code_table

LEAST_ROWS = 10
"""A value of fewer training rows has no code of its own."""
FEWEST_VALUES, MOST_VALUES = 6, 300
"""Fewest common values of a column of codes; any network separates fewer by itself."""
COVERED = 0.8
"""Share of the rows whose values must be common enough to have a code."""
SURELY, OFTEN = 6.0, 10.0
"""How far the jumps must exceed chance: all together, in standard deviations; and each of a third of them by
itself, as a factor of what chance gives.
"""


@dataclass(frozen=True, slots=True)
class CodedColumn:
    """A number's second face: each of `values` (ascending) has a code, all others share `default`.

    `default` is `UNSEEN` where training had rows of other values, else the code of the commonest value: a
    code that no training row had would be an untrained weight.
    """

    kind: ClassVar[str] = "coded"
    name: str
    values: tuple[float, ...]
    default: int
    gaps: bool

    @classmethod
    def fit(cls, series: pl.Series, labels: Array, *, classes: bool) -> CodedColumn | None:
        """Learn from training values and labels (rows,); None where the values are amounts.

        `labels` are places of classes where `classes` says so, else numbers.
        """
        numbers = series.cast(pl.Float64).to_numpy()
        known = np.isfinite(numbers)
        values, places, rows = np.unique(numbers[known], return_inverse=True, return_counts=True)
        common = rows >= LEAST_ROWS
        if (
            not FEWEST_VALUES <= np.count_nonzero(common) <= MOST_VALUES
            or rows[common].sum() < COVERED * rows.sum()
        ):
            return None
        goals = _goals(labels[known], classes)
        if not _jumps(values, _means(places, goals, rows), rows, goals.var(axis=0), common):
            return None
        rest = len(values) > np.count_nonzero(common)
        default = UNSEEN if rest else FIRST + int(rows.argmax())
        return cls(series.name, tuple(values[common].tolist()), default, bool(not known.all()))

    @property
    def cardinality(self) -> int:
        """How many codes there are."""
        return FIRST + len(self.values)

    @property
    def table(self) -> CodeTable:
        """The codes of the values, of a missing one and of all others."""
        known = {value: FIRST + index for index, value in enumerate(self.values)}
        return code_table(known, self.default, gaps=self.gaps)

    def codes(self, series: pl.Series) -> tuple[Array, int, int]:
        """Codes (n,) of the numbers, 0 as no number is unseen, how many values were missing."""
        numbers = series.cast(pl.Float64).to_numpy()
        values, table = np.array(self.values), self.table
        places = np.searchsorted(values, numbers).clip(max=len(values) - 1)
        codes = np.where(values[places] == numbers, np.array([*table.known.values()])[places], table.unseen)
        missing = ~np.isfinite(numbers)
        codes[missing] = table.missing
        return codes, 0, int(np.count_nonzero(missing))


def _goals(labels: Array, classes: bool) -> Array:
    """What is to jump, (rows, goals): membership in each class but the first, or the rank of a number."""
    if classes:
        return np.asarray(labels[:, None] == np.unique(labels)[None, 1:], dtype=np.float64)
    ranks = np.unique(labels, return_inverse=True)[1]
    return np.asarray(ranks / max(int(ranks.max(initial=0)), 1))[:, None]


def _means(places: Array, goals: Array, rows: Array) -> Array:
    sums = [np.bincount(places, goal, minlength=len(rows)) for goal in goals.T]
    return np.asarray(np.stack(sums, axis=1) / rows[:, None])


def _jumps(values: Array, means: Array, rows: Array, variance: Array, common: Array) -> bool:
    """Whether the means of neighbouring values differ by more than a smooth function and chance explain.

    Each mean is held against the cubic through its four neighbours. Where that curve is true, the squared
    standardised difference is about chi-squared with one degree of freedom. A bend that the cubic misses
    shows at few values, codes at many of them: so the upper third must be large, and the mean beyond chance.
    Not the median: where codes lie far apart, a curve through them says little of the values between.
    """
    x, m, n = values[common], means[common], rows[common].astype(np.float64)
    at = np.arange(2, len(x) - 2)
    beside = [at + step for step in (-2, -1, 1, 2)]
    gap, chance = m[at], 1 / n[at]
    for index in beside:
        weight = np.ones(len(at))
        for other in beside:
            if other is not index:
                weight *= (x[at] - x[other]) / (x[index] - x[other])
        gap = gap - weight[:, None] * m[index]
        chance = chance + weight**2 / n[index]
    squared = gap**2 / np.maximum(variance * chance[:, None], 1e-12)
    # Overlapping neighbourhoods double the variance of the sum.
    surely = squared.sum() - squared.size > SURELY * math.sqrt(4.0 * squared.size)
    return bool(surely and np.quantile(squared, 2 / 3) > OFTEN)
