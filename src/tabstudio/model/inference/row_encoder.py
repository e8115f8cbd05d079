"""Raw rows to what the members take, without a frame where the encoder can do without.

Numbers of all columns are scaled at once, levels of categories looked up in dictionaries. Dates, texts and
the pieces of categories go through the encoder's own columns. Equal to `Encoder.encode` to the last bit
(tested).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any
from zlib import crc32

import numpy as np
import polars as pl

from tabstudio.model.code_columns import CodedColumn
from tabstudio.model.column_encoders import HashedColumn, NumberColumn
from tabstudio.model.encoder import CodeWriter, Encoder
from tabstudio.model.inference.arrays import Array
from tabstudio.model.inference.encoding import MISSING, NumberScaler
from tabstudio.model.preprocessing import Preprocessing
from tabstudio.model.text_topics import TextColumn
from tabstudio.table import conform
from tabstudio.table.schema import Schema

Row = tuple[Any, ...]
"""The raw values of a row, in the order of the features."""
Warnings = dict[int, list[dict[str, str]]]
"""By row, only rows that have some: `column`, `code` (imputed, out_of_range, unseen_category), `message`."""


class RowEncoder:
    """Encodes raw rows whose values have the schema's types, and collects warnings about them."""

    def __init__(self, schema: Schema, encoder: Encoder, profile: Mapping[str, Any]) -> None:
        order = {column.name: index for index, column in enumerate(schema.features)}
        self.width = encoder.numbers
        start, plain, self.framed, self.pieces = 0, [], [], []
        for writer in encoder.writers:
            width = len(writer.names)
            if isinstance(writer, NumberColumn):
                plain.append((start, writer))
            elif isinstance(writer, TextColumn) and writer.pieces:
                words = _missing_words(schema, writer.name)
                self.pieces.append((start, width, writer, order[writer.name], words))
            else:
                self.framed.append((start, width, writer))
            start += width
        self.numbers = _Numbers(plain, order, profile.get("columns", {}))
        self.codes = [
            (order[coder.name], _coder(coder, _missing_words(schema, coder.name))) for coder in encoder.coders
        ]

    @np.errstate(over="ignore", invalid="ignore")
    def encode(self, rows: Sequence[Row], parsed: Mapping[str, pl.Series]) -> tuple[Array, Array, Warnings]:
        """Numbers float32 (n, d), codes int64 (n, c) and the warnings by row."""
        warnings: Warnings = {}
        numbers = np.empty((len(rows), self.width), dtype=np.float32)
        self.numbers.write(rows, numbers, warnings)
        for start, width, writer in self.framed:
            series = parsed[writer.name]
            writer.write(series, numbers[:, start : start + width])
            for row in series.is_null().arg_true() if series.null_count() else ():
                _warn(warnings, row, _imputed(writer.name))
        for start, width, text, column, words in self.pieces:
            levels = pl.Series([as_word(row[column], words) for row in rows], dtype=pl.String)
            text.write(levels, numbers[:, start : start + width])
        codes = np.empty((len(rows), len(self.codes)), dtype=np.int64)
        for index, (column, code) in enumerate(self.codes):
            codes[:, index] = [code(row[column], i, warnings) for i, row in enumerate(rows)]
        return numbers, codes, warnings


class FrameEncoder:
    """Stands where `RowEncoder` stands. The steps know no row that is odd, they take it or refuse it."""

    def __init__(self, schema: Schema, preprocessing: Preprocessing) -> None:
        self.schema, self.preprocessing = schema, preprocessing
        self.names = tuple(column.name for column in schema.features)

    def encode(self, rows: Sequence[Row], parsed: Mapping[str, pl.Series]) -> tuple[Array, Array, Warnings]:
        """Numbers float32 (n, d), codes int64 (n, 0), and no warnings.

        Raises `InputError` where a step refuses a value, or a gap is left that nothing fills.
        """
        columns = dict(zip(self.names, map(list, zip(*rows, strict=True)), strict=True))
        frame = conform({**columns, **parsed}, self.schema)
        numbers = np.asarray(self.preprocessing.encode(frame).numbers)
        return numbers, np.empty((len(rows), 0), dtype=np.int64), {}


