"""Bins of encoded numbers: where their values part into about equally many."""

from __future__ import annotations

import numpy as np

SAMPLED = 1 << 17
"""Quantiles of longer columns are taken from that many evenly spaced rows."""

Edges = tuple[tuple[float, ...], ...]


def edges_of(numbers: np.ndarray, bins: int) -> Edges:
    """Ascending edges of at most so many bins for each column of `numbers` (n, d).

    Where no more distinct values than edges are wanted, these are the edges: both ends of a column of two
    values, the one of a constant.
    """
    shares = np.linspace(0.0, 1.0, bins + 1)
    sample = numbers[:: -(-len(numbers) // SAMPLED)] if len(numbers) else numbers
    return tuple(tuple(_edges(column, shares).tolist()) for column in sample.T)


def _edges(column: np.ndarray, shares: np.ndarray) -> np.ndarray:
    distinct = np.unique(column)
    if len(distinct) <= len(shares):
        return distinct
    return np.unique(np.quantile(column, shares).astype(column.dtype))
