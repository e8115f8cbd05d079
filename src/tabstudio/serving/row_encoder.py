"""Raw rows to the tensors of the network, by plain lookups: what `Encoder.encode` gives, without a frame.

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
import numpy.typing as npt
import polars as pl

from tabstudio.model.code_columns import FIRST, MISSING, UNSEEN, CodedColumn
from tabstudio.model.column_encoders import FARTHEST, HashedColumn, NumberColumn
from tabstudio.model.encoder import CodeWriter, Encoder
from tabstudio.model.text_topics import TextColumn
from tabstudio.serving.contract import Row
from tabstudio.table.schema import Schema

Array = npt.NDArray[Any]
Warnings = dict[int, list[dict[str, str]]]
"""By row, only rows that have some: `column`, `code` (imputed, out_of_range, unseen_category), `message`."""


class RowEncoder:
    """Encodes raw rows whose values have the types that the schema wants, and says what is odd about them."""

    def __init__(self, schema: Schema, encoder: Encoder, profile: Mapping[str, Any]) -> None:
        order = {column.name: place for place, column in enumerate(schema.features)}
        self.width = encoder.numbers
        place, plain, self.framed, self.pieces = 0, [], [], []
        for writer in encoder.writers:
            width = len(writer.names)
            if isinstance(writer, NumberColumn):
                plain.append((place, writer))
            elif isinstance(writer, TextColumn) and writer.pieces:
                words = _words(schema, writer.name)
                self.pieces.append((place, width, writer, order[writer.name], words))
            else:
                self.framed.append((place, width, writer))
            place += width
        self.numbers = _Numbers(plain, order, profile.get("columns", {}))
        self.codes = [
            (order[coder.name], _coder(coder, _words(schema, coder.name))) for coder in encoder.coders
        ]

    @np.errstate(over="ignore", invalid="ignore")
    def encode(self, rows: Sequence[Row], parsed: Mapping[str, pl.Series]) -> tuple[Array, Array, Warnings]:
        """Numbers float32 (n, d), codes int64 (n, c) and the warnings by row."""
        warnings: Warnings = {}
        numbers = np.empty((len(rows), self.width), dtype=np.float32)
        self.numbers.write(rows, numbers, warnings)
        for place, width, writer in self.framed:
            series = parsed[writer.name]
            writer.write(series, numbers[:, place : place + width])
            for row in series.is_null().arg_true() if series.null_count() else ():
                _warn(warnings, row, _imputed(writer.name))
        for place, width, text, column, words in self.pieces:
            levels = pl.Series([as_word(row[column], words) for row in rows], dtype=pl.String)
            text.write(levels, numbers[:, place : place + width])
        codes = np.empty((len(rows), len(self.codes)), dtype=np.int64)
        for place, (column, code) in enumerate(self.codes):
            codes[:, place] = [code(row[column], i, warnings) for i, row in enumerate(rows)]
        return numbers, codes, warnings


class _Numbers:
    """All number and boolean columns at once; see `Scale` for the arithmetic."""

    def __init__(
        self, columns: list[tuple[int, NumberColumn]], order: Mapping[str, int], profile: Mapping[str, Any]
    ) -> None:
        self.columns = [order[column.name] for _, column in columns]
        self.whole = self.columns == list(range(len(order)))
        self.pick = _picker(self.columns)
        self.out = np.array([place for place, _ in columns], dtype=np.intp)
        self.gaps = np.array([i for i, (_, column) in enumerate(columns) if column.gaps], dtype=np.intp)
        scales = [column.scale for _, column in columns]
        self.centre = np.array([scale.centre for scale in scales])
        self.factor = np.array([scale.factor for scale in scales])
        self.shift = np.array([scale.shift for scale in scales])
        self.fill = np.array([column.fill for _, column in columns])
        self.clip = np.array([scale.clip for scale in scales], dtype=bool)
        self.clips, self.clips_all = bool(self.clip.any()), bool(self.clip.all())
        self.log = np.flatnonzero([scale.log for scale in scales])
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
            self._tell(beyond, self.range_warnings, warnings)
        scaled, missing = self._scaled(values)
        if missing is not None:
            self._tell(missing, self.missing_warnings, warnings)
        if self.plain and scaled.shape[1] == out.shape[1]:
            out[:] = scaled
        else:
            out[:, self.out] = scaled
        if len(self.gaps):
            out[:, self.out[self.gaps] + 1] = False if missing is None else missing[:, self.gaps]

    def _scaled(self, values: Array) -> tuple[Array, Array | None]:
        """Scaled numbers without gaps, and where there were some; None is nowhere."""
        scaled, missing = self._linear(values), None
        flat = scaled.ravel()
        if not np.dot(flat, flat) <= FARTHEST**2:  # something is missing or far away
            missing = np.isnan(values)
            scaled = np.clip(self._linear(np.where(missing, self.fill, values)), -FARTHEST, FARTHEST)
        if self.clips:
            root = np.square(scaled)
            root *= np.float32(1 / 9)
            root += np.float32(1)
            squashed = np.divide(scaled, np.sqrt(root, out=root), out=root)
            scaled = squashed if self.clips_all else np.where(self.clip, squashed, scaled)
        if len(self.log):
            scaled[:, self.log] = np.arcsinh(scaled[:, self.log])
        return scaled, missing

    def _linear(self, values: Array) -> Array:
        values = values - self.centre
        values *= self.factor
        values += self.shift
        return values.astype(np.float32)

    def _tell(self, where: Array, told: list[dict[str, str]], warnings: Warnings) -> None:
        for row, column in np.argwhere(where).tolist():
            _warn(warnings, row, told[column])


def _picker(places: Sequence[int]) -> Callable[[Row], Row]:
    if len(places) == 1:
        return lambda row: (row[places[0]],)
    return itemgetter(*places) if places else lambda _: ()


Coder = Callable[[Any, int, Warnings], int]


def _coder(column: CodeWriter, missing_words: frozenset[str]) -> Coder:
    """One value to its code, as the column's `codes` has it."""
    if isinstance(column, CodedColumn):
        return _coded(column)
    if isinstance(column, HashedColumn):
        return _hashed(column, missing_words)
    table: dict[Any, int] = {level: FIRST + i for i, level in enumerate(column.levels)}
    table |= dict.fromkeys(column.rare, UNSEEN)
    unseen = _warning(column.name, "unseen_category", "training had no such category")
    imputed = _imputed(column.name)

    def code(value: Any, row: int, warnings: Warnings) -> int:
        found = table.get(value)
        if found is not None:
            return found
        word = as_word(value, missing_words)
        found = table.get(word)
        if found is not None:
            return found
        if word is None and column.gaps:
            return MISSING
        _warn(warnings, row, imputed if word is None else unseen)
        return column.default

    return code


def _hashed(column: HashedColumn, missing_words: frozenset[str]) -> Coder:
    imputed = _imputed(column.name)

    def code(value: Any, row: int, warnings: Warnings) -> int:
        word = as_word(value, missing_words)
        if word is None:
            if column.gaps:
                return MISSING
            _warn(warnings, row, imputed)
        return crc32((word or "").encode()) % column.buckets + FIRST

    return code


def _coded(column: CodedColumn) -> Coder:
    """Numbers have their warnings already."""
    table: dict[Any, int] = {value: FIRST + i for i, value in enumerate(column.values)}
    table[None] = MISSING if column.gaps else column.default

    def code(value: Any, row: int, warnings: Warnings) -> int:
        del row, warnings
        return table.get(value, column.default)

    return code


def as_word(value: Any, missing_words: frozenset[str]) -> str | None:
    """A category as the table has it: without blanks around, None for a missing word, 3.0 as 3."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = str(value).strip()
    return None if word in missing_words else word


def _words(schema: Schema, name: str) -> frozenset[str]:
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
