"""The catalog of a log folder: Parquet files, the segments that went into them, and later labels.

    predictions/
      log.db                          this catalog (SQLite, write-ahead)
      key                             the secret of masked values, where columns are masked
      segments/*.log                  files that the workers append to
      <model>/<day>-<token>.parquet   the rows of finished segments

A Parquet file counts when it is listed here. The rows of a segment and the segment's name are entered in one
transaction, so that a reader sees each prediction once, whatever process was killed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tabstudio.errors import TabstudioError

NAME = "log.db"
FORMAT = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS files (
  path TEXT PRIMARY KEY, model TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
  rows INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS segments (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS feedback (
  id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, row INTEGER NOT NULL, model TEXT NOT NULL,
  label TEXT NOT NULL, at REAL NOT NULL, caller TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS feedback_request ON feedback (request_id, row, model, id);
"""


@dataclass(frozen=True, slots=True)
class LogFile:
    """A Parquet file: `path` relative to the folder, times of its first and last row in Unix seconds."""

    path: str
    model: str
    first: float
    last: float
    rows: int
    bytes: int


class LogCatalog:
    """The catalog of one log folder. Close it, or use it in a `with`.

    Raises `TabstudioError` where it cannot be opened or was written by a later tabstudio.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.database = sqlite3.connect(
                folder / NAME, timeout=30, isolation_level=None, check_same_thread=False
            )
            self.database.execute("PRAGMA journal_mode = WAL")
            (version,) = self.database.execute("PRAGMA user_version").fetchone()
            if version not in (0, FORMAT):
                raise TabstudioError(
                    f"{folder / NAME}: format {FORMAT} was expected, this is {version}: upgrade tabstudio"
                )
            self.database.executescript(_TABLES + f"PRAGMA user_version = {FORMAT}")
        except (sqlite3.Error, OSError) as error:
            raise TabstudioError(f"{folder / NAME}: the prediction log cannot be opened: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction, durable when it is left."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield self.database
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    def files(self, model: str | None = None) -> list[LogFile]:
        """The Parquet files, the oldest first; of one model where it is named."""
        where, values = ("WHERE model = ?", [model]) if model is not None else ("", [])
        rows = self.database.execute(f"SELECT * FROM files {where} ORDER BY first, path", values)  # noqa: S608
        return [LogFile(*row) for row in rows]

    def consumed(self) -> set[str]:
        """Names of the segments whose rows are in Parquet files."""
        return {name for (name,) in self.database.execute("SELECT name FROM segments")}

    def publish(self, fresh: Iterable[LogFile], replaced: Iterable[str], segments: Iterable[str]) -> None:
        """List `fresh` files, drop the replaced ones and mark segments as consumed, in one transaction."""
        with self.transaction() as database:
            database.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in replaced])
            database.executemany(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)",
                [(f.path, f.model, f.first, f.last, f.rows, f.bytes) for f in fresh],
            )
            database.executemany("INSERT OR IGNORE INTO segments VALUES (?)", [(name,) for name in segments])

    def forget(self, segments: Iterable[str]) -> None:
        """Remove the names of deleted segments."""
        with self.transaction() as database:
            database.executemany("DELETE FROM segments WHERE name = ?", [(name,) for name in segments])


def model_folder(model: str) -> str:
    """A model's name as a folder name, whatever its characters."""
    name = quote(model, safe=" @+=,")
    return f"%2E{name[1:]}" if name.startswith(".") else name or "%"
