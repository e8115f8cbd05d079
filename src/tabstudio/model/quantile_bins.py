"""Bins of encoded numbers: where their values part into about equally many."""

from __future__ import annotations

import numpy as np

SAMPLED = 1 << 17
"""Quantiles of longer columns are taken from that many evenly spaced rows."""

Edges = tuple[tuple[float, ...], ...]


def quantile_edges(numbers: np.ndarray, bins: int) -> Edges:
    """Ascending edges of at most so many bins for each column of `numbers` (n, d).

    They are quantiles, in which a value that stands in more rows than a bin should have counts as one bin
    full: where most rows are 0, the others are told apart all the same. Where no more distinct values than
    edges are wanted, these are the edges: both ends of a column of two values, the one of a constant.
    """
    sample = numbers[:: -(-len(numbers) // SAMPLED)] if len(numbers) else numbers
    return tuple(tuple(_edges(column, bins).tolist()) for column in sample.T)


def _edges(column: np.ndarray, bins: int) -> np.ndarray:
    values, rows = np.unique(column, return_counts=True)
    if len(values) <= bins + 1:
        return values
    weights = np.minimum(rows, len(column) / bins)
    places = np.cumsum(weights) - weights / 2
    places = (places - places[0]) / (places[-1] - places[0])
    return np.unique(np.interp(np.linspace(0.0, 1.0, bins + 1), places, values).astype(column.dtype))
