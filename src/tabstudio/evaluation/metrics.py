"""Measures of predictions, for many weightings of the same rows at once.

A scorer prepares its rows once (sorting, ties, one-hot columns) and then turns a matrix of row weights,
shape (resamples, n), into one value per resample. The point value is the score of all-equal weights, a
bootstrap resample is a row of counts, so both come from the same code. Everything that is a sum over rows is
one matrix product; the areas under curves are cumulative sums along scores that were sorted once.

Conventions are scikit-learn's (tested against it): a precision without predictions is 0, classes that a
resample does not hold are left out of averages, the Brier score of two classes counts one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CALIBRATION_BINS = 10
CELLS = 1 << 18
"""Weights held at a time: 2 MiB, so that a block stays in the processor's cache."""

HIGHER_IS_BETTER = frozenset(
    {"accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "r2"}
)
CLASSIFICATION = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "pr_auc",
    "log_loss",
    "brier",
    "calibration_error",
)
REGRESSION = ("rmse", "mae", "median_absolute_error", "r2", "mape")


class Scorer(Protocol):
    """Scores for every row of a weights matrix."""

    rows: int
    width: int

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Turn weights (resamples, n) into name -> (resamples,); nan where a measure is not defined."""


class ClassificationScorer:
    """Measures of class probabilities and of the decisions made from them.

    `labels` (n,) and `decided` (n,) hold class numbers, `probabilities` is (n, classes). With `positive`,
    precision, recall, F1 and the areas are those of that class; without, they are means over the classes.
    The calibration error is the expected one over ten equal bins (Guo et al. 2017): of the positive class's
    probability, or of the most probable class's where there is no positive one.
    """

    def __init__(self, labels: Ints, probabilities: Floats, decided: Ints, positive: int | None) -> None:
        self.rows, self._classes = probabilities.shape
        self._positive = positive
        truth, guess = _one_hot(labels, self._classes), _one_hot(decided, self._classes)
        own = np.take_along_axis(probabilities, labels[:, None], axis=1)
        smallest = np.finfo(np.float64).eps
        log_loss = -np.log(np.clip(own, smallest, 1 - smallest))
        gaps = calibration_gaps(labels, probabilities, positive)
        brier = _squared_errors(truth, probabilities, positive)
        self._sums = np.concatenate((truth, guess, truth * guess, log_loss, brier, gaps), axis=1)
        ranked = range(self._classes) if positive is None else (positive,)
        self._rankings = [Ranking(probabilities[:, c], labels == c) for c in ranked]
        self.width = len(self._rankings)

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Score weights (resamples, n): name -> (resamples,)."""
        total = weights.sum(axis=1)
        k = self._classes
        sums = weights @ self._sums
        truth, guess, both = sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k : 3 * k]
        scores = {"accuracy": both.sum(axis=1) / total}
        scores["balanced_accuracy"] = _mean_where(truth > 0, ratio(both, truth))
        scores |= self._decisions(truth, guess, both)
        scores |= self._areas(weights)
        scores["log_loss"] = sums[:, 3 * k] / total
        scores["brier"] = sums[:, 3 * k + 1] / total
        scores["calibration_error"] = np.abs(sums[:, 3 * k + 2 :]).sum(axis=1) / total
        return scores

    def _decisions(self, truth: Floats, guess: Floats, both: Floats) -> dict[str, Floats]:
        parts = {
            "precision": ratio(both, guess),
            "recall": ratio(both, truth),
            "f1": ratio(2 * both, truth + guess),
        }
        if self._positive is not None:
            return {name: part[:, self._positive] for name, part in parts.items()}
        present = truth + guess > 0
        return {name: _mean_where(present, part) for name, part in parts.items()}

    def _areas(self, weights: Floats) -> dict[str, Floats]:
        areas = [ranking.areas(weights) for ranking in self._rankings]
        roc = np.stack([roc for roc, _ in areas], axis=1)
        precision = np.stack([average for _, average in areas], axis=1)
        return {
            "roc_auc": _mean_where(np.isfinite(roc), roc),
            "pr_auc": _mean_where(np.isfinite(precision), precision),
        }


