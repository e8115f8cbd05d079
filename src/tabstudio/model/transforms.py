"""Preprocessing that was fitted elsewhere, as data: scikit-learn's usual transformers, applied without it.

A step takes a block of columns, each a NumPy array (n,) of float64 or of objects (text, None for no value),
and gives a block. Figures are computed in scikit-learn's order of operations, so that they equal its to the
last bit. `tabstudio.model.sklearn_import` makes steps of fitted transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from tabstudio.errors import InputError
from tabstudio.model.inference.arrays import Array

Block = list[Array]
Level = str | float

FUNCTIONS = (
    "absolute",
    "cbrt",
    "exp",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "negative",
    "sqrt",
    "square",
)
"""NumPy's functions of one number that a step may call by name."""
_BOUND = 1e-7
"""scikit-learn's: what lies so near to the least or greatest quantile stands for it."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Operations on every column, one after the other, each with one figure per column."""

    kind: ClassVar[str] = "arithmetic"
    operations: tuple[tuple[str, tuple[float, ...]], ...]

    def apply(self, block: Block) -> Block:
        """Compute."""
        for name, figures in self.operations:
            function = _ARITHMETIC[name]
            block = [function(column, figure) for column, figure in zip(block, figures, strict=True)]
        return block


_ARITHMETIC: Mapping[str, Callable[..., Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "at least": np.maximum,
    "at most": np.minimum,
    "exceeds": lambda column, figure: (column > figure).astype(column.dtype),
}


@dataclass(frozen=True, slots=True)
class Function:
    """One of `FUNCTIONS`, on every value."""

    kind: ClassVar[str] = "function"
    name: str

    def apply(self, block: Block) -> Block:
        """Compute."""
        if self.name not in FUNCTIONS:
            raise ValueError(f"function {self.name!r} is none of {', '.join(FUNCTIONS)}")
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return [getattr(np, self.name)(column) for column in block]


@dataclass(frozen=True, slots=True)
class RowNorm:
    """Every row divided by its norm, `l1`, `l2` or `max`; rows of zeros stay."""

    kind: ClassVar[str] = "row norm"
    norm: str

    def apply(self, block: Block) -> Block:
        """Compute."""
        rows = np.column_stack(block)
        if self.norm == "l2":
            norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        else:
            sizes = np.abs(rows)
            norms = sizes.sum(axis=1) if self.norm == "l1" else sizes.max(axis=1)
        norms[norms < 10 * np.finfo(norms.dtype).eps] = 1
        return [column / norms for column in block]


@dataclass(frozen=True, slots=True)
class Power:
    """The Yeo-Johnson or Box-Cox transform, one exponent per column.

    Source: Yeo and Johnson (2000), Biometrika 87; Box and Cox (1964), JRSS B 26.
    """

    kind: ClassVar[str] = "power"
    method: str
    exponents: tuple[float, ...]

    def apply(self, block: Block) -> Block:
        """Compute."""
        function = _yeo_johnson if self.method == "yeo-johnson" else _box_cox
        with np.errstate(invalid="ignore"):
            return [function(column, power) for column, power in zip(block, self.exponents, strict=True)]


def _yeo_johnson(values: Array, power: float) -> Array:
    eps = np.finfo(values.dtype).eps
    out = np.zeros_like(values)
    high = values >= 0
    logs = np.log1p(values[high])
    out[high] = logs if abs(power) < eps else np.expm1(power * logs) / power
    logs = np.log1p(-values[~high])
    out[~high] = -logs if abs(power - 2) <= eps else -np.expm1((2 - power) * logs) / (2 - power)
    return out


def _box_cox(values: Array, power: float) -> Array:
    from scipy.special import boxcox

    return np.asarray(boxcox(values, power))


@dataclass(frozen=True, slots=True)
class Quantile:
    """Every value's place among the training quantiles of its column, as a share or as a normal deviate."""

    kind: ClassVar[str] = "quantile"
    shares: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]
    normal: bool

    def apply(self, block: Block) -> Block:
        """Compute."""
        shares = np.asarray(self.shares)
        return [
            self._column(column, np.asarray(quantiles), shares)
            for column, quantiles in zip(block, self.quantiles, strict=True)
        ]

    def _column(self, values: Array, quantiles: Array, shares: Array) -> Array:
        margin = _BOUND if self.normal else 0.0
        low = values - margin < quantiles[0] if self.normal else values == quantiles[0]
        high = values + margin > quantiles[-1] if self.normal else values == quantiles[-1]
        out, known = values.copy(), ~np.isnan(values)
        rising = np.interp(values[known], quantiles, shares)
        falling = np.interp(-values[known], -quantiles[::-1], -shares[::-1])
        out[known] = 0.5 * (rising - falling)
        out[high], out[low] = 1, 0
        return _deviates(out) if self.normal else out


def _deviates(shares: Array) -> Array:
    from scipy.special import ndtri

    least = _BOUND - np.spacing(1)
    return np.asarray(np.clip(ndtri(shares), ndtri(least), ndtri(1 - least)))


@dataclass(frozen=True, slots=True)
class Impute:
    """Gaps filled with one value per column; columns without one are left out.

    `gap` is the value that counts as a gap, None for no value at all. For each place in `flags` a further
    column says, by 1, where that column had a gap.
    """

    kind: ClassVar[str] = "impute"
    fills: tuple[Level | None, ...]
    gap: Level | None
    flags: tuple[int, ...]

    def apply(self, block: Block) -> Block:
        """Fill, and flag."""
        gaps = [_gap_mask(column) if self.gap is None else column == self.gap for column in block]
        filled = [
            _filled(column, where, fill)
            for column, where, fill in zip(block, gaps, self.fills, strict=True)
            if fill is not None
        ]
        return filled + [gaps[index].astype(np.float64) for index in self.flags]


