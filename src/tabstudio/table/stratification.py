"""Dealing units of rows to parts, so that each part gets its share of each stratum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
_WEIGHED_ONE_BY_ONE = 20_000


def number_units(values: Array) -> Array:
    """Consecutive numbers for equal values, shape (n,) int64."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64).reshape(-1)


def renumber(values: Array) -> Array:
    """Consecutive numbers in the same order for integers from 0, without sorting."""
    present = np.bincount(values) > 0
    return (np.cumsum(present) - 1)[values]


def count_units(stratum: Array, unit: Array, strata: int) -> Array:
    """Number of units with a row in each stratum, shape (strata,)."""
    width = int(unit.max()) + 1
    pairs = np.sort(stratum * width + unit)
    first = np.concatenate([[True], pairs[1:] != pairs[:-1]])
    return np.bincount(pairs[first] // width, minlength=strata)


def join_units(first: Array, second: Array) -> Array:
    """The finest units that keep units of both together: the connected components of both."""
    root = np.arange(int(first.max()) + 1)
    while True:
        lowest = np.full(int(second.max()) + 1, len(root))
        np.minimum.at(lowest, second, root[first])
        joined = root.copy()
        np.minimum.at(joined, first, lowest[second])
        joined = joined[joined]
        if np.array_equal(joined, root):
            return renumber(root[first])
        root = joined


def quantile_bins(values: Array, bins: int) -> Array:
    """Bins of about equally many values, shape (n,) int64; equal values share a bin."""
    edges = np.quantile(values, np.arange(1, bins) / bins)
    return np.searchsorted(np.unique(edges), values, side="right").astype(np.int64)


def deal(
    unit: Array, stratum: Array, shares: Sequence[float], rng: np.random.Generator, *, rotate: bool = False
) -> Array:
    """The part of each row, shape (n,) int64: units stay whole, each part gets its share of each stratum.

    Units of several rows, the largest first, go where their strata are needed most; the rest is shuffled
    within its stratum and cut at the shares, which is exact to a row. `rotate` starts each stratum at
    another part, so that the rows that do not divide evenly are spread.
    """
    if len(unit) == 0:
        return np.zeros(0, dtype=np.int64)
    unit, strata = renumber(unit), renumber(stratum)
    size = np.bincount(unit)
    share = np.asarray(shares)[:, None]
    need = share * np.bincount(strata)[None, :]
    part = np.full(len(size), -1)
    _deal_large(unit, strata, size, need, part, rng)
    first = np.zeros(len(size), dtype=np.int64)
    first[unit[::-1]] = strata[::-1]
    for s in range(need.shape[1]):
        rest = np.flatnonzero((part < 0) & (first == s))
        if len(rest):
            turn = int(rng.integers(len(shares))) if rotate else 0
            part[rest] = _cut(rng.permutation(len(rest)), size[rest], need[:, s], turn)
    return part[unit]


def _deal_large(
    unit: Array, strata: Array, size: Array, need: Array, part: Array, rng: np.random.Generator
) -> None:
    """Assign units of several rows one by one; writes into `need` and `part`."""
    large = np.flatnonzero(size > 1)
    large = large[np.lexsort((rng.random(len(large)), -size[large]))][:_WEIGHED_ONE_BY_ONE]
    if len(large) == 0:
        return
    order = np.argsort(unit, kind="stable")
    start = np.concatenate([[0], np.cumsum(size)])
    total = np.maximum(need.sum(axis=0), 1)
    for u in large:
        held = np.bincount(strata[order[start[u] : start[u + 1]]], minlength=need.shape[1])
        wanting = (need * (held / total)).sum(axis=1)
        best = int(np.argmax(wanting + 1e-9 * rng.random(len(wanting))))
        part[u] = best
        need[best] -= held


def _cut(order: Array, size: Array, need: Array, turn: int) -> Array:
    """Parts of units in this order, cut where the needs are filled."""
    wanted = np.roll(np.maximum(need, 0), turn)
    if wanted.sum() == 0:
        wanted = np.ones_like(wanted)
    ends = np.cumsum(wanted) / wanted.sum() * size.sum()
    middle = np.cumsum(size[order]) - size[order] / 2
    part = np.empty(len(order), dtype=np.int64)
    part[order] = (np.minimum(np.searchsorted(ends, middle), len(need) - 1) - turn) % len(need)
    return part
