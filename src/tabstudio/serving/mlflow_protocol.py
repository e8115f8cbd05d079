"""MLflow's scoring protocol, with the answers that `mlflow models serve` gives for the same bundle.

Numbers may be given as text and as true or false, and whole columns lose their fractions, since MLflow casts
them so by the signature. We read further than MLflow: missing values and words that stand for them are taken
as in training, and text dates by the format that training saw, where MLflow guesses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import msgspec
import polars as pl

from tabstudio.model.inference.row_encoder import Row
from tabstudio.serving import strict_json
from tabstudio.serving.contract import Contract, ContractField, Fault, display_value, fault, faults_error
from tabstudio.serving.protocols import (
    ParsedRequest,
    Reply,
    RequestContext,
    answer_columns,
    encode,
    require_json,
)
from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.runtime import ModelAnswer, Runtime

CSV = "text/csv"
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class _Split(msgspec.Struct):
    columns: list[str]
    data: msgspec.Raw
    index: msgspec.Raw = msgspec.Raw(b"")


class _SplitRequest(msgspec.Struct):
    dataframe_split: _Split


_decode_split = msgspec.json.Decoder(_SplitRequest, strict=True).decode


class MlflowProtocol:
    """`POST /invocations`."""

    name = "invocations"

    def read(self, runtime: Runtime, body: bytes, asked: RequestContext, most: int) -> ParsedRequest:
        """Read JSON in one of MLflow's four forms, or CSV."""
        contract = runtime.contract
        if asked.content_type.partition(";")[0].strip().lower() == CSV:
            raw = _Lenient(runtime).rows(_of_csv(body))
        else:
            require_json(asked.content_type)
            quick = _quick(runtime, body)
            document = _columns(strict_json.parse(body), contract, most) if quick is None else {}
            raw = _Lenient(runtime).rows(document) if quick is None else quick
        return ParsedRequest(contract.check(raw, most), lambda answer: _written(runtime, answer))


def _written(runtime: Runtime, answer: ModelAnswer) -> Reply:
    """Return `{"predictions": [{"prediction": label, "probability_<class>": p, ...}, ...]}`."""
    columns = answer_columns(runtime, answer)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Reply(encode({"predictions": rows}))


