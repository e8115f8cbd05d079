"""Columns that the prediction log leaves out or keeps as keyed hashes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

from tabstudio.serving.predictionlog.log_options import LogOptions
from tabstudio.serving.predictionlog.segment import Cell

Row = tuple[Cell, ...]
KEY = "key"


class PrivacyFilter:
    """Reduces rows to what the options allow.

    A masked value is the first 16 hexadecimal digits of its BLAKE2b hash under a secret key of the log: equal
    values stay equal within one log, and values cannot be guessed without the key.
    """

    def __init__(self, options: LogOptions, folder: Path) -> None:
        self.mask, self.leave_out = frozenset(options.mask), frozenset(options.leave_out)
        self._key = _key(folder) if self.mask else b""

    def masked(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The columns that are logged as hashes."""
        return tuple(name for name in columns if name in self.mask)

    def logged_columns(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The columns that are logged."""
        return tuple(name for name in columns if name not in self.leave_out)

    def reducer(self, columns: Sequence[str]) -> Callable[[list[Row]], list[Row]] | None:
        """A function that reduces rows of `columns`; None where all may be kept as they are."""
        if not self.mask.intersection(columns) and not self.leave_out.intersection(columns):
            return None
        plan = [
            (i, name in self.mask) for i, name in enumerate(columns) if name in self.logged_columns(columns)
        ]

        def reduce(rows: list[Row]) -> list[Row]:
            return [tuple(self._hash(row[i]) if hidden else row[i] for i, hidden in plan) for row in rows]

        return reduce

    def _hash(self, value: Cell) -> str | None:
        if value is None or value != value:
            return None
        return blake2b(cell_text(value).encode(), key=self._key, digest_size=8).hexdigest()


def cell_text(value: object) -> str:
    """A cell as text: integral floats without a point, booleans as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _key(folder: Path) -> bytes:
    """The log's secret, created by the first process that needs it."""
    path = folder / KEY
    fresh = folder / f".{KEY}.{secrets.token_hex(4)}"
    if not path.exists():
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, secrets.token_bytes(32))
        finally:
            os.close(handle)
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()
