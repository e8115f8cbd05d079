"""What the networks for tables make of encoded numbers and codes before their first layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tabstudio.model.inference.arrays import Array, Values, clip

MAX_ONE_HOT = 9
"""A column of more categories than this is given an embedding (RealMLP's figure)."""


def split_by_size(cardinalities: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the places of the columns that enter by one-hot codes, and of those that have embeddings."""
    few = [index for index, count in enumerate(cardinalities) if count <= MAX_ONE_HOT]
    return few, [index for index, count in enumerate(cardinalities) if count > MAX_ONE_HOT]


class NumberBins(NamedTuple):
    """The bins of all numbers side by side: column, and centre, slope and height in float32, of each."""

    columns: Array
    centres: Array
    slopes: Array
    heights: Array


def number_bins(edges: Sequence[Sequence[float]]) -> NumberBins | None:
    """Return the bins between the edges of each number; None where none has three edges or more."""
    binned = [(index, np.array(of, np.float32)) for index, of in enumerate(edges) if len(of) > 2]
    if not binned:
        return None
    counts = [len(of) - 1 for _, of in binned]
    heights = np.repeat(np.array([count**-0.5 for count in counts], np.float32), counts)
    return NumberBins(
        np.repeat([index for index, _ in binned], counts),
        np.concatenate([(of[1:] + of[:-1]) / np.float32(2) for _, of in binned]),
        np.float32(2) * heights / np.concatenate([np.diff(of) for _, of in binned]),
        heights,
    )


def bend(x: Values, centres: Values, slopes: Values, heights: Values) -> Values:
    """Return `PiecewiseLinear` of numbers (..., bins), one for each bin; the argument is overwritten."""
    x -= centres
    x *= slopes
    return clip(x, -heights, heights)
