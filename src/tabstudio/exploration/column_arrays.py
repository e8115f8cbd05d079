"""A table's columns as arrays to count with: values with NaN for gaps, or codes of levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.table.schema import Column
from tabstudio.table.table import Labels, Table

MOST_LEVELS = 1000
"""Columns with more levels than this are as good as free text: they are counted, not associated or drawn."""

BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of categories: `codes` (rows,) int32 are places in `levels`, -1 where there is no value."""

    levels: tuple[str, ...]
    codes: npt.NDArray[np.int32]

    def counts(self) -> npt.NDArray[np.int64]:
        """Rows of each level, int64 (levels,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.levels))


class Vectors:
    """Columns of one table by name; each is converted when it is asked for, codes are kept.

    Numeric are numbers, dates (as days) and booleans (as 0 and 1), and so is the target of a regression
    or of a binary task (1 is its positive class). The others are categories.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.target = table.schema.target
        self._codes: dict[str, Coded] = {}
        shown = [c for c in table.schema if c.role not in ("id", "constant", "dropped", "target")]
        shown = [c for c in shown if c.missing < len(table) and c.kind != "text"]
        self.columns = {c.name: c for c in shown if c.kind != "category" or c.unique <= MOST_LEVELS}
        self.left_out = tuple(c.name for c in shown if c.name not in self.columns)

    @cached_property
    def _labels(self) -> Labels:
        return self.table.labels()

    def __len__(self) -> int:
        return len(self.table)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns beside the target, in file order."""
        return tuple(self.columns)

    def is_numeric(self, name: str) -> bool:
        """Whether the column has an order and distances."""
        if self.target is not None and name == self.target.name:
            return self.target.task != "multiclass"
        return self.columns[name].kind in ("number", "date", "boolean")

    def kind(self, name: str) -> str:
        """The column's kind as it is drawn."""
        return self.columns[name].kind

    def values(self, name: str) -> npt.NDArray[np.float64]:
        """A numeric column, float64 (rows,), NaN where there is no finite value."""
        target = self.target
        if target is not None and name == target.name:
            labels = self._labels
            if target.task == "binary":
                positive = target.classes.index(target.positive if target.positive is not None else "")
                return np.asarray(labels == positive, dtype=np.float64)
            return np.asarray(labels, dtype=np.float64)
        return _finite_or_nan(as_numbers(self.table.frame[name]))

    def blocks(self, names: tuple[str, ...]) -> Iterator[npt.NDArray[np.float64]]:
        """Numeric columns side by side, float64 (at most 65,536 rows, columns), NaN for no value."""
        target = self.target.name if self.target is not None else None
        labels = self.values(target) if target in names and target is not None else np.empty(0)
        for start in range(0, len(self), BLOCK):
            piece = self.table.frame[start : start + BLOCK]
            block = np.empty((len(piece), len(names)), order="F")
            for i, name in enumerate(names):
                if name == target:
                    block[:, i] = labels[start : start + BLOCK]
                else:
                    block[:, i] = _finite_or_nan(as_numbers(piece[name]))
            yield block

    def codes(self, name: str) -> Coded:
        """A column of categories or booleans, or the target, as codes."""
        if name not in self._codes:
            self._codes[name] = self._coded(name)
        return self._codes[name]

    def _coded(self, name: str) -> Coded:
        if self.target is not None and name == self.target.name:
            levels = tuple(str(label) for label in self.target.classes)
            return Coded(levels, self._labels.astype(np.int32))
        series = self.table.frame[name].cast(pl.String)
        levels = tuple(series.unique().drop_nulls().sort().to_list())
        physical = series.cast(pl.Enum(levels)).to_physical().cast(pl.Int32).fill_null(-1)
        return Coded(levels, physical.to_numpy())


def as_numbers(series: pl.Series) -> npt.NDArray[np.float64]:
    """Numbers, booleans (0 and 1) or dates (days since 1970) as float64, NaN for missing."""
    if series.dtype == pl.Date:
        series = series.to_physical()
    elif series.dtype == pl.Datetime:
        series = series.cast(pl.Datetime("us")).to_physical() / 86_400e6
    return series.cast(pl.Float64).to_numpy()


def is_whole(column: Column) -> bool:
    """Whether a number column holds whole numbers."""
    return column.kind == "number" and column.dtype.startswith(("Int", "UInt"))


def _finite_or_nan(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    infinite = np.isinf(values)
    return np.where(infinite, np.nan, values) if infinite.any() else values