def _filled(column: Array, where: Array, fill: Level) -> Array:
    filled = column.copy()
    filled[where] = fill
    return filled


@dataclass(frozen=True, slots=True)
class LookupTransform:
    """Each level of a column has a code: as a number, or as a column of its own that is 1 (`widths`).

    Levels are text or numbers. `missing` and `others` are the codes of no value and of any other level, by
    column; `strict` columns refuse other levels instead. With `widths` a code is a place among so many
    columns, and -1 is none of them.
    """

    kind: ClassVar[str] = "lookup"
    names: tuple[str, ...]
    levels: tuple[tuple[Level, ...], ...]
    codes: tuple[tuple[float, ...], ...]
    missing: tuple[float, ...]
    others: tuple[float, ...]
    knows_missing: tuple[bool, ...]
    strict: bool
    widths: tuple[int, ...] | None

    def apply(self, block: Block, unseen: dict[str, int]) -> Block:
        """Look every value up.

        Raises `InputError` naming a strict column's unknown levels.
        """
        codes_by_column = [self._codes(index, column, unseen) for index, column in enumerate(block)]
        if self.widths is None:
            return codes_by_column
        return [
            (codes == index).astype(np.float64)
            for codes, width in zip(codes_by_column, self.widths, strict=True)
            for index in range(width)
        ]

    def _codes(self, index: int, column: Array, unseen: dict[str, int]) -> Array:
        known = dict(zip(self.levels[index], self.codes[index], strict=True))
        gaps = _gap_mask(column)
        distinct, back = np.unique(column[~gaps], return_inverse=True)
        foreign = [level for level in distinct.tolist() if level not in known]
        codes = np.array([known.get(level, self.others[index]) for level in distinct.tolist()], np.float64)
        out = np.full(len(column), self.missing[index])
        out[~gaps] = codes[back]
        strangers = int(np.isin(distinct, foreign)[back].sum()) if foreign else 0
        if not self.knows_missing[index]:
            strangers += int(gaps.sum())
        self._count(index, foreign, strangers, unseen)
        return out

    def _count(self, index: int, foreign: list[Level], count: int, unseen: dict[str, int]) -> None:
        if not count:
            return
        name = self.names[index]
        if self.strict:
            shown = ", ".join(map(repr, foreign[:5])) or "no value"
            known = ", ".join(map(repr, self.levels[index][:20]))
            raise InputError(f"column {name!r}: one of {known} was expected, got {shown} in {count:,} rows")
        unseen[name] = unseen.get(name, 0) + count


@dataclass(frozen=True, slots=True)
class ChainTransform:
    """Steps one after the other; none at all passes the block on."""

    kind: ClassVar[str] = "chain"
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Parallel:
    """Steps side by side, each on columns of its own choice; their results stand beside each other."""

    kind: ClassVar[str] = "parallel"
    parts: tuple[tuple[tuple[int, ...], Step], ...]


Step = (
    Arithmetic | Function | RowNorm | Power | Quantile | Impute | LookupTransform | ChainTransform | Parallel
)
_KINDS: Mapping[str, type[Step]] = {
    step.kind: step
    for step in (
        Arithmetic,
        Function,
        RowNorm,
        Power,
        Quantile,
        Impute,
        LookupTransform,
        ChainTransform,
        Parallel,
    )
}


def applied(step: Step, block: Block, unseen: dict[str, int]) -> Block:
    """The block that a step makes of a block. `unseen` gets, per column, how many levels were not known.

    Raises `InputError` naming the unknown levels of a strict lookup.
    """
    if isinstance(step, ChainTransform):
        for inner in step.steps:
            block = applied(inner, block, unseen)
        return block
    if isinstance(step, Parallel):
        results = [applied(inner, [block[index] for index in places], unseen) for places, inner in step.parts]
        return [column for result in results for column in result]
    return step.apply(block, unseen) if isinstance(step, LookupTransform) else step.apply(block)


def to_json(step: Step) -> dict[str, object]:
    """Return a plain dictionary for `from_json`."""
    if isinstance(step, ChainTransform):
        return {"kind": step.kind, "steps": [to_json(inner) for inner in step.steps]}
    if isinstance(step, Parallel):
        parts = [{"places": list(places), "step": to_json(inner)} for places, inner in step.parts]
        return {"kind": step.kind, "parts": parts}
    return {"kind": step.kind, **asdict(step)}


def from_json(data: Mapping[str, Any]) -> Step:
    """The step that `to_json` wrote. A figure that JSON has no word for (null) is NaN."""
    kind = _KINDS[data["kind"]]
    if kind is ChainTransform:
        return ChainTransform(tuple(from_json(inner) for inner in data["steps"]))
    if kind is Parallel:
        return Parallel(tuple((tuple(part["places"]), from_json(part["step"])) for part in data["parts"]))
    optional = ("fills", "gap", "widths")
    values = {
        field.name: _tuples(data[field.name], None if field.name in optional else np.nan)
        for field in fields(kind)
    }
    return kind(**values)


def _tuples(value: object, null: float | None) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_tuples(inner, null) for inner in value)
    return null if value is None else value


def _gap_mask(column: Array) -> Array:
    if column.dtype == object:
        return np.array([value is None for value in column], dtype=bool)
    return np.isnan(column)
