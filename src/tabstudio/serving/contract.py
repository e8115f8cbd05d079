"""What a request must look like, compiled from a model's schema.

A request is read in one go into structures made from the schema, values checked as they are parsed. Only
where that fails, or where something stands in the body that it passes over, is it read again with care: then
every fault is found and named by row and column. Both ways accept the same requests and read the same values
from them (tested over generated requests).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import polars as pl

from tabstudio.model.column_encoders import CategoryColumn
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.row_encoder import Row
from tabstudio.model.preprocessing import Preprocessing
from tabstudio.serving import strict_json
from tabstudio.serving.request_hooks import HttpError
from tabstudio.table.schema import Column, Schema
from tabstudio.table.type_inference import Typing, convert, strip_missing

MAX_NAMED_FAULTS = 100
"""Faults that an answer names; the message says how many there are."""

Fault = dict[str, Any]


class RequestRows(NamedTuple):
    """Rows that fit: raw values in the order of the features, and the columns that a frame has parsed."""

    raw: list[Row]
    parsed: dict[str, pl.Series]


class Contract:
    """Takes the body of a request to rows, or refuses it.

    `fields` are the features in the order of the schema; extra columns of a row are passed over.
    """

    def __init__(self, schema: Schema, encoder: Encoder | Preprocessing) -> None:
        coders = encoder.coders if isinstance(encoder, Encoder) else ()
        known = (coder for coder in coders if isinstance(coder, CategoryColumn))
        levels = {coder.name: (*coder.levels, *coder.rare) for coder in known}
        self.schema = schema
        self.fields = tuple(ContractField(column, levels.get(column.name)) for column in schema.features)
        self.names = tuple(field.name for field in self.fields)
        self.colons_in_names = sum(name.count(":") for name in self.names)
        self._framed = [(place, field) for place, field in enumerate(self.fields) if field.framed]
        self._worded = [place for place, field in enumerate(self.fields) if field.worded]
        row = msgspec.defstruct(
            "Row",
            [(f"f{i}", f.annotation, msgspec.field(name=f.name)) for i, f in enumerate(self.fields)],
            gc=False,
        )
        request = msgspec.defstruct("Request", [("rows", list[row])], gc=False)  # type: ignore[valid-type]
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(request).decode
        values: Any = tuple[tuple(field.annotation for field in self.fields)]  # type: ignore[misc]
        rows: Any = list[values]
        self.decode_tuples: Callable[[bytes], list[Row]] = msgspec.json.Decoder(rows).decode

    def read(self, body: bytes, most: int) -> RequestRows:
        """Read `{"rows": [{column: value, ...}, ...]}` of at most `most` rows.

        Raises `HttpError`: 400 for what is no JSON, 413 for too many rows, 422 with all faults.
        """
        raw = self._quick(body)
        if raw is None:
            raw = self._careful(strict_json.parse(body), most)
        return self.check(raw, most)

    def check(self, raw: list[Row], most: int) -> RequestRows:
        """Count rows whose values have the right types, and parse dates and texts among them."""
        _bounded(len(raw), most)
        if not self._framed:
            return RequestRows(raw, {})
        parsed, faults = {}, []
        for place, field in self._framed:
            parsed[field.name], found = self.parse([row[place] for row in raw], field)
            faults += found
        if faults:
            raise faults_error(faults)
        return RequestRows(raw, parsed)

    def take(self, rows: Sequence[Any], most: int) -> RequestRows:
        """Check rows that are Python objects already: dictionaries by column.

        Raises `HttpError` 413 or 422 as `read` does.
        """
        _bounded(len(rows), most)
        return self.check(self._tuples(rows), most)

    def _quick(self, body: bytes) -> list[Row] | None:
        """Rows of a request that is whole and plain; None where a careful look is due."""
        try:
            found = self._decode(body).rows
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            return None
        if b"\\" in body:
            return None
        raw = list(map(msgspec.structs.astuple, found))
        expected = 1 + len(raw) * (len(self.fields) + self.colons_in_names) + self.colons_in(raw)
        return raw if strict_json.colons(body) == expected else None

    def colons_in(self, raw: list[Row]) -> int:
        """Count the colons within the values."""
        words = (row[place] for row in raw for place in self._worded)
        return sum(word.count(":") for word in words if isinstance(word, str))

    def _careful(self, document: Any, most: int) -> list[Row]:
        if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
            raise HttpError(422, "INVALID_REQUEST", 'expected {"rows": [{"column": value, ...}, ...]}')
        more = [name for name in document if name != "rows"]
        if more:
            raise HttpError(
                422, "INVALID_REQUEST", f"beside rows nothing was expected, got {more[0][:100]!r}"
            )
        _bounded(len(document["rows"]), most)
        return self._tuples(document["rows"])

    def _tuples(self, rows: Sequence[Any]) -> list[Row]:
        faults: list[Fault] = []
        raw = [self._tuple(place, row, faults) for place, row in enumerate(rows)]
        if faults:
            raise faults_error(faults)
        return raw

    def _tuple(self, place: int, row: Any, faults: list[Fault]) -> Row:
        if not isinstance(row, dict):
            faults.append(fault(place, None, f"an object of columns was expected, got {display_value(row)}"))
            return ()
        values = []
        for field in self.fields:
            if field.name not in row:
                faults.append(fault(place, field.name, f"the column is missing; {field.expected}"))
                continue
            value, message = field.take(row[field.name])
            values.append(value)
            if message:
                faults.append(fault(place, field.name, message))
        return tuple(values)

    def parse(self, values: list[Any], field: ContractField) -> tuple[pl.Series, list[Fault]]:
        """Read words of a column as its kind and format say, and the faults of those that do not fit."""
        text = pl.Series(field.name, values, dtype=pl.String)
        column = field.column
        text = strip_missing(text.to_frame(), self.schema.missing_words).to_series()
        typing = Typing(column.kind, column.dtype, "", column.format, column.missing_words)
        typed, bad = convert(text, typing)
        rows = bad.arg_true().to_list()
        return typed, [
            fault(row, field.name, f"{field.expected}, got {display_value(values[row])}") for row in rows
        ]


class ContractField:
    """One feature: the JSON types it may have, and what a value of another type is told.

    `levels` are the words that training knew of a category, None where they are not kept. `framed` columns
    are parsed by a frame (dates, texts), `worded` ones may be strings.
    """

    def __init__(self, column: Column, levels: Sequence[str] | None) -> None:
        self.column, self.name, self.levels = column, column.name, levels
        self.framed = column.kind in ("date", "text")
        self.worded = self.framed or column.kind == "category"
        self.counted = column.kind == "category" and (levels is None or any(map(_numeric, levels)))
        self.annotation, self.types, what = self._accepted()
        self.expected = f"{what} or null was expected"

    def take(self, value: Any) -> tuple[Any, str | None]:
        """The value as the quick way has it, and what is wrong with it."""
        if value is None or (isinstance(value, self.types) and type(value) is not bool):
            if self.column.kind != "number" or value is None:
                return value, None
            try:
                return float(value), None  # type: ignore[arg-type]  # one of self.types
            except OverflowError:
                return None, f"{self.expected}, got an integer beyond the range of float64"
        if self.column.kind == "boolean" and type(value) is bool:
            return value, None
        return None, f"{self.expected}, got {display_value(value)}"

    def _accepted(self) -> tuple[Any, tuple[type, ...], str]:
        if self.column.kind == "number":
            return float | None, (int, float), "a number"
        if self.column.kind == "boolean":
            return bool | None, (), "true, false"
        if self.counted:
            return str | int | float | None, (str, int, float), "a string, a number"
        if self.column.kind == "date":
            written = f" written {self.column.format}" if self.column.format else ""
            return str | None, (str,), f"a date{written}"
        return str | None, (str,), "a string"


def faults_error(faults: list[Fault]) -> HttpError:
    """Answer to rows that do not fit: all faults in the order of the rows."""
    faults = sorted(faults, key=lambda fault: fault["row"])
    first = faults[0]
    where = f"row {first['row']}" + (f", column {first['column']!r}" if first["column"] else "")
    more = f" (and {len(faults) - 1:,} more faults)" if len(faults) > 1 else ""
    return HttpError(422, "INVALID_ROWS", f"{where}: {first['message']}{more}", faults[:MAX_NAMED_FAULTS])


def display_value(value: Any) -> str:
    """A value as a message shows it, cut to a bearable length."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = repr(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."


def _bounded(count: int, most: int) -> None:
    if not count:
        raise HttpError(422, "NO_ROWS", "at least one row was expected, got none")
    if count > most:
        raise HttpError(413, "TOO_MANY_ROWS", f"at most {most:,} rows are answered at a time, got {count:,}")


def fault(row: int, column: str | None, message: str) -> Fault:
    """One fault as an answer shows it; rows count from 0, as the request's array does."""
    return {"row": row, "column": column, "message": message}


def _numeric(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