class _Numbers:
    """All number and boolean columns at once."""

    def __init__(
        self, columns: list[tuple[int, NumberColumn]], order: Mapping[str, int], profile: Mapping[str, Any]
    ) -> None:
        self.columns = [order[column.name] for _, column in columns]
        self.whole = self.columns == list(range(len(order)))
        self.pick = _picker(self.columns)
        self.out = np.array([index for index, _ in columns], dtype=np.intp)
        self.gaps = np.array([i for i, (_, column) in enumerate(columns) if column.gaps], dtype=np.intp)
        self.scaler = NumberScaler.of([column for _, column in columns], np.asarray)
        ranges = [_range(profile.get(column.name, {})) for _, column in columns]
        self.low = np.array([low for low, _ in ranges])
        self.high = np.array([high for _, high in ranges])
        names = [column.name for _, column in columns]
        self.missing_warnings = [_imputed(name) for name in names]
        self.range_warnings = [
            _warning(name, "out_of_range", f"training had {low:.6g} to {high:.6g}")
            for name, (low, high) in zip(names, ranges, strict=True)
        ]
        self.plain = bool((self.out == np.arange(len(self.out))).all())

    def write(self, rows: Sequence[Row], out: Array, warnings: Warnings) -> None:
        if not self.columns:
            return
        cells = chain.from_iterable(rows if self.whole else map(self.pick, rows))
        values = np.fromiter(cells, np.float64, len(rows) * len(self.columns))  # None becomes NaN
        values = values.reshape(len(rows), -1)
        beyond = (values < self.low) | (values > self.high)
        if np.count_nonzero(beyond):
            _warn_where(beyond, self.range_warnings, warnings)
        scaled, missing = self.scaler.scale(values)
        if missing is not None:
            _warn_where(missing, self.missing_warnings, warnings)
        if self.plain and scaled.shape[1] == out.shape[1]:
            out[:] = scaled
        else:
            out[:, self.out] = scaled
        if len(self.gaps):
            out[:, self.out[self.gaps] + 1] = False if missing is None else missing[:, self.gaps]


def _warn_where(cells: Array, by_column: list[dict[str, str]], warnings: Warnings) -> None:
    for row, column in np.argwhere(cells).tolist():
        _warn(warnings, row, by_column[column])


def _picker(places: Sequence[int]) -> Callable[[Row], Row]:
    if len(places) == 1:
        return lambda row: (row[places[0]],)
    return itemgetter(*places) if places else lambda _: ()


Coder = Callable[[object, int, Warnings], int]


def _coder(column: CodeWriter, missing_words: frozenset[str]) -> Coder:
    """Return what gives one value its code, as the column's `codes` does."""
    if isinstance(column, HashedColumn):
        return _hashed(column, missing_words)
    if isinstance(column, CodedColumn):
        return _coded(column)
    known, missing, unseen = column.table
    code_of: dict[object, int] = dict(known)
    unseen_warning = _warning(column.name, "unseen_category", "training had no such category")
    imputed, gaps = _imputed(column.name), column.gaps

    def code(value: object, row: int, warnings: Warnings) -> int:
        known_code = code_of.get(value)
        if known_code is not None:
            return known_code
        word = as_word(value, missing_words)
        known_code = code_of.get(word)
        if known_code is not None:
            return known_code
        if word is not None:
            _warn(warnings, row, unseen_warning)
            return unseen
        if not gaps:
            _warn(warnings, row, imputed)
        return missing

    return code


def _hashed(column: HashedColumn, missing_words: frozenset[str]) -> Coder:
    imputed = _imputed(column.name)

    def code(value: object, row: int, warnings: Warnings) -> int:
        word = as_word(value, missing_words)
        if word is None:
            if column.gaps:
                return MISSING
            _warn(warnings, row, imputed)
        return column.code(crc32((word or "").encode()))

    return code


def _coded(column: CodedColumn) -> Coder:
    """Numbers have their warnings already."""
    known, missing, unseen = column.table
    code_of: dict[object, int] = {**known, None: missing}

    def code(value: object, row: int, warnings: Warnings) -> int:
        del row, warnings
        return code_of.get(value, unseen)

    return code


def as_word(value: object, missing_words: frozenset[str]) -> str | None:
    """A category as the table has it: without blanks around, None for a missing word, 3.0 as 3."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = str(value).strip()
    return None if word in missing_words else word


def _missing_words(schema: Schema, name: str) -> frozenset[str]:
    return frozenset(("", *schema.missing_words, *schema[name].missing_words))


def _range(profile: Mapping[str, Any]) -> tuple[float, float]:
    """The least and the greatest value of the training rows, where the profile has them."""
    quantiles = profile.get("quantiles")
    if not quantiles or profile.get("kind") == "boolean":
        return -math.inf, math.inf
    low, high = quantiles[0], quantiles[-1]
    return (-math.inf if low is None else low), (math.inf if high is None else high)


def _imputed(name: str) -> dict[str, str]:
    return _warning(name, "imputed", "the value was missing and filled as in training")


def _warning(name: str, code: str, message: str) -> dict[str, str]:
    return {"column": name, "code": code, "message": message}


def _warn(warnings: Warnings, row: int, warning: dict[str, str]) -> None:
    warnings.setdefault(row, []).append(warning)
