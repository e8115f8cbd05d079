"""From rows to tensors: what is learned from the training rows, and how it is applied to any others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from tabstudio._util.threads import run_parallel
from tabstudio.errors import DataError
from tabstudio.model import text_selection
from tabstudio.model.code_columns import CodedColumn
from tabstudio.model.column_encoders import (
    CategoryColumn,
    DateColumn,
    HashedColumn,
    NumberColumn,
    Scale,
    present,
)
from tabstudio.model.inference.arrays import Array
from tabstudio.model.text_topics import TextColumn
from tabstudio.options import Scaling
from tabstudio.table.schema import Column, Schema

NumberWriter = NumberColumn | DateColumn | TextColumn
CodeWriter = CategoryColumn | HashedColumn | CodedColumn
BLOCK = 1 << 16
"""Rows encoded at a time: few enough for the processor's cache, enough that threads seldom wait."""
MOST_ONE_HOT = 50
"""A linear model is given a column of codes that has no more of them."""


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Encoded rows: `numbers` float32 (n, d), `codes` int64 (n, c).

    `unseen` counts, per column, values of a category that training did not know; `gaps` counts missing
    values in columns that had none in training. Only columns with some are named. `topics` are the places of
    the numbers that are topics of texts.
    """

    numbers: Array
    codes: Array
    unseen: dict[str, int]
    gaps: dict[str, int]
    topics: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Encoder:
    """Turns the feature columns of a table into numbers (n, d) and codes (n, c).

    Numbers are scaled and gaps filled with the median, with a further column that says where, if training had
    gaps; NaN and infinities are gaps. Booleans are 0 and 1. Categories become codes (see `CategoryColumn`),
    dates and texts become number columns. Columns without a single value contribute nothing. `notes` says
    what was decided.

    >>> import polars as pl
    >>> from tabstudio.table.schema import Column, Schema
    >>> frame = pl.DataFrame({"age": [20, 30, 40], "city": ["Rome", "Rome", "Oslo"]})
    >>> schema = Schema((Column("age", "number"), Column("city", "category")))
    >>> Encoder.fit(frame, schema, "minmax").encode(frame).numbers.tolist()
    [[0.0], [0.5], [1.0]]
    """

    writers: tuple[NumberWriter, ...]
    coders: tuple[CodeWriter, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls, frame: pl.DataFrame, schema: Schema, scaling: Scaling, labels: np.ndarray | None = None
    ) -> Encoder:
        """Learn from training rows, typed as `Table.frame` is.

        With their `labels` (rows,), as `Table.labels` gives them, numbers that are codes get codes, too, and
        words are looked at only where they tell something of the target, but then in categories as well.

        Raises `DataError` where no column can be used.
        """
        writers: list[NumberWriter] = []
        coders: list[CodeWriter] = []
        texts: list[TextColumn] = []
        notes: list[str] = []
        learned = run_parallel(
            lambda column: _fit(frame.get_column(column.name), column, scaling), schema.features, len(frame)
        )
        for column, fitted in zip(schema.features, learned, strict=True):
            notes.extend(_notes(frame.get_column(column.name), fitted))
            if isinstance(fitted, CodeWriter):
                coders.append(fitted)
            elif isinstance(fitted, TextColumn) and labels is not None:
                texts.append(fitted)
            elif fitted is not None:
                writers.append(fitted)
        if labels is not None:
            classes = schema.target is not None and schema.target.task != "regression"
            texts += text_selection.in_pieces(frame, coders, scaling)
            coded, coding_notes = _coded(frame, schema, labels, classes=classes)
            coders += coded
            others = cls(tuple(writers), tuple(coders))
            entering, more = text_selection.choose(frame, texts, others.plain, labels, classes=classes)
            writers += entering
            notes += [*coding_notes, *more]
        if not writers and not coders:
            raise DataError(_no_features(schema))
        return cls(tuple(writers), tuple(coders), tuple(notes))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the number columns, in the order of `EncodedRows.numbers`."""
        return tuple(name for writer in self.writers for name in writer.names)

    @cached_property
    def topics(self) -> tuple[int, ...]:
        """Places of the numbers that are topics of texts."""
        topical = [
            isinstance(writer, TextColumn) and index >= len(writer.length.names)
            for writer in self.writers
            for index in range(len(writer.names))
        ]
        return tuple(np.flatnonzero(topical).tolist())

    @property
    def numbers(self) -> int:
        """Width d of `EncodedRows.numbers`."""
        return len(self.names)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """How many codes each column of `EncodedRows.codes` has."""
        return tuple(coder.cardinality for coder in self.coders)

    def encode(self, frame: pl.DataFrame) -> EncodedRows:
        """Encode rows typed as the training rows were; a row's result depends on no other row."""
        numbers = np.empty((len(frame), self.numbers), dtype=np.float32)
        codes = np.empty((len(frame), len(self.coders)), dtype=np.int64)
        unseen: dict[str, int] = {}
        missing: dict[str, int] = {}
        self._write_numbers(frame, numbers, missing)
        for index, coder in enumerate(self.coders):
            codes[:, index], unseen[coder.name], missing[coder.name] = coder.codes(
                frame.get_column(coder.name)
            )
        new = self._new_gaps(missing)
        unseen = {name: count for name, count in unseen.items() if count}
        return EncodedRows(numbers, codes, unseen, new, self.topics)

    def plain(self, frame: pl.DataFrame) -> np.ndarray:
        """Numbers and one-hot codes (n, width) for a linear model, without columns of many codes."""
        few = Encoder(self.writers, tuple(c for c in self.coders if c.cardinality <= MOST_ONE_HOT))
        inputs = few.encode(frame)
        codes = zip(few.cardinalities, inputs.codes.T, strict=True)
        hot = [np.eye(size, dtype=np.float32)[column] for size, column in codes]
        return np.concatenate([inputs.numbers, *hot], axis=1)

    def _write_numbers(self, frame: pl.DataFrame, out: np.ndarray, missing: dict[str, int]) -> None:
        columns = [frame.get_column(writer.name) for writer in self.writers]
        missing.update((writer.name, 0) for writer in self.writers)

        def write(start: int) -> list[int]:
            index, gaps = 0, []
            rows = out[start : start + BLOCK]
            for writer, series in zip(self.writers, columns, strict=True):
                width = len(writer.names)
                gaps.append(writer.write(series.slice(start, BLOCK), rows[:, index : index + width]))
                index += width
            return gaps

        for gaps in run_parallel(write, range(0, len(frame), BLOCK), len(frame)):
            for writer, count in zip(self.writers, gaps, strict=True):
                missing[writer.name] += count

    def _new_gaps(self, missing: Mapping[str, int]) -> dict[str, int]:
        had = {c.name for c in (*self.writers, *self.coders) if _has_gaps(c)}
        return {name: count for name, count in missing.items() if count and name not in had}

    def to_json(self) -> dict[str, object]:
        """Return a plain dictionary for `Encoder.from_json`."""
        return {
            "columns": [{"kind": c.kind, **asdict(c)} for c in (*self.writers, *self.coders)],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Encoder:
        """The encoder that `to_json` wrote."""
        writers: list[NumberWriter] = []
        coders: list[CodeWriter] = []
        for fields in data["columns"]:
            column = _FROM_JSON[fields["kind"]]({k: v for k, v in fields.items() if k != "kind"})
            if isinstance(column, CodeWriter):
                coders.append(column)
            else:
                writers.append(column)
        return cls(tuple(writers), tuple(coders), tuple(data["notes"]))


def _fit(series: pl.Series, column: Column, scaling: Scaling) -> NumberWriter | CodeWriter | None:
    if column.kind in ("number", "boolean"):
        return NumberColumn.fit(series, scaling)
    if column.kind == "date":
        return DateColumn.fit(series, scaling)
    if column.kind == "text":
        return TextColumn.fit(series, scaling)
    return CategoryColumn.fit(series)


def _coded(
    frame: pl.DataFrame, schema: Schema, labels: np.ndarray, *, classes: bool
) -> tuple[list[CodedColumn], list[str]]:
    """Numbers that are codes, and a note on each."""
    numbers = [column.name for column in schema.features if column.kind == "number"]
    columns = run_parallel(
        lambda name: CodedColumn.fit(frame.get_column(name), labels, classes=classes), numbers, len(frame)
    )
    coded = [column for column in columns if column is not None]
    notes = [
        f"column {column.name}: the target jumps between its values, so the "
        f"{len(column.values)} common ones enter by codes, too"
        for column in coded
    ]
    return coded, notes


def _notes(series: pl.Series, fitted: NumberWriter | CodeWriter | None) -> list[str]:
    name = series.name
    if fitted is None:
        return [f"column {name}: no training row has a value, so it contributes nothing"]
    if isinstance(fitted, HashedColumn):
        return [f"column {name}: too many levels to remember, hashed into {fitted.buckets} buckets"]
    if isinstance(fitted, CategoryColumn) and fitted.rare:
        return [f"column {name}: {len(fitted.rare)} levels with a single row share one code"]
    if series.dtype.is_float():
        infinite = len(series) - series.null_count() - len(present(series))
        if infinite:
            return [f"column {name}: {infinite} values that are not finite are treated as missing"]
    return []


def _has_gaps(column: NumberWriter | CodeWriter) -> bool:
    if isinstance(column, DateColumn):
        return column.days.gaps
    return column.length.gaps if isinstance(column, TextColumn) else column.gaps


def _no_features(schema: Schema) -> str:
    columns = ", ".join(
        f"{c.name} (all missing)" if c.role == "feature" else f"{c.name} ({c.role})" for c in schema
    )
    return (
        f"no column is left to learn from: a feature with values was expected, the columns are {columns}. "
        "Keep one with --keep COLUMN, or check how the file is read (--separator, --missing)"
    )


def _number_column(data: dict[str, Any]) -> NumberColumn:
    return NumberColumn(**{**data, "scale": Scale(**data["scale"])})


def _category_column(data: dict[str, Any]) -> CategoryColumn:
    return CategoryColumn(**{**data, "levels": tuple(data["levels"]), "rare": tuple(data["rare"])})


_FROM_JSON: Mapping[str, Callable[[dict[str, Any]], NumberWriter | CodeWriter]] = {
    "number": _number_column,
    "date": lambda data: DateColumn(**{**data, "days": _number_column(data["days"])}),
    "text": lambda data: TextColumn.from_json(data, _number_column(data["length"])),
    "category": _category_column,
    "hashed": lambda data: HashedColumn(**data),
    "coded": lambda data: CodedColumn(**{**data, "values": tuple(data["values"])}),
}
