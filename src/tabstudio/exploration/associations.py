"""How strongly columns go together, one number for each pair whatever their kinds.

Numbers, dates and booleans among themselves: Pearson's r, -1 to 1. Categories among themselves: Cramér's V
with Bergsma's correction (Journal of the Korean Statistical Society 42, 2013), 0 to 1. A category with a
number: the correlation ratio, corrected for the number of levels (Kelley, PNAS 21, 1935), 0 to 1. Without the
corrections a column with nearly as many levels as rows would seem to explain everything. Every pair uses the
rows where both have a value; NaN where that says nothing: a constant, or fewer than two rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from tabstudio.exploration.column_arrays import Coded, Vectors

Array = np.ndarray[Any, Any]

SHOWN = 40


@dataclass(frozen=True)
class Associations:
    """`matrix` (columns, columns) over `names`, the target first; `left_out` columns are not in it.

    `with_target`: column, association, measure of every column, the strongest first; None without a target.
    """

    names: tuple[str, ...]
    matrix: Array
    with_target: pl.DataFrame | None
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


def associations(vectors: Vectors) -> Associations:
    """The target and the 39 columns most associated with it, or the first 40 columns without a target."""
    if vectors.target is None:
        names = vectors.names[:SHOWN]
        return Associations(names, measure(vectors, names, names), None, len(vectors.names) - len(names))
    target = (vectors.target.name,)
    if len(vectors.names) < SHOWN:
        names = target + vectors.names
        matrix = measure(vectors, names, names)
        table = _by_strength(vectors, matrix[1:, 0])
        order = [names.index(name) for name in (*target, *table["column"])]
        return Associations(tuple(names[i] for i in order), matrix[np.ix_(order, order)], table)
    table = _by_strength(vectors, measure(vectors, vectors.names, target)[:, 0])
    names = target + tuple(table["column"][: SHOWN - 1])
    return Associations(names, measure(vectors, names, names), table, len(table) + 1 - len(names))


def _by_strength(vectors: Vectors, values: Array) -> pl.DataFrame:
    target = vectors.target.name if vectors.target is not None else ""
    measures = [measure_of(vectors, name, target) for name in vectors.names]
    table = pl.DataFrame(
        {"column": vectors.names, "association": values, "measure": measures},
        schema={"column": pl.String, "association": pl.Float64, "measure": pl.String},
    )
    strength = pl.col("association").abs().fill_nan(-1.0)
    return table.sort(strength, descending=True, maintain_order=True)


def measure(vectors: Vectors, left: tuple[str, ...], right: tuple[str, ...]) -> Array:
    """The association of each of the left columns with each of the right ones, float64 (left, right)."""
    kinds = {(one, other): measure_of(vectors, one, other) for one in left for other in right}
    scan = _scan_blocks(
        vectors, left, right, (pair for pair, kind in kinds.items() if kind == "correlation ratio")
    )
    r = scan.pearson()
    strengths: dict[tuple[str, str], float] = {}
    for (one, other), kind in kinds.items():
        if (other, one) in strengths:
            strengths[one, other] = strengths[other, one]
        elif kind == "Pearson's r":
            strengths[one, other] = float(r[scan.left.index(one), scan.right.index(other)])
        elif kind == "Cramér's V":
            strengths[one, other] = cramers_v(vectors.codes(one), vectors.codes(other))
        else:
            strengths[one, other] = scan.correlation_ratio(*_category_first(vectors, one, other))
    for name in set(left) & set(right):
        strengths[name, name] = 1.0
    return np.array([strengths[pair] for pair in kinds]).reshape(len(left), len(right))


def measure_of(vectors: Vectors, one: str, other: str) -> str:
    """The name of the measure that suits the two columns' kinds."""
    numeric = [name for name in (one, other) if vectors.is_numeric(name)]
    if len(numeric) == 2:
        return "Pearson's r"
    return "Cramér's V" if all(_two_valued(vectors, name) for name in numeric) else "correlation ratio"


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