class Ranking:
    """One class against the rest, rows ordered by falling score; equal scores form one step."""

    def __init__(self, scores: Floats, positive: Bools) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        self._positive = positive[self._order].astype(np.float64)
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        self._steps = None if len(last) == len(ranked) else last
        self.thresholds = ranked[last]

    def cumulated(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weight of the positives, and of all rows, at or above each distinct score: (resamples, steps)."""
        ordered = np.take(weights, self._order, axis=1)
        above = np.cumsum(ordered, axis=1)
        ordered *= self._positive
        hits = np.cumsum(ordered, axis=1, out=ordered)
        if self._steps is None:
            return hits, above
        return hits[:, self._steps], above[:, self._steps]

    def areas(self, weights: Floats) -> tuple[Floats, Floats]:
        """Areas under the ROC curve (trapezoids) and precision-recall curve (steps), nan with one class."""
        hits, above = self.cumulated(weights)
        positives = hits[:, -1]
        negatives = above[:, -1] - positives
        gained = np.diff(hits, axis=1, prepend=0.0)
        precision = np.einsum("rs,rs->r", gained, hits / np.maximum(above, np.finfo(np.float64).tiny))
        false = np.subtract(above, hits, out=above)
        # A step adds a trapezoid: its false alarms times the mean of the hits before and after it.
        heights = np.multiply(gained, -0.5, out=gained)
        heights += hits
        area = np.einsum("rs,rs->r", np.diff(false, axis=1, prepend=0.0), heights)
        return _or_nan(area, positives * negatives), _or_nan(precision, positives)


class RegressionScorer:
    """Measures of predicted values (n,) against labels (n,).

    MAPE is left out unless every label has the same sign and none is closer to 0 than a hundredth of the
    median label: a percentage of almost nothing says nothing.
    """

    def __init__(self, labels: Floats, values: Floats) -> None:
        self.rows, self.width = len(labels), 1
        error = np.abs(values - labels)
        centred = labels - labels.mean()
        columns = [error**2, error, centred, centred**2]
        self._percent = percentages_make_sense(labels)
        if self._percent:
            columns.append(error / np.abs(labels))
        self._sums = np.stack(columns, axis=1)
        self._order = np.argsort(error, kind="stable")
        self._sorted = error[self._order]

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Score weights (resamples, n): name -> (resamples,)."""
        total = weights.sum(axis=1)
        means = (weights @ self._sums) / total[:, None]
        spread = means[:, 3] - means[:, 2] ** 2
        floor = 1e-12 * self._sums[:, 3].mean()
        scores = {
            "rmse": np.sqrt(means[:, 0]),
            "mae": means[:, 1],
            "median_absolute_error": self._median(weights, total),
            "r2": 1 - _or_nan(means[:, 0], np.where(spread > floor, spread, 0.0)),
        }
        if self._percent:
            scores["mape"] = means[:, 4]
        return scores

    def _median(self, weights: Floats, total: Floats) -> Floats:
        cumulated = np.cumsum(np.take(weights, self._order, axis=1), axis=1)
        half = total[:, None] / 2
        lower = (cumulated < half).sum(axis=1)
        upper = (cumulated <= half).sum(axis=1)
        ends = np.minimum([lower, upper], self.rows - 1)
        middle: Floats = self._sorted[ends].mean(axis=0)
        return middle


def resample_weights(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Bootstrap counts in blocks of bounded memory: each row of a block (r, n) sums to n."""
    generator = np.random.default_rng(seed)
    block = max(1, CELLS // rows)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = generator.integers(0, rows, (count, rows))
        drawn += np.arange(count)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)


def bootstrap(scorer: Scorer, resamples: int, seed: int) -> dict[str, Floats]:
    """Scores of bootstrap resamples: name -> (resamples,). The same seed draws the same rows."""
    blocks = [scorer(weights) for weights in resample_weights(scorer.rows, resamples, seed)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]} if blocks else {}


def point(scorer: Scorer) -> dict[str, float]:
    """Score of the rows as they are."""
    return {name: float(values[0]) for name, values in scorer(np.ones((1, scorer.rows))).items()}


def affordable_resamples(scorer: Scorer, resamples: int) -> int:
    """At most `resamples`, fewer for many rows (1000 up to 20,000 rows of one curve), never below 100.

    Intervals narrow with the square root of the rows, so their own noise matters less where rows abound.
    """
    return min(resamples, max(100, 20_000_000 // (scorer.rows * scorer.width)))


def calibration_gaps(labels: Ints, probabilities: Floats, positive: int | None) -> Floats:
    """Per row, probability minus outcome in the column of the row's bin: (n, bins)."""
    confidence, outcome = calibration_pairs(labels, probabilities, positive)
    gaps = np.zeros((len(labels), CALIBRATION_BINS))
    gaps[np.arange(len(labels)), calibration_bins(confidence)] = confidence - outcome
    return gaps


def calibration_pairs(labels: Ints, probabilities: Floats, positive: int | None) -> tuple[Floats, Floats]:
    """What was claimed and what came of it: the positive class's probability, or the top class's."""
    if positive is not None:
        return probabilities[:, positive], (labels == positive).astype(np.float64)
    top = probabilities.argmax(axis=1)
    return probabilities[np.arange(len(top)), top], (labels == top).astype(np.float64)


def calibration_bins(confidence: Floats) -> Ints:
    """Number of the equal-width bin that each probability falls in."""
    return np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def percentages_make_sense(labels: Floats) -> bool:
    """Whether errors may be given in percent of the label."""
    size = np.abs(labels)
    one_sign = bool((labels > 0).all() or (labels < 0).all())
    return one_sign and bool(size.min() >= 0.01 * np.median(size))


def ratio(part: Floats, whole: Floats) -> Floats:
    """Part of whole, 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _or_nan(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _mean_where(defined: Bools, values: Floats) -> Floats:
    return _or_nan(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))


def _one_hot(labels: Ints, classes: int) -> Floats:
    columns = np.zeros((len(labels), classes))
    columns[np.arange(len(labels)), labels] = 1.0
    return columns


def _squared_errors(truth: Floats, probabilities: Floats, positive: int | None) -> Floats:
    squares = (probabilities - truth) ** 2
    if positive is not None:
        return squares[:, positive, None]
    summed: Floats = squares.sum(axis=1, keepdims=True)
    return summed
