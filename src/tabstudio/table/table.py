"""A table that has been read: its rows, its schema, where it came from and what was guessed on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from html import escape
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.errors import ConfigError, DataError
from tabstudio.table.fingerprint import fingerprint
from tabstudio.table.schema import Role, Schema

Labels: TypeAlias = npt.NDArray[Any]
"""Labels (rows,): int64 places in the target's classes, or float64 of a regression."""


@dataclass(frozen=True, slots=True)
class Note:
    """One guess: its subject, the choice and the reason."""

    subject: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.value} ({self.reason})"


@dataclass(frozen=True, slots=True)
class TableSource:
    """Where a table came from. `rows` counts the rows as read, `bytes` the files' size on disk."""

    name: str
    files: tuple[str, ...] = ()
    rows: int = 0
    format: str = "memory"
    separator: str = ""
    encoding: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Table:
    """Rows of typed columns.

    `frame` holds every column of the file: number as Int64 or Float64, boolean as Boolean, category and
    text as String, date as Date or Datetime in microseconds. Where a target was named, rows without a label
    are gone and a note says how many.
    """

    frame: pl.DataFrame
    schema: Schema
    source: TableSource
    notes: tuple[Note, ...] = ()

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE3 (hex) over every row and column, equal for the same content whatever file it came from."""
        return fingerprint(self.frame)

    def labels(self) -> Labels:
        """The target, shape (rows,): int64 places in `schema.target.classes`, or float64 for a regression.

        Raises `ConfigError` where the table was read without a target.
        """
        target = self.schema.target
        if target is None:
            raise ConfigError("the table was read without a target: name one, read(source, target='column')")
        values = self.frame[target.name]
        if target.task == "regression":
            return values.cast(pl.Float64).to_numpy().astype(np.float64, copy=False)
        if values.dtype == pl.String:
            places = values.cast(pl.Enum([str(label) for label in target.classes])).to_physical()
            return places.cast(pl.Int64).to_numpy()
        return np.searchsorted(np.array(target.classes), values.to_numpy()).astype(np.int64)

    def with_role(self, column: str, role: Role, reason: str) -> Table:
        """The same table with one column's role changed, for the reason given.

        Raises `ConfigError` where there is no such column, or where the target's role would change.
        """
        old = self.schema[self.column(column)]
        if "target" in (old.role, role) and old.role != role:
            raise ConfigError(
                f"column {column!r}: the target is named when the table is read, not afterwards"
            )
        new = replace(old, role=role, reason=f"{old.reason}; {role}: {reason}")
        return replace(self, schema=self.schema.with_column(new))

    def column(self, name: str) -> str:
        """Return the name of an existing column. Raises `ConfigError` with similar names for others."""
        if name in self.schema:
            return name
        raise ConfigError(f"{self.source.name}: {unknown_column(name, self.schema.names)}")

    def take(self, rows: npt.NDArray[np.integer]) -> Table:
        """The rows of these numbers, in this order, under the same schema."""
        return replace(self, frame=self.frame[np.asarray(rows, dtype=np.int64)])

    def __repr__(self) -> str:
        lines = [f"{self.source.name}: {len(self):,} rows, {len(self.schema)} columns", repr(self.schema)]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(str(note))}</li>" for note in self.notes)
        title = f"{escape(self.source.name)}: {len(self):,} rows, {len(self.schema)} columns"
        return f"<p><b>{title}</b></p>{self.schema._repr_html_()}<ul>{notes}</ul>"


def unknown_column(name: str, names: tuple[str, ...] | list[str]) -> str:
    """The message on a column that does not exist, with similar names."""
    lowered = {n.casefold(): n for n in names}
    close = [lowered[n] for n in get_close_matches(name.casefold(), lowered, n=3, cutoff=0.6)]
    if close:
        hint = "did you mean " + " or ".join(repr(n) for n in close) + "?"
    else:
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        hint = f"the columns are {shown}"
    return f"there is no column {name!r}: {hint}"


def require_columns(wanted: dict[str, str], names: list[str], source: str) -> None:
    """Raise one `ConfigError` for all options that name columns which do not exist (column -> option)."""
    faults = [
        f"{option}: {unknown_column(name, names)}" for name, option in wanted.items() if name not in names
    ]
    if faults:
        raise ConfigError("\n".join(f"{source}: {fault}" for fault in faults))


def rows_error(source: str, message: str, rows: list[str]) -> DataError:
    """A `DataError` that shows the first faulty rows and counts the rest."""
    shown = "\n".join(f"  {row}" for row in rows[:5])
    more = f"\n  and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    return DataError(f"{source}: {message}\n{shown}{more}")
