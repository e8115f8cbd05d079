"""Records of segments as frames: one row per row predicted, typed by the model's schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl

from tabstudio.errors import InputError
from tabstudio.serving.predictionlog.privacy import Row, cell_text
from tabstudio.serving.predictionlog.segment import SegmentEntry, SegmentHeader
from tabstudio.table.schema import Column, Schema
from tabstudio.table.schema_alignment import conform

ROWS = 16_384
"""Rows of a frame."""
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

ModelVersion = tuple[str, str]


class RecordFrames:
    """Collects records and gives frames of about `ROWS` rows, each of one model version.

    `unreadable` counts rows whose values do not fit the schema in their segment; they are kept without their
    inputs.
    """

    def __init__(self, model: str | None = None) -> None:
        self.model = model
        self.unreadable = 0
        self._headers: dict[int, SegmentHeader] = {}
        self._waiting: dict[ModelVersion, tuple[SegmentHeader, list[SegmentEntry]]] = {}
        self._rows: dict[ModelVersion, int] = {}

    def take(self, records: Iterable[SegmentHeader | SegmentEntry]) -> Iterator[tuple[str, pl.DataFrame]]:
        """Read a whole segment; give (model, frame) whenever there are enough rows for a frame."""
        self._headers = {}
        for record in records:
            if isinstance(record, SegmentHeader):
                self._headers[record.number] = record
            elif record.number in self._headers:
                yield from self._add(self._headers[record.number], record)

    def rest(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Give the records that do not fill a frame."""
        for key in list(self._waiting):
            yield self._frame(key)

    def _add(self, header: SegmentHeader, entry: SegmentEntry) -> Iterator[tuple[str, pl.DataFrame]]:
        if self.model not in (None, header.model):
            return
        key = header.model, header.version
        if key in self._waiting and self._waiting[key][0] != header:
            yield self._frame(key)  # the same version, but other columns are masked
        self._waiting.setdefault(key, (header, []))[1].append(entry)
        self._rows[key] = self._rows.get(key, 0) + len(entry.rows)
        if self._rows[key] >= ROWS:
            yield self._frame(key)

    def _frame(self, key: ModelVersion) -> tuple[str, pl.DataFrame]:
        header, entries = self._waiting.pop(key)
        self._rows.pop(key)
        schema = Schema.from_json(header.schema)
        parts = [
            _request_columns(header, entries),
            _prediction_columns(schema, entries),
            self._inputs(header, schema, entries),
        ]
        return header.model, pl.concat(parts, how="horizontal")

    def _inputs(self, header: SegmentHeader, schema: Schema, entries: Sequence[SegmentEntry]) -> pl.DataFrame:
        rows = [row for entry in entries for row in entry.rows]
        if not header.columns:
            return pl.DataFrame(height=len(rows))
        logged_schema = _kept_schema(header, schema)
        frames = [self._typed(logged_schema, numbered) for numbered in _group_by_types(logged_schema, rows)]
        typed = pl.concat(frames).sort("position").drop("position")
        return typed.rename({name: INPUT + name for name in typed.columns})

    def _typed(self, schema: Schema, rows: list[tuple[int, Row]]) -> pl.DataFrame:
        positions = pl.Series("position", [number for number, _ in rows], dtype=pl.Int64)
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
        return frame.with_columns(positions)


def utc_times(seconds: Sequence[float]) -> pl.Series:
    """Unix seconds as times in UTC."""
    return pl.Series([round(second * 1e6) for second in seconds], dtype=pl.Int64).cast(BASE["time"])


def _request_columns(header: SegmentHeader, entries: Sequence[SegmentEntry]) -> pl.DataFrame:
    counts = np.array([len(entry.rows) for entry in entries])
    request = pl.Series(np.repeat(np.arange(len(entries)), counts))
    texts = ("request_id", "role", "protocol", "caller")
    per_request = {name: pl.Series([getattr(e, name) for e in entries], dtype=pl.String) for name in texts}
    columns = {
        "time": utc_times([entry.at for entry in entries]).gather(request),
        "row": pl.Series(np.arange(len(request)) - np.repeat(counts.cumsum() - counts, counts)),
        "version": pl.repeat(header.version, len(request), eager=True),
        "warnings": _warnings(entries, len(request)),
        **{name: series.gather(request) for name, series in per_request.items()},
    }
    return pl.DataFrame({name: columns[name].cast(dtype) for name, dtype in BASE.items()})


def _warnings(entries: Sequence[SegmentEntry], rows: int) -> pl.Series:
    if not any(entry.warnings for entry in entries):
        return pl.repeat([], rows, dtype=BASE["warnings"], eager=True)
    texts = [_warning_texts(entry, row) for entry in entries for row in range(len(entry.rows))]
    return pl.Series(texts, dtype=BASE["warnings"])


def _warning_texts(entry: SegmentEntry, row: int) -> list[str]:
    return [": ".join(map(str, warning.values())) for warning in entry.warnings.get(row, [])]


def _prediction_columns(schema: Schema, entries: Sequence[SegmentEntry]) -> pl.DataFrame:
    assert schema.target is not None
    labels = [label for entry in entries for label in entry.labels]
    if schema.target.task == "regression":
        return pl.DataFrame({"prediction": pl.Series(labels, dtype=pl.Float64)})
    columns: dict[str, object] = {"prediction": pl.Series(labels, dtype=pl.String, strict=False)}
    unknown: list[float | None] = [None] * len(schema.target.classes)
    rows = [row for e in entries for row in _probabilities(e, unknown)]
    for label, values in zip(schema.target.classes, zip(*rows, strict=True), strict=True):
        columns[f"{PROBABILITY}{label}"] = pl.Series(values, dtype=pl.Float64)
    return pl.DataFrame(columns)


def _probabilities(entry: SegmentEntry, unknown: list[float | None]) -> Sequence[Sequence[float | None]]:
    return entry.probabilities or [unknown] * len(entry.rows)


def _kept_schema(header: SegmentHeader, schema: Schema) -> Schema:
    """The schema of the logged rows: only the columns kept, hashes as categories."""
    columns = [schema[name] for name in header.columns]
    return Schema(
        tuple(Column(c.name, "category") if c.name in header.masked else c for c in columns),
        missing_words=schema.missing_words,
    )


def _is_words(column: Column) -> bool:
    return column.kind in ("category", "text")


def _group_by_types(schema: Schema, rows: Sequence[Row]) -> Iterator[list[tuple[int, Row]]]:
    """Numbered rows, grouped by which cells are text: numbers and their texts are parsed differently."""
    kinds = [set(map(type, column)) for column in zip(*rows, strict=True)]
    mixed = [
        i
        for i, (column, types) in enumerate(zip(schema, kinds, strict=True))
        if not _is_words(column) and str in types and types - {str, type(None)}
    ]
    groups: dict[tuple[bool, ...], list[tuple[int, Row]]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(tuple(isinstance(row[i], str) for i in mixed), []).append((number, row))
    yield from groups.values()
