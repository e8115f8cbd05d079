"""How each column's values spread, counted over all rows: by class, against a number, or alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tabstudio.exploration.column_arrays import Coded, Vectors, is_whole

Array = np.ndarray[Any, Any]

PANELS = 36
"""Columns drawn at most, the ones most associated with the target first."""

_BINS = 28
_LEVELS = 8
_CLASSES = 5
_SAMPLE = 100_000
_MEANS = 15


@dataclass(frozen=True)
class Panel:
    """One column's spread.

    bars: `heights` (groups, levels) over `labels`; histogram: `heights` (groups, bins) over `edges`
    (bins + 1,). A height is the share of the group's rows. means: the target's mean `heights` (1, points)
    with its standard deviation `spread`, at `labels` or at the numbers `edges` (points,). `rest` names levels
    that are not drawn; the bins of an `is_whole` histogram stand for one whole number or a few.
    """

    name: str
    shape: str
    heights: Array
    edges: Array | None = None
    labels: tuple[str, ...] = ()
    spread: Array | None = None
    is_date: bool = False
    is_whole: bool = False
    rest: str = ""


@dataclass(frozen=True)
class Groups:
    """The rows' groups: `codes` (rows,) into `names`; the smaller classes beyond the fifth are one group."""

    names: tuple[str, ...]
    codes: Array


def groups(vectors: Vectors) -> Groups:
    """The classes of the target, largest first, or all rows as one group."""
    if vectors.target is None or vectors.target.task == "regression":
        return Groups(("all rows",), np.zeros(len(vectors), dtype=np.int64))
    coded = vectors.codes(vectors.target.name)
    order = np.argsort(-coded.counts(), kind="stable")
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.minimum(np.arange(len(order)), _CLASSES)
    names = [coded.levels[i] for i in order[:_CLASSES]]
    if len(order) > _CLASSES:
        names.append(f"the other {len(order) - _CLASSES} classes")
    return Groups(tuple(names), group[coded.codes])


def panel(vectors: Vectors, name: str, by: Groups) -> Panel:
    """The spread of one column over the groups, or of the target's mean over it in a regression."""
    target = vectors.target
    numeric = vectors.kind(name) in ("number", "date")
    if target is not None and target.task == "regression":
        y = vectors.values(target.name)
        return (
            _binned_means_panel(vectors, name, y)
            if numeric
            else _level_means_panel(vectors.codes(name), name, y)
        )
    if numeric:
        return histogram(vectors, name, vectors.values(name), by)
    return _bar_panel(vectors.codes(name), name, by)


def histogram(vectors: Vectors, name: str, values: Array, by: Groups) -> Panel:
    """Shares of each group in bins of equal width; the outermost half percent lies in the end bins."""
    whole = name in vectors.columns and is_whole(vectors.columns[name])
    edges = _edges(values, whole)
    present = ~np.isnan(values)
    values_present, codes = (values, by.codes) if present.all() else (values[present], by.codes[present])
    scaled = (values_present - edges[0]) * ((len(edges) - 1) / (edges[-1] - edges[0]))
    bins = np.clip(scaled, 0, len(edges) - 2).astype(np.int64)
    heights = _shares(codes, bins, len(by.names), len(edges) - 1)
    is_date = name in vectors.columns and vectors.kind(name) == "date"
    return Panel(
        name, "histogram", heights, edges=edges, is_date=is_date, is_whole=whole and edges[0] % 1 == 0.5
    )


def _edges(values: Array, whole: bool) -> Array:
    sample = values[:: max(1, len(values) // _SAMPLE)]
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        sample = values[~np.isnan(values)][:1]
    low, high = (float(v) for v in np.quantile(sample, (0.005, 0.995)))
    if whole and high - low < 2 * _BINS:
        step = max(1, int(np.ceil((high - low + 1) / _BINS)))
        return np.arange(np.floor(low), np.floor(high) + step + 1, step) - 0.5
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        low, high = float(sample.min()), float(sample.max())
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        room = abs(low) * 0.5 or 0.5
        low, high = low - room, high + room
    return np.linspace(low, high, _BINS + 1)


def _shares(codes: Array, bins: Array, n_groups: int, n_bins: int) -> Array:
    counts = np.bincount(codes * n_bins + bins, minlength=n_groups * n_bins).reshape(n_groups, n_bins)
    shares: Array = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _bar_panel(coded: Coded, name: str, by: Groups) -> Panel:
    merged, labels = _largest_levels(coded)
    present = merged >= 0
    heights = _shares(by.codes[present], merged[present], len(by.names), len(labels))
    if len(coded.levels) > _LEVELS:
        return Panel(name, "bars", heights[:, :-1], labels=labels[:-1], rest=labels[-1])
    return Panel(name, "bars", heights, labels=labels)


def _largest_levels(coded: Coded) -> tuple[Array, tuple[str, ...]]:
    """Codes of the seven largest levels and of all others together, where there are more than eight."""
    counts = coded.counts()
    if len(counts) <= _LEVELS:
        return coded.codes.astype(np.int64), coded.levels
    order = np.argsort(-counts, kind="stable")
    group = np.full(len(counts) + 1, _LEVELS - 1, dtype=np.int64)
    group[order[: _LEVELS - 1]] = np.arange(_LEVELS - 1)
    group[-1] = -1
    names = tuple(coded.levels[i] for i in order[: _LEVELS - 1])
    return group[coded.codes], (*names, f"{len(counts) - _LEVELS + 1} others")


def _binned_means_panel(vectors: Vectors, name: str, y: Array) -> Panel:
    """The target's mean in bins of the column that hold about equally many rows."""
    x = vectors.values(name)
    both = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[both], y[both]
    inner = _cuts(x[:: max(1, len(x) // _SAMPLE)])
    bins = np.searchsorted(inner, x, side="left")
    counts, means, spread = _group_moments(bins, y, len(inner) + 1)
    at = np.bincount(bins, weights=x, minlength=len(inner) + 1) / np.maximum(counts, 1)
    used = counts > 0
    is_date = vectors.kind(name) == "date"
    return Panel(name, "means", means[None, used], edges=at[used], spread=spread[used], is_date=is_date)


def _cuts(sample: Array) -> Array:
    """Upper ends of all bins but the last, which hold about equally many rows."""
    if not len(sample):
        return sample
    return np.unique(np.quantile(sample, np.linspace(0, 1, _MEANS + 1)[1:-1]))


def _level_means_panel(coded: Coded, name: str, y: Array) -> Panel:
    merged, labels = _largest_levels(coded)
    present = (merged >= 0) & ~np.isnan(y)
    _, means, spread = _group_moments(merged[present], y[present], len(labels))
    return Panel(name, "means", means[None, :], labels=labels, spread=spread)


def _group_moments(codes: Array, y: Array, size: int) -> tuple[Array, Array, Array]:
    counts = np.bincount(codes, minlength=size)
    rows = np.maximum(counts, 1)
    means = np.bincount(codes, weights=y, minlength=size) / rows
    squares = np.bincount(codes, weights=(y - means[codes]) ** 2, minlength=size)
    return counts, means, np.sqrt(squares / rows)