@dataclass
class _Scan:
    """Sums over all rows, from which r and the correlation ratio of numeric columns follow.

    `moments` (6, left, right): rows where both have a value, and over these the sums of x, y, x squared,
    y squared and x times y. `groups`: category -> (3, levels + 1, numeric): rows and sum of a column in
    a level, level 0 being no value, and the sum of its squares over all levels. Values are relative to the
    first block's means, so that large offsets cost no digits.
    """

    numeric: tuple[str, ...]
    left: tuple[str, ...]
    right: tuple[str, ...]
    moments: Array
    groups: dict[str, Array] = field(default_factory=dict)

    def pearson(self) -> Array:
        """Pearson's r, (left, right), each pair over the rows where both have a value."""
        n, x, y, xx, yy, xy = self.moments
        with np.errstate(invalid="ignore", divide="ignore"):
            spread_x, spread_y = xx - x * x / n, yy - y * y / n
            r = (xy - x * y / n) / np.sqrt(spread_x * spread_y)
        r[(n < 2) | (spread_x <= 1e-12 * xx) | (spread_y <= 1e-12 * yy)] = np.nan
        return np.asarray(np.clip(r, -1.0, 1.0))

    def correlation_ratio(self, category: str, name: str) -> float:
        """The corrected correlation ratio: the root of the share of the spread that lies between groups."""
        counts, sums, squares = self.groups[category][:, 1:, self.numeric.index(name)]
        used = counts > 0
        n, levels = counts.sum(), np.count_nonzero(used)
        if n <= levels or levels < 2:
            return float("nan")
        total = squares.sum() - sums.sum() ** 2 / n
        if total <= 1e-12 * squares.sum():
            return float("nan")
        within = squares.sum() - (sums[used] ** 2 / counts[used]).sum()
        return float(np.sqrt(max(0.0, 1.0 - within / total * (n - 1) / (n - levels))))


def _scan_blocks(
    vectors: Vectors, left: tuple[str, ...], right: tuple[str, ...], grouped: Iterable[tuple[str, str]]
) -> _Scan:
    """One pass over the rows, block by block."""
    left, right = (tuple(name for name in names if vectors.is_numeric(name)) for names in (left, right))
    pairs: dict[str, set[str]] = {}
    for pair in grouped:
        category, name = _category_first(vectors, *pair)
        pairs.setdefault(category, set()).add(name)
    numeric = tuple(
        dict.fromkeys((*left, *right, *(name for names in pairs.values() for name in sorted(names))))
    )
    position = {name: i for i, name in enumerate(numeric)}
    a, b = [position[name] for name in left], [position[name] for name in right]
    scan = _Scan(numeric, left, right, np.zeros((6, len(a), len(b))))
    for category in pairs:
        scan.groups[category] = np.zeros((3, len(vectors.codes(category).levels) + 1, len(numeric)))
    centre: Array | None = None
    start = 0
    for block in vectors.blocks(numeric):
        present = ~np.isnan(block)
        if centre is None:
            centre = np.nan_to_num(block).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        block -= centre
        block[~present] = 0.0
        scan.moments += _pair_moments(block, present, a, b)
        for category, names in pairs.items():
            codes = vectors.codes(category).codes[start : start + len(block)].astype(np.intp) + 1
            _add_groups(scan.groups[category], codes, block, present, [position[name] for name in names])
        start += len(block)
    return scan


def _pair_moments(x: Array, present: Array, a: list[int], b: list[int]) -> Array:
    """The six sums of `_Scan.moments` over one block."""
    left, in_left = _chosen_columns(x, a), _chosen_columns(present, a)
    if a == b:
        sums, squares = _over(left, in_left), _over(left * left, in_left)
        rows = _over(in_left.astype(np.float64), in_left)
        return np.stack([rows, sums, sums.T, squares, squares.T, left.T @ left])
    right, in_right = x[:, b], present[:, b]
    return np.stack(
        [
            _over(in_left.astype(np.float64), in_right),
            _over(left, in_right),
            _over(right, in_left).T,
            _over(left * left, in_right),
            _over(right * right, in_left).T,
            left.T @ right,
        ]
    )


def _chosen_columns(x: Array, chosen: list[int]) -> Array:
    return x if chosen == list(range(x.shape[1])) else x[:, chosen]


def _over(values: Array, present: Array) -> Array:
    """Sums of each column of values over the rows where each other is present: only gaps cost a product."""
    sums = np.repeat(values.sum(axis=0)[:, None], present.shape[1], axis=1)
    gapped = np.flatnonzero(~present.all(axis=0))
    sums[:, gapped] = values.T @ present[:, gapped].astype(np.float64)
    return sums


def _add_groups(sums: Array, codes: Array, x: Array, present: Array, columns: list[int]) -> None:
    """Add one block's rows and sums of each level; the squares of all levels are kept in level 1."""
    size = sums.shape[1]
    rows = np.bincount(codes, minlength=size)
    known = x if codes.all() else x[codes > 0]
    sums[2, 1] += np.einsum("ij,ij->j", known, known)
    for i in columns:
        whole = present[:, i].all()
        sums[0, :, i] += rows if whole else np.bincount(codes[present[:, i]], minlength=size)
        sums[1, :, i] += np.bincount(codes, weights=x[:, i], minlength=size)


def _category_first(vectors: Vectors, one: str, other: str) -> tuple[str, str]:
    return (other, one) if vectors.is_numeric(one) else (one, other)


def _two_valued(vectors: Vectors, name: str) -> bool:
    if vectors.target is not None and name == vectors.target.name:
        return vectors.target.task == "binary"
    return vectors.kind(name) == "boolean"
