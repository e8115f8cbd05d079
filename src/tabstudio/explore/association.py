"""How strongly columns go together, one number for each pair whatever their kinds.

Numbers, dates and booleans among themselves: Pearson's r, -1 to 1. Categories among themselves: Cramér's V
with Bergsma's correction (Journal of the Korean Statistical Society 42, 2013), 0 to 1. A category with a
number: the correlation ratio, corrected for the number of levels (Kelley, PNAS 21, 1935), 0 to 1. Without the
corrections a column with nearly as many levels as rows would seem to explain everything. Every pair uses the
rows where both have a value; NaN where that says nothing: a constant, or fewer than two rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tabstudio.explore.vectors import Coded, Vectors

Array = np.ndarray[Any, Any]

SHOWN = 40
_SURVEYED = 200


@dataclass(frozen=True)
class Associations:
    """`matrix` (columns, columns) over `names`, the target first; `left_out` weaker columns are not in it."""

    names: tuple[str, ...]
    matrix: Array
    left_out: int = 0

    def strongest(self, limit: int = 10) -> pl.DataFrame:
        """The pairs of the matrix with the largest size: left, right, association."""
        rows, columns = np.triu_indices(len(self.names), k=1)
        values = self.matrix[rows, columns]
        order = np.argsort(-np.abs(np.nan_to_num(values)), kind="stable")[:limit]
        order = order[np.isfinite(values[order])]
        return pl.DataFrame(
            {
                "left": [self.names[i] for i in rows[order]],
                "right": [self.names[i] for i in columns[order]],
                "association": values[order],
            },
            schema={"left": pl.String, "right": pl.String, "association": pl.Float64},
        )


def associations(vectors: Vectors, with_target: pl.DataFrame | None) -> Associations:
    """The matrix of the target and the columns most associated with it, at most 40 columns.

    Without a target, the 40 of the first 200 columns that go most with any other.
    """
    if with_target is not None and vectors.target is not None:
        names = (vectors.target.name, *with_target["column"][: SHOWN - 1])
        return Associations(names, _matrix(vectors, names), left_out=len(vectors.names) + 1 - len(names))
    names = vectors.names[:_SURVEYED]
    matrix = _matrix(vectors, names)
    if len(names) > SHOWN:
        others = np.nan_to_num(np.abs(matrix)) * (1 - np.eye(len(names)))
        kept = np.sort(np.argsort(-others.max(axis=1), kind="stable")[:SHOWN])
        names, matrix = tuple(names[i] for i in kept), matrix[np.ix_(kept, kept)]
    return Associations(names, matrix, left_out=len(vectors.names) - len(names))


def target_associations(vectors: Vectors) -> pl.DataFrame | None:
    """Every column's association with the target, the strongest first: column, association, measure."""
    if vectors.target is None:
        return None
    target, names = vectors.target.name, vectors.names
    found = dict.fromkeys(names, float("nan"))
    numeric = tuple(name for name in names if vectors.is_numeric(name))
    if vectors.is_numeric(target):
        found |= zip(numeric, pearson(vectors, numeric, (target,))[:, 0], strict=True)
    else:
        found |= {name: correlation_ratio(vectors.codes(target), vectors.values(name)) for name in numeric}
    for name in set(names) - set(numeric):
        found[name] = _with_category(vectors, name, target)
    measures = [_measure(vectors, name, target) for name in names]
    table = pl.DataFrame(
        {"column": names, "association": [float(found[name]) for name in names], "measure": measures},
        schema={"column": pl.String, "association": pl.Float64, "measure": pl.String},
    )
    strength = pl.col("association").abs().fill_nan(-1.0)
    return table.sort(strength, descending=True, maintain_order=True)