def _quick(runtime: Runtime, body: bytes) -> list[Row] | None:
    """Rows of a plain `dataframe_split` whose columns are the features; None where there is more to it."""
    contract = runtime.contract
    try:
        split = _decode_split(body).dataframe_split
        if tuple(split.columns) != contract.names or b"\\" in body:
            return None
        raw = contract.decode_tuples(split.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    if any(row[place] is None or row[place] % 1 for place in _whole(runtime) for row in raw):
        return None
    expected = 3 + bool(split.index) + contract.colons_in_names + contract.colons_in(raw)
    return raw if strict_json.colons(body) == expected else None


def _columns(document: Any, contract: Contract, most: int) -> dict[str, list[Any]]:
    """The columns of a document in any of the four forms, by name."""
    if not isinstance(document, dict):
        raise _wrong_form(f"got {display_value(document)}")
    forms = [name for name in FORMATS if name in document]
    more = [name for name in document if name not in (*FORMATS, "params")]
    if len(forms) != 1 or more:
        raise _wrong_form(f"got {', '.join(map(repr, document)) or 'no field'}"[:300])
    if document.get("params"):
        raise HttpError(400, "BAD_REQUEST", "the model has no parameters: leave params out")
    data = document[forms[0]]
    if forms[0] == "dataframe_split":
        return _of_split(data, most)
    if isinstance(data, dict) and forms[0] != "dataframe_records":
        return _of_lists(data)
    if not isinstance(data, list) or not data:
        raise _wrong_form(f"{forms[0]} is {display_value(data)}")
    if len(data) > most:
        raise HttpError(
            413, "TOO_MANY_ROWS", f"at most {most:,} rows are answered at a time, got {len(data):,}"
        )
    if all(isinstance(row, dict) for row in data):
        names = dict.fromkeys(name for row in data for name in row)
        return {name: [row.get(name) for row in data] for name in names}
    if forms[0] != "dataframe_records" and all(isinstance(row, list) for row in data):
        return _by_place(data, contract.names)
    raise _wrong_form(f"{forms[0]} mixes rows of several forms")


def _of_split(data: Any, most: int) -> dict[str, list[Any]]:
    if not isinstance(data, dict) or not {"columns", "data"} <= set(data) <= {"columns", "data", "index"}:
        raise _wrong_form("dataframe_split needs columns and data, and may have index")
    rows, names = data["data"], data["columns"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _wrong_form("columns must be a list of names")
    if len(set(names)) < len(names):
        raise _wrong_form("a column stands there twice")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise _wrong_form("data must be a list of rows, each a list of values")
    if len(rows) > most:
        raise HttpError(
            413, "TOO_MANY_ROWS", f"at most {most:,} rows are answered at a time, got {len(rows):,}"
        )
    return _by_place(rows, names)


def _by_place(rows: list[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    wrong = [
        fault(i, None, f"{len(names)} values were expected, got {len(r)}")
        for i, r in enumerate(rows)
        if len(r) != len(names)
    ]
    if wrong:
        raise faults_error(wrong)
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _of_lists(data: Mapping[str, Any]) -> dict[str, list[Any]]:
    columns = {name: values if isinstance(values, list) else [values] for name, values in data.items()}
    flat = {
        name: [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]
        for name, values in columns.items()
    }
    if len({len(values) for values in flat.values()}) > 1:
        raise _wrong_form("the columns have different lengths")
    return flat


def _of_csv(body: bytes) -> dict[str, list[Any]]:
    try:
        body.decode()
        frame = pl.read_csv(BytesIO(body), infer_schema=False, raise_if_empty=False)
    except UnicodeDecodeError as error:
        raise HttpError(400, "BAD_REQUEST", f"the CSV is not UTF-8: {error.reason}") from None
    except pl.exceptions.PolarsError as error:
        text = " ".join(str(error).split())[:200]
        raise HttpError(400, "BAD_REQUEST", f"the body is no CSV with a header: {text}") from None
    return {name.strip(): series.to_list() for name, series in frame.to_dict().items()}


class _Lenient:
    """Values as MLflow's clients send them, cast as its signature casts them."""

    def __init__(self, runtime: Runtime) -> None:
        self.contract = runtime.contract
        self.whole = {runtime.contract.names[place] for place in _whole(runtime)}

    def rows(self, columns: Mapping[str, list[Any]]) -> list[Row]:
        """Rows in the order of the features. Raises `HttpError` with all faults."""
        missing = [name for name in self.contract.names if name not in columns]
        if missing:
            raise faults_error([fault(0, name, "the column is missing") for name in missing])
        faults: list[Fault] = []
        parts = [self._column(columns[field.name], field, faults) for field in self.contract.fields]
        if faults:
            raise faults_error(faults)
        return list(zip(*parts, strict=True))

    def _column(self, values: list[Any], field: ContractField, faults: list[Fault]) -> list[Any]:
        kind = field.column.kind
        if kind in ("number", "boolean") and any(isinstance(value, str) for value in values):
            words = [str(value).lower() if isinstance(value, bool) else _text(value) for value in values]
            series, found = self.contract.parse(words, field)
            faults += found
            values = series.to_list()
        elif kind == "date":
            values = self._in_own_format(values, field)
        elif kind == "category" and not field.counted:
            values = [_text(value) if _is_number(value) else value for value in values]
        elif kind == "boolean":
            values = [bool(value) if _is_number(value) and value in (0, 1) else value for value in values]
        return [self._take(value, field, row, faults) for row, value in enumerate(values)]

    def _in_own_format(self, values: list[Any], field: ContractField) -> list[Any]:
        """Dates in ISO's form as the column writes them; all others as they are."""
        form = field.column.format
        _, faults = self.contract.parse(
            [value if isinstance(value, str) else None for value in values], field
        )
        if not form or not faults:
            return values
        iso = ContractField(replace(field.column, format=""), None)
        foreign = [faults_row["row"] for faults_row in faults]
        read, _ = self.contract.parse([values[row] for row in foreign], iso)
        written = dict(zip(foreign, read.dt.strftime(form).to_list(), strict=True))
        return [written.get(row) or value for row, value in enumerate(values)]

    def _take(self, value: Any, field: ContractField, row: int, faults: list[Fault]) -> Any:
        if field.column.kind == "number" and isinstance(value, bool):
            value = float(value)
        value, message = field.take(value)
        if message:
            faults.append(fault(row, field.name, message))
        if value is not None and field.name in self.whole:
            return float(math.trunc(value))
        return value


def _whole(runtime: Runtime) -> list[int]:
    """Places of the features that MLflow's signature calls `long`."""
    fields = enumerate(runtime.contract.fields)
    return [
        place
        for place, field in fields
        if field.column.kind == "number" and runtime.signature[field.name] == "long"
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> Any:
    if _is_number(value):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return value if isinstance(value, str) or value is None else display_value(value)


def _wrong_form(what: str) -> HttpError:
    return HttpError(400, "BAD_REQUEST", f"one of the fields {', '.join(FORMATS)} was expected: {what}")
