"""Records of segments as frames: one row per row predicted, its columns typed as the model saw them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from tabstudio.errors import InputError
from tabstudio.serving.predictionlog.privacy import Row, cell_text
from tabstudio.serving.predictionlog.segment import SegmentEntry, SegmentHeader
from tabstudio.table.schema import Column, Schema
from tabstudio.table.schema_alignment import conform

ROWS = 16_384
"""Rows that are turned into a frame at a time."""
INPUT, PROBABILITY = "input_", "probability_"
BASE: dict[str, pl.DataType | type[pl.DataType]] = {
    "time": pl.Datetime("us", "UTC"),
    "request_id": pl.String,
    "row": pl.UInt32,
    "version": pl.String,
    "role": pl.String,
    "protocol": pl.String,
    "caller": pl.String,
    "warnings": pl.List(pl.String),
}

Served = tuple[str, str]


class RecordFrames:
    """Collects records and gives frames of about `ROWS` rows, each of one model version.

    `unreadable` counts rows whose values no longer fit the schema that stands beside them; they are kept
    without their inputs.
    """

    def __init__(self, model: str | None = None) -> None:
        self.model = model
        self.unreadable = 0
        self._abouts: dict[int, SegmentHeader] = {}
        self._waiting: dict[Served, tuple[SegmentHeader, list[SegmentEntry]]] = {}
        self._rows: dict[Served, int] = {}

    def take(self, records: Iterable[SegmentHeader | SegmentEntry]) -> Iterator[tuple[str, pl.DataFrame]]:
        """Read a whole segment; give (model, frame) whenever enough rows have come together."""
        self._abouts = {}
        for record in records:
            if isinstance(record, SegmentHeader):
                self._abouts[record.number] = record
            elif record.number in self._abouts:
                yield from self._add(self._abouts[record.number], record)

    def rest(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Give what has not filled a frame."""
        for key in list(self._waiting):
            yield self._frame(key)

    def _add(self, about: SegmentHeader, entry: SegmentEntry) -> Iterator[tuple[str, pl.DataFrame]]:
        if self.model not in (None, about.model):
            return
        key = about.model, about.version
        if key in self._waiting and self._waiting[key][0] != about:
            yield self._frame(key)  # the same version, but other columns are masked
        self._waiting.setdefault(key, (about, []))[1].append(entry)
        self._rows[key] = self._rows.get(key, 0) + len(entry.rows)
        if self._rows[key] >= ROWS:
            yield self._frame(key)

    def _frame(self, key: Served) -> tuple[str, pl.DataFrame]:
        about, entries = self._waiting.pop(key)
        self._rows.pop(key)
        schema = Schema.from_json(about.schema)
        parts = [_facts(about, entries), _answers(schema, entries), self._inputs(about, schema, entries)]
        return about.model, pl.concat(parts, how="horizontal")

    def _inputs(self, about: SegmentHeader, schema: Schema, entries: Sequence[SegmentEntry]) -> pl.DataFrame:
        rows = [row for entry in entries for row in entry.rows]
        if not about.columns:
            return pl.DataFrame(height=len(rows))
        kept = _as_kept(about, schema)
        frames = [self._typed(kept, numbered) for numbered in _alike(kept, rows)]
        typed = pl.concat(frames).sort("place").drop("place")
        return typed.rename({name: INPUT + name for name in typed.columns})

    def _typed(self, schema: Schema, rows: list[tuple[int, Row]]) -> pl.DataFrame:
        places = pl.Series("place", [place for place, _ in rows], dtype=pl.Int64)
        columns = zip(*(row for _, row in rows), strict=True)
        data = {
            column.name: [None if v is None else cell_text(v) for v in values]
            if _is_words(column)
            else values
            for column, values in zip(schema.columns, columns, strict=True)
        }
        try:
            frame = conform(data, schema)
        except InputError:
            self.unreadable += len(rows)
            frame = conform({column.name: [None] * len(rows) for column in schema}, schema)
        return frame.with_columns(places)


def utc_times(seconds: Sequence[float]) -> pl.Series:
    """Unix seconds as times in UTC."""
    return pl.Series([round(second * 1e6) for second in seconds], dtype=pl.Int64).cast(BASE["time"])


def _facts(about: SegmentHeader, entries: Sequence[SegmentEntry]) -> pl.DataFrame:
    counts = np.array([len(entry.rows) for entry in entries])
    request = pl.Series(np.repeat(np.arange(len(entries)), counts))
    words = ("request_id", "role", "protocol", "caller")
    per_request = {name: pl.Series([getattr(e, name) for e in entries], dtype=pl.String) for name in words}
    columns = {
        "time": utc_times([entry.at for entry in entries]).gather(request),
        "row": pl.Series(np.arange(len(request)) - np.repeat(counts.cumsum() - counts, counts)),
        "version": pl.repeat(about.version, len(request), eager=True),
        "warnings": _warnings(entries, len(request)),
        **{name: series.gather(request) for name, series in per_request.items()},
    }
    return pl.DataFrame({name: columns[name].cast(dtype) for name, dtype in BASE.items()})


def _warnings(entries: Sequence[SegmentEntry], rows: int) -> pl.Series:
    if not any(entry.warnings for entry in entries):
        return pl.repeat([], rows, dtype=BASE["warnings"], eager=True)
    said = [_said(entry, row) for entry in entries for row in range(len(entry.rows))]
    return pl.Series(said, dtype=BASE["warnings"])


def _said(entry: SegmentEntry, row: int) -> list[str]:
    return [": ".join(str(v) for v in said.values()) for said in entry.warnings.get(row, [])]


def _answers(schema: Schema, entries: Sequence[SegmentEntry]) -> pl.DataFrame:
    assert schema.target is not None
    labels = [label for entry in entries for label in entry.labels]
    if schema.target.task == "regression":
        return pl.DataFrame({"prediction": pl.Series(labels, dtype=pl.Float64)})
    columns: dict[str, Any] = {"prediction": pl.Series(labels, dtype=pl.String, strict=False)}
    unknown: list[float | None] = [None] * len(schema.target.classes)
    rows = [row for e in entries for row in _probabilities(e, unknown)]
    for label, values in zip(schema.target.classes, zip(*rows, strict=True), strict=True):
        columns[f"{PROBABILITY}{label}"] = pl.Series(values, dtype=pl.Float64)
    return pl.DataFrame(columns)


def _probabilities(entry: SegmentEntry, unknown: list[float | None]) -> Sequence[Sequence[float | None]]:
    return entry.probabilities or [unknown] * len(entry.rows)


def _as_kept(about: SegmentHeader, schema: Schema) -> Schema:
    """The schema of what stands in the rows: only the columns kept, hashes as words."""
    columns = [schema[name] for name in about.columns]
    return Schema(
        tuple(Column(c.name, "category") if c.name in about.masked else c for c in columns),
        missing_words=schema.missing_words,
    )


def _is_words(column: Column) -> bool:
    return column.kind in ("category", "text")


def _alike(schema: Schema, rows: Sequence[Row]) -> Iterator[list[tuple[int, Row]]]:
    """Numbered rows, parted by which cells are text: a number and its text are read in different ways."""
    kinds = [set(map(type, column)) for column in zip(*rows, strict=True)]
    mixed = [
        place
        for place, (column, types) in enumerate(zip(schema, kinds, strict=True))
        if not _is_words(column) and str in types and types - {str, type(None)}
    ]
    groups: dict[tuple[bool, ...], list[tuple[int, Row]]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(tuple(isinstance(row[i], str) for i in mixed), []).append((number, row))
    yield from groups.values()
