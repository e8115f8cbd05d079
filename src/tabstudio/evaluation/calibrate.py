"""Temperature scaling: one number that makes probabilities as sure as they are right (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tabstudio.errors import DataError
from tabstudio.evaluation.metrics import Floats, Ints
from tabstudio.table.schema import Target

LOWEST, HIGHEST = 0.1, 10.0
"""Temperatures are sought between these."""
_GOLDEN = (5**0.5 - 1) / 2


def fit_temperature(labels: npt.ArrayLike, raw_outputs: npt.ArrayLike, target: Target) -> float:
    """Find the temperature by which raw outputs are divided for the least log loss.

    `labels` (n,) are class numbers; `raw_outputs` (n, outputs) are logits of rows that training has not seen:
    one column, the logit of `target.classes[1]`, for a binary target, else one per class. Rows with a nan are
    left out. A prior worth (log T)²/2 joins the log loss of all rows: less than one row weighs, it keeps T
    from its bounds where every row is right. A regression, or no rows: 1.

    Raises `DataError` for shapes that do not fit.
    """
    if target.task == "regression":
        return 1.0
    numbers, logits = np.asarray(labels), np.asarray(raw_outputs, dtype=np.float64)
    if logits.shape != (len(numbers), target.outputs):
        raise DataError(
            f"{target.name}: raw outputs of shape {(len(numbers), target.outputs)} were expected to "
            f"calibrate on, got {logits.shape}"
        )
    known = np.isfinite(logits).all(axis=1)
    if not known.any():
        return 1.0
    loss = _summed_log_loss(numbers[known].astype(np.int64), logits[known])
    found = _minimum(lambda t: loss(np.exp(-t)) + t * t / 2, float(np.log(LOWEST)), float(np.log(HIGHEST)))
    return float(np.exp(found))


def _summed_log_loss(labels: Ints, logits: Floats) -> Callable[[float], float]:
    """Log loss, summed over rows, as a function of the inverse temperature."""
    if logits.shape[1] == 1:
        margins = np.where(labels == 1, logits[:, 0], -logits[:, 0])
        return lambda inverse: float(np.logaddexp(0.0, -inverse * margins).sum())
    others = logits - np.take_along_axis(logits, labels[:, None], axis=1)
    top = others.max(axis=1, keepdims=True)
    rest = others - top

    def loss(inverse: float) -> float:
        return float((np.log(np.exp(inverse * rest).sum(axis=1)) + inverse * top[:, 0]).sum())

    return loss


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Golden-section search; a log loss is convex in 1/T, so it has one valley along log T."""
    inner, outer = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_inner, at_outer = function(inner), function(outer)
    while high - low > 1e-5:
        if at_inner <= at_outer:
            high, outer, at_outer = outer, inner, at_inner
            inner = high - _GOLDEN * (high - low)
            at_inner = function(inner)
        else:
            low, inner, at_inner = inner, outer, at_outer
            outer = low + _GOLDEN * (high - low)
            at_outer = function(outer)
    return (low + high) / 2
