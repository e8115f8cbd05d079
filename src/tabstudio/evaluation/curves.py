"""Curves and bins for reports, thinned to what a picture can show."""

from __future__ import annotations

import math

import numpy as np

from tabstudio.evaluation.evaluation_result import Bin, EvaluationCurve, Residuals, ThresholdPoint
from tabstudio.evaluation.metrics import (
    CALIBRATION_BINS,
    Bools,
    Floats,
    Ints,
    Ranking,
    calibration_bins,
    calibration_pairs,
)
from tabstudio.table.schema import Target

POINTS = 200
"""Points of a curve at most; more cannot be told apart in a picture."""
CLASS_CURVES = 8
"""Curves of a multiclass picture at most: those of the most frequent classes."""
Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def wilson(part: float, whole: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion (Wilson 1927)."""
    share = part / whole
    centre = share + Z * Z / (2 * whole)
    half = Z * math.sqrt(share * (1 - share) / whole + Z * Z / (4 * whole * whole))
    scale = 1 + Z * Z / whole
    low, high = (centre - half) / scale, (centre + half) / scale
    # Rounding may put a bound of 0 or 1 a hair inside the proportion itself.
    return float(max(0.0, min(low, share))), float(min(1.0, max(high, share)))


def roc_curves(
    target: Target, labels: Ints, probabilities: Floats, positive: int | None
) -> tuple[EvaluationCurve, ...]:
    """True against false positive rate, of the positive class or of the most frequent classes one by one."""
    curves = []
    for label in _drawn(labels, positive):
        hits, false, area, _ = _steps(labels == label, probabilities[:, label])
        if hits[-1] and false[-1]:
            x, y = np.append(0.0, false / false[-1]), np.append(0.0, hits / hits[-1])
            curves.append(_evaluation_curve(str(target.classes[label]), x, y, area))
    return tuple(curves)


def precision_recall_curves(
    target: Target, labels: Ints, probabilities: Floats, positive: int | None
) -> tuple[EvaluationCurve, ...]:
    """Precision against recall, of the positive class or of the most frequent classes one by one."""
    curves = []
    for label in _drawn(labels, positive):
        hits, false, _, area = _steps(labels == label, probabilities[:, label])
        if hits[-1]:
            curves.append(
                _evaluation_curve(str(target.classes[label]), hits / hits[-1], hits / (hits + false), area)
            )
    return tuple(curves)


def threshold_curve(positive: Bools, probability: Floats, used: float = 0.5) -> tuple[ThresholdPoint, ...]:
    """What the decision would be worth at other thresholds than the one that is `used`, and at that one.

    They are 0.01 to 0.99 and a hundred that part the rows evenly: of something rare, all probabilities may
    lie below 0.01.
    """
    parts = np.quantile(probability, np.linspace(0, 1, 101), method="nearest")
    grid = np.unique(np.concatenate([np.arange(1, 100) / 100, _rounded(parts[parts > 0]), [used]]))
    order = np.sort(probability)
    hits_order = np.sort(probability[positive])
    called = len(order) - np.searchsorted(order, grid, side="left")
    hits = len(hits_order) - np.searchsorted(hits_order, grid, side="left")
    precision = hits / np.maximum(called, 1)
    recall = hits / max(len(hits_order), 1)
    f1 = 2 * hits / np.maximum(called + len(hits_order), 1)
    shares = np.stack([grid, precision, recall, f1], axis=1).tolist()
    counts = np.stack([hits, called - hits], axis=1).tolist()
    return tuple(ThresholdPoint(*share, *count) for share, count in zip(shares, counts, strict=True))


def _rounded(values: Floats) -> Floats:
    """The values to four significant digits: a threshold that a person can read."""
    return np.array([float(f"{value:.4g}") for value in values])


def calibration_curve(labels: Ints, probabilities: Floats, positive: int | None) -> tuple[Bin, ...]:
    """Mean probability against observed frequency in equal-width bins that hold rows."""
    confidence, outcome = calibration_pairs(labels, probabilities, positive)
    places = calibration_bins(confidence)
    rows = np.bincount(places, minlength=CALIBRATION_BINS)
    claimed = np.bincount(places, confidence, minlength=CALIBRATION_BINS)
    came = np.bincount(places, outcome, minlength=CALIBRATION_BINS)
    return tuple(
        Bin(float(claimed[b] / rows[b]), float(came[b] / rows[b]), *wilson(came[b], rows[b]), int(rows[b]))
        for b in np.flatnonzero(rows)
    )


def binned_values(labels: Floats, values: Floats) -> tuple[Bin, ...]:
    """Mean prediction against mean label in up to ten bins of equal numbers of rows, by prediction."""
    order = np.argsort(values, kind="stable")
    bins = []
    for rows in np.array_split(order, min(10, len(order))):
        actual = labels[rows]
        mean = float(actual.mean())
        half = Z * float(actual.std(ddof=1)) / math.sqrt(len(rows)) if len(rows) > 1 else math.nan
        bins.append(Bin(float(values[rows].mean()), mean, mean - half, mean + half, len(rows)))
    return tuple(bins)


def residual_summary(labels: Floats, values: Floats) -> Residuals:
    """Quantiles of prediction minus label, and evenly picked points to draw."""
    residuals = values - labels
    levels = (0, 5, 25, 50, 75, 95, 100)
    quantiles = dict(zip((f"{q} %" for q in levels), np.percentile(residuals, levels).tolist(), strict=True))
    picked = np.unique(np.linspace(0, len(labels) - 1, 500).astype(np.int64))
    points = tuple((float(values[i]), float(labels[i])) for i in picked)
    return Residuals(float(residuals.mean()), float(residuals.std()), quantiles, points)


def _drawn(labels: Ints, positive: int | None) -> list[int]:
    if positive is not None:
        return [positive]
    counts = np.bincount(labels)
    return [int(c) for c in np.argsort(-counts, kind="stable")[:CLASS_CURVES] if counts[c]]


def _steps(positive: Bools, scores: Floats) -> tuple[Floats, Floats, float, float]:
    ranking = Ranking(scores, positive)
    ones = np.ones((1, len(scores)))
    hits, above = ranking.cumulated(ones)
    roc, precision = ranking.areas(ones)
    return hits[0], (above - hits)[0], float(roc[0]), float(precision[0])


def _evaluation_curve(label: str, x: Floats, y: Floats, area: float) -> EvaluationCurve:
    picked = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(np.int64))
    return EvaluationCurve(label, tuple(x[picked].tolist()), tuple(y[picked].tolist()), area)
