"""Compare two predictions of the same rows: paired bootstrap, so that rows hard for both cancel out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tabstudio.evaluation.evaluate import interval, scorer_for
from tabstudio.evaluation.metrics import HIGHER_IS_BETTER, affordable_resamples, point, resample_weights
from tabstudio.table.schema import Target


@dataclass(frozen=True, slots=True)
class Difference:
    """How much a measure of the first prediction exceeds the second's, with the 95 % interval.

    `better` names a prediction only where the interval excludes 0, else it is `neither`.
    """

    metric: str
    first: float
    second: float
    value: float
    low: float
    high: float

    @property
    def better(self) -> Literal["first", "second", "neither"]:
        """The prediction that is better beyond what a redraw of these rows can explain."""
        if not (self.low > 0 or self.high < 0):
            return "neither"
        return "first" if (self.low > 0) == (self.metric in HIGHER_IS_BETTER) else "second"


def compare(
    target: Target,
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    thresholds: tuple[float | None, float | None] = (None, None),
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compare two predictions of the same n rows in every measure that both define.

    `labels`, `first`, `second` and the thresholds are as `evaluate` takes them. Both are scored on the same
    resamples of the rows (Efron and Tibshirani 1993, chapter 16); with `resamples` 0 the bounds are nan.

    Raises `DataError` for what cannot be measured.
    """
    scorers = [scorer_for(target, labels, p, t) for p, t in zip((first, second), thresholds, strict=True)]
    one, two = (point(scorer) for scorer in scorers)
    drawn = affordable_resamples(scorers[0], resamples) if resamples and scorers[0].rows > 1 else 0
    draws: dict[str, list[np.ndarray]] = {name: [] for name in one}
    for weights in resample_weights(scorers[0].rows, drawn, seed):
        mine, other = (scorer(weights) for scorer in scorers)
        for name in draws:
            draws[name].append(mine[name] - other[name])
    differences = {}
    for name, parts in draws.items():
        if np.isnan(one[name]) or np.isnan(two[name]):
            continue
        gap = interval(one[name] - two[name], np.concatenate(parts) if parts else None)
        differences[name] = Difference(name, one[name], two[name], gap.value, gap.low, gap.high)
    return differences