def pearson(vectors: Vectors, left: tuple[str, ...], right: tuple[str, ...]) -> Array:
    """Pearson's r of numeric columns, (left, right), each pair over the rows where both have a value.

    Values are taken relative to the first block's means, so that large offsets cost no digits.
    """
    names = tuple(dict.fromkeys(left + right))
    a, b = [names.index(n) for n in left], [names.index(n) for n in right]
    sums = np.zeros((6, len(a), len(b)))
    centre: Array | None = None
    for block in vectors.blocks(names):
        present = ~np.isnan(block)
        if centre is None:
            centre = np.where(present, block, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        block = np.where(present, block - centre, 0.0)
        sums += _moments(block[:, a], block[:, b], present[:, a], present[:, b])
    n, x, y, xx, yy, xy = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        spread_x, spread_y = xx - x * x / n, yy - y * y / n
        r = (xy - x * y / n) / np.sqrt(spread_x * spread_y)
    tiny = 1e-12
    r[(n < 2) | (spread_x <= tiny * xx) | (spread_y <= tiny * yy)] = np.nan
    return np.clip(r, -1.0, 1.0)


def cramers_v(left: Coded, right: Coded) -> float:
    """Bias-corrected Cramér's V of two columns of categories."""
    both = (left.codes >= 0) & (right.codes >= 0)
    width = len(right.levels)
    cells = left.codes[both].astype(np.int64) * width + right.codes[both]
    counts = np.bincount(cells, minlength=len(left.levels) * width).reshape(-1, width).astype(float)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    n, (rows, columns) = counts.sum(), counts.shape
    if n < 2 or rows < 2 or columns < 2:
        return float("nan")
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / n
    phi2 = max(0.0, ((counts - expected) ** 2 / expected).sum() / n - (rows - 1) * (columns - 1) / (n - 1))
    rows_left, columns_left = rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)
    room = min(rows_left, columns_left) - 1
    return float(min(1.0, np.sqrt(phi2 / room))) if room > 1e-9 else float("nan")


def correlation_ratio(groups: Coded, values: Array) -> float:
    """The corrected correlation ratio: the root of the share of the spread that lies between groups."""
    both = (groups.codes >= 0) & ~np.isnan(values)
    codes, y = groups.codes[both], values[both]
    counts = np.bincount(codes)
    levels, n = np.count_nonzero(counts), len(y)
    if n <= levels or levels < 2:
        return float("nan")
    y = y - y.mean()
    total = float(y @ y)
    if total <= 1e-300:
        return float("nan")
    sums = np.bincount(codes, weights=y)
    between = float((sums[counts > 0] ** 2 / counts[counts > 0]).sum()) / total
    return float(np.sqrt(max(0.0, 1.0 - (1.0 - min(between, 1.0)) * (n - 1) / (n - levels))))


def _matrix(vectors: Vectors, names: tuple[str, ...]) -> Array:
    matrix = np.full((len(names), len(names)), np.nan)
    numeric = [i for i, name in enumerate(names) if vectors.is_numeric(name)]
    if numeric:
        columns = tuple(names[i] for i in numeric)
        matrix[np.ix_(numeric, numeric)] = pearson(vectors, columns, columns)
    for i in (i for i in range(len(names)) if i not in numeric):
        for j in range(len(names)):
            if j in numeric or j < i:
                matrix[i, j] = matrix[j, i] = _with_category(vectors, names[i], names[j])
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _with_category(vectors: Vectors, category: str, other: str) -> float:
    measure = _measure(vectors, category, other)
    if measure == "Cramér's V":
        return cramers_v(vectors.codes(category), vectors.codes(other))
    return correlation_ratio(vectors.codes(category), vectors.values(other))


def _measure(vectors: Vectors, one: str, other: str) -> str:
    numeric = [name for name in (one, other) if vectors.is_numeric(name)]
    if len(numeric) == 2:
        return "Pearson's r"
    return "Cramér's V" if all(_two_valued(vectors, name) for name in numeric) else "correlation ratio"


def _two_valued(vectors: Vectors, name: str) -> bool:
    if vectors.target is not None and name == vectors.target.name:
        return vectors.target.task == "binary"
    return vectors.kind(name) == "boolean"


def _moments(x: Array, y: Array, in_x: Array, in_y: Array) -> Array:
    """Over the rows where both are present: count, sums of x, y, x squared, y squared and x times y."""
    if in_x.all() and in_y.all():
        ones = np.ones((x.shape[1], y.shape[1]))
        return np.stack(
            [
                len(x) * ones,
                x.sum(axis=0)[:, None] * ones,
                y.sum(axis=0)[None, :] * ones,
                (x * x).sum(axis=0)[:, None] * ones,
                (y * y).sum(axis=0)[None, :] * ones,
                x.T @ y,
            ]
        )
    p, q = in_x.astype(float), in_y.astype(float)
    return np.stack([p.T @ q, x.T @ q, p.T @ y, (x * x).T @ q, p.T @ (y * y), x.T @ y])
