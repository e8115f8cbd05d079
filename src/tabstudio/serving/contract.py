"""The request format of a model, compiled from its schema.

A request is decoded in one go into structures made from the schema, which check values as they are parsed.
Only where that fails, or the body holds something that the structures pass over, it is parsed again strictly
to name every fault by row and column. Both ways accept the same requests and read the same values from them
(tested over generated requests).
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
from tabstudio.serving.request_hooks import Fault, HttpError
from tabstudio.table.schema import Column, Schema
from tabstudio.table.type_inference import Typing, convert, strip_missing

MAX_NAMED_FAULTS = 100
"""Faults that an answer lists; its message tells their number."""


class RequestRows(NamedTuple):
    """Checked rows: raw values in the order of the features, and the dates and texts as parsed columns."""

    raw: list[Row]
    parsed: dict[str, pl.Series]


class Contract:
    """Reads the body of a request as rows, or raises `HttpError`.

    `fields` are the features in the order of the schema; extra columns of a row are ignored.
    """

    def __init__(self, schema: Schema, encoder: Encoder | Preprocessing) -> None:
        coders = encoder.coders if isinstance(encoder, Encoder) else ()
        known = (coder for coder in coders if isinstance(coder, CategoryColumn))
        levels = {coder.name: (*coder.levels, *coder.rare) for coder in known}
        self.schema = schema
        self.fields = tuple(ContractField(column, levels.get(column.name)) for column in schema.features)
        self.names = tuple(field.name for field in self.fields)
        self.colons_in_names = sum(name.count(":") for name in self.names)
        self._parsed_fields = [
            (position, field) for position, field in enumerate(self.fields) if field.parsed
        ]
        self._worded = [position for position, field in enumerate(self.fields) if field.worded]
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

    def read(self, body: bytes, max_rows: int) -> RequestRows:
        """Read `{"rows": [{column: value, ...}, ...]}` of at most `max_rows` rows.

        Raises `HttpError`: 400 for what is no JSON, 413 for too many rows, 422 with all faults.
        """
        raw = self._decode_fast(body)
        if raw is None:
            raw = self._read_strictly(strict_json.parse(body), max_rows)
        return self.check(raw, max_rows)

    def check(self, raw: list[Row], max_rows: int) -> RequestRows:
        """Check the number of rows whose values have the right types, and parse their dates and texts."""
        _check_count(len(raw), max_rows)
        if not self._parsed_fields:
            return RequestRows(raw, {})
        parsed: dict[str, pl.Series] = {}
        faults: list[Fault] = []
        for position, field in self._parsed_fields:
            parsed[field.name], field_faults = self.parse([row[position] for row in raw], field)
            faults += field_faults
        if faults:
            raise faults_error(faults)
        return RequestRows(raw, parsed)

    def take(self, rows: Sequence[object], max_rows: int) -> RequestRows:
        """Check rows that are Python dictionaries by column.

        Raises `HttpError` 413 or 422 as `read` does.
        """
        _check_count(len(rows), max_rows)
        return self.check(self._tuples(rows), max_rows)

    def _decode_fast(self, body: bytes) -> list[Row] | None:
        """Rows of a valid request; None where the body needs the strict parser."""
        try:
            decoded = self._decode(body).rows
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            return None
        if b"\\" in body:
            return None
        raw = list(map(msgspec.structs.astuple, decoded))
        expected = 1 + len(raw) * (len(self.fields) + self.colons_in_names) + self.colons_in(raw)
        return raw if strict_json.colons(body) == expected else None

    def colons_in(self, raw: list[Row]) -> int:
        """Count the colons within the values."""
        words = (row[position] for row in raw for position in self._worded)
        return sum(word.count(":") for word in words if isinstance(word, str))

    def _read_strictly(self, document: object, max_rows: int) -> list[Row]:
        if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
            raise HttpError(422, "INVALID_REQUEST", 'expected {"rows": [{"column": value, ...}, ...]}')
        extra = [name for name in document if name != "rows"]
        if extra:
            raise HttpError(
                422, "INVALID_REQUEST", f"beside rows nothing was expected, got {extra[0][:100]!r}"
            )
        _check_count(len(document["rows"]), max_rows)
        return self._tuples(document["rows"])

    def _tuples(self, rows: Sequence[object]) -> list[Row]:
        faults: list[Fault] = []
        raw = [self._tuple(number, row, faults) for number, row in enumerate(rows)]
        if faults:
            raise faults_error(faults)
        return raw

    def _tuple(self, number: int, row: object, faults: list[Fault]) -> Row:
        if not isinstance(row, dict):
            faults.append(fault(number, None, f"an object of columns was expected, got {display_value(row)}"))
            return ()
        values = []
        for field in self.fields:
            if field.name not in row:
                faults.append(fault(number, field.name, f"the column is missing; {field.expected}"))
                continue
            value, message = field.take(row[field.name])
            values.append(value)
            if message:
                faults.append(fault(number, field.name, message))
        return tuple(values)

    def parse(self, values: list[object], field: ContractField) -> tuple[pl.Series, list[Fault]]:
        """Parse the texts of a column by its kind and format; return the faults of those that do not fit."""
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
    """One feature: the JSON types it accepts, and the message for a value of another type.

    `levels` are the categories that training knew, None where they are not kept. `parsed` columns
    go through polars (dates, texts), `worded` ones may be strings.
    """

    def __init__(self, column: Column, levels: Sequence[str] | None) -> None:
        self.column, self.name, self.levels = column, column.name, levels
        self.parsed = column.kind in ("date", "text")
        self.worded = self.parsed or column.kind == "category"
        self.counted = column.kind == "category" and (levels is None or any(map(_numeric, levels)))
        self.annotation, self.types, what = self._accepted()
        self.expected = f"{what} or null was expected"

    def take(self, value: object) -> tuple[object, str | None]:
        """The value as the fast decoder reads it, and what is wrong with it."""
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

    def _accepted(self) -> tuple[object, tuple[type, ...], str]:
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
    """Error of rows that do not fit: their faults in the order of the rows."""
    faults = sorted(faults, key=lambda fault: fault["row"])
    first = faults[0]
    where = f"row {first['row']}" + (f", column {first['column']!r}" if first["column"] else "")
    others = f" (and {len(faults) - 1:,} more faults)" if len(faults) > 1 else ""
    return HttpError(422, "INVALID_ROWS", f"{where}: {first['message']}{others}", faults[:MAX_NAMED_FAULTS])


def display_value(value: object) -> str:
    """A value as messages show it, at most 80 characters."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = repr(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."


def _check_count(count: int, max_rows: int) -> None:
    if not count:
        raise HttpError(422, "NO_ROWS", "at least one row was expected, got none")
    if count > max_rows:
        raise too_many_rows(count, max_rows)


def too_many_rows(count: int, max_rows: int) -> HttpError:
    """Error of a request with more rows than are answered at a time."""
    return HttpError(413, "TOO_MANY_ROWS", f"at most {max_rows:,} rows are answered at a time, got {count:,}")


def fault(row: int, column: str | None, message: str) -> Fault:
    """One fault as answers list it; rows count from 0, as in the request's array."""
    return {"row": row, "column": column, "message": message}


def _numeric(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
