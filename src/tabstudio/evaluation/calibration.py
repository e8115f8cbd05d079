"""What makes probabilities as sure as they are right, learned from rows that training has not seen.

Temperature scaling (Guo et al. 2017) is one number. For two classes a curve follows it: isotonic regression
(Zadrozny and Elkan 2002) in few straight pieces of log-odds, held near the straight line, so that it serves
some hundreds of rows too and makes no ties.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tabstudio.errors import DataError
from tabstudio.evaluation.metrics import Floats, Ints
from tabstudio.model.inference.calibration_curve import FARTHEST, CalibrationCurve
from tabstudio.table.schema import Target

LOWEST, HIGHEST = 0.1, 10.0
"""Temperatures are sought between these."""
PIECES = 8
"""Pieces of the curve, each with as many rows."""
LIKE_NEIGHBOURS, LIKE_ONE = 4.0, 0.2
"""How strongly a piece is held to the slope of the next one, and to 1: precisions of normal priors on the
logarithms of slopes. The offset's is 1."""
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
    log_temperature = _minimum(
        lambda t: loss(np.exp(-t)) + t * t / 2, float(np.log(LOWEST)), float(np.log(HIGHEST))
    )
    return float(np.exp(log_temperature))


def fit_curve(labels: npt.ArrayLike, odds: npt.ArrayLike) -> CalibrationCurve | None:
    """Find the curve through log-odds with the least log loss; None without rows.

    `labels` (n,) are 0 and 1, `odds` (n,) finite log-odds of class 1 of rows that training has not seen.
    Of few rows, or of one class alone, the priors leave little more than the straight line.
    """
    from scipy.optimize import minimize

    z = np.clip(np.asarray(odds, dtype=np.float64), -FARTHEST, FARTHEST)
    if not len(z):
        return None
    knots = np.unique(np.quantile(z, np.linspace(0, 1, PIECES + 1)[1:-1]))
    edges = np.array([-np.inf, *knots, np.inf])
    # as distances from the middle, so that slopes and shift hardly depend on each other
    middle = float(np.median(z))
    pieces = np.clip(z[:, None], edges[:-1], edges[1:]) - np.clip(middle, edges[:-1], edges[1:])
    signs = np.where(np.asarray(labels) == 1, 1.0, -1.0)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        slopes, apart = np.exp(parameters[:-1]), np.diff(parameters[:-1])
        margins = signs * (pieces @ slopes + middle + parameters[-1])
        pull = -signs * np.exp(-np.logaddexp(0.0, margins))
        held = LIKE_ONE * parameters[:-1]
        held[1:] += LIKE_NEIGHBOURS * apart
        held[:-1] -= LIKE_NEIGHBOURS * apart
        prior = (
            LIKE_NEIGHBOURS * apart @ apart
            + LIKE_ONE * parameters[:-1] @ parameters[:-1]
            + parameters[-1] ** 2
        )
        slope = np.append((pull @ pieces) * slopes + held, pull.sum() + parameters[-1])
        return float(np.logaddexp(0.0, -margins).sum() + prior / 2), slope

    fitted = minimize(loss, np.zeros(len(edges)), jac=True, method="L-BFGS-B").x
    slopes, shift = np.exp(fitted[:-1]), fitted[-1]
    bends = np.diff(slopes) @ np.maximum(middle - knots, 0.0)
    offset = middle + shift - slopes[0] * middle - bends
    return CalibrationCurve(tuple(knots.tolist()), tuple(slopes.tolist()), float(offset))


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
