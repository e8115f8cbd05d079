"""How well each column alone predicts the target, on rows that its rule has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from tabstudio.table.schema import Target
from tabstudio.table.stratification import Array, quantile_bins
from tabstudio.table.table import Table

_ROWS = 20_000
_FOLDS = 3
_BINS = 50
_ROWS_PER_BIN = 10
_MOST_CLASSES = 100


@dataclass(frozen=True, slots=True)
class Strength:
    """Strength of one column alone: ROC AUC (0 unless the target is binary), and the share of errors undone.

    `gain` is 1 - error / error without the column: of the most frequent class, or of the mean of the target's
    ranks in squares, so that it is the R² of a regression in ranks.
    """

    auc: float
    gain: float

    def __str__(self) -> str:
        auc = f"ROC AUC {self.auc:.3f}, " if self.auc else ""
        return f"{auc}{max(0.0, self.gain):.1%} of the errors undone"


def measure_columns(table: Table) -> dict[str, Strength]:
    """The strength of each feature: bins of equally many rows for numbers and dates, levels for the rest.

    The rule is the mean target of the bin or level, fitted on two thirds and applied to the last, in turn.
    Gaps are a level of their own. Tables above 20,000 rows are measured on a random sample.
    """
    target = table.schema.target
    if target is None or len(target.classes) > _MOST_CLASSES:
        return {}
    rng = np.random.default_rng(0)
    if len(table) > _ROWS:
        table = table.take(np.sort(rng.choice(len(table), _ROWS, replace=False)))
    truth = _target_matrix(table, target)
    fold = rng.permutation(len(table)) % _FOLDS
    return {
        column.name: _strength(_level_codes(table.frame[column.name]), truth, fold, target)
        for column in table.schema.features
    }


def _target_matrix(table: Table, target: Target) -> Array:
    """Shape (n, classes), 1 in the place of each label, or (n, 1), the target's ranks from 0 to 1."""
    labels = table.labels()
    if target.task == "regression":
        ranks = np.unique(labels, return_inverse=True)[1]
        scaled: Array = (ranks / max(1, ranks.max()))[:, None]
        return scaled
    one_hot: Array = np.eye(len(target.classes))[labels]
    return one_hot


def _level_codes(series: pl.Series) -> Array:
    gaps = series.is_null().to_numpy()
    if series.dtype.is_numeric() or series.dtype.is_temporal():
        numbers = series.cast(pl.Int64) if series.dtype.is_temporal() else series
        present = numbers.drop_nulls().to_numpy().astype(np.float64)
        level = np.zeros(len(series), dtype=np.int64)
        if len(present):
            bins = max(2, min(_BINS, len(series) // _ROWS_PER_BIN))
            level[~gaps] = 1 + quantile_bins(present, bins)
        return level
    codes = series.cast(pl.String).rank("dense").fill_null(0)
    return codes.to_numpy().astype(np.int64)


def _strength(level: Array, truth: Array, fold: Array, target: Target) -> Strength:
    predicted = np.empty_like(truth)
    for k in range(_FOLDS):
        train, held = fold != k, fold == k
        predicted[held] = _means(level[train], truth[train], int(level.max()) + 1)[level[held]]
    if target.task == "regression":
        spread = ((truth - truth.mean()) ** 2).sum()
        return Strength(0.0, float(1 - ((truth - predicted) ** 2).sum() / max(spread, 1e-12)))
    labels = truth.argmax(axis=1)
    errors = (predicted.argmax(axis=1) != labels).mean()
    gain = float(1 - errors / max(1e-12, 1 - truth.mean(axis=0).max()))
    return Strength(_auc(predicted[:, 1], labels) if target.task == "binary" else 0.0, gain)


def _means(level: Array, truth: Array, levels: int) -> Array:
    """Mean truth of each level, shape (levels, classes), shrunk to the overall mean by one row's weight."""
    rows = np.bincount(level, minlength=levels)[:, None]
    sums = np.stack([np.bincount(level, weights=column, minlength=levels) for column in truth.T], axis=1)
    means: Array = (sums + truth.mean(axis=0)) / (rows + 1)
    return means


def _auc(score: Array, positive: Array) -> float:
    """Area under the ROC curve by mid-ranks."""
    _, rank_of_level, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[rank_of_level]
    hits = int(positive.sum())
    misses = len(positive) - hits
    if hits == 0 or misses == 0:
        return 0.0
    return float((rank[positive == 1].sum() - hits * (hits + 1) / 2) / (hits * misses))
