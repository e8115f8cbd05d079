"""MLflow's scoring protocol, with the answers that `mlflow models serve` gives for the same bundle.

Numbers may be given as text and as true or false, and integer columns lose their fractions, since MLflow
casts them so by the signature. Beyond MLflow, missing values and words that stand for them are read as in
training, and text dates by the format of the training rows, where MLflow guesses.
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
from tabstudio.serving.contract import (
    Contract,
    ContractField,
    display_value,
    fault,
    faults_error,
    too_many_rows,
)
from tabstudio.serving.http_messages import Response
from tabstudio.serving.protocols import (
    ParsedRequest,
    RequestContext,
    answer_columns,
    encode,
    require_json,
)
from tabstudio.serving.request_hooks import Fault, HttpError
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

    def read(self, runtime: Runtime, body: bytes, context: RequestContext, max_rows: int) -> ParsedRequest:
        """Read JSON in one of MLflow's four formats, or CSV."""
        contract = runtime.contract
        if context.content_type.partition(";")[0].strip().lower() == CSV:
            raw = _LenientContract(runtime).rows(_of_csv(body))
        else:
            require_json(context.content_type)
            rows = _decode_split_fast(runtime, body)
            if rows is None:
                columns = _columns(strict_json.parse(body), contract, max_rows)
                rows = _LenientContract(runtime).rows(columns)
            raw = rows
        return ParsedRequest(contract.check(raw, max_rows), lambda answer: _written(runtime, answer))


def _written(runtime: Runtime, answer: ModelAnswer) -> Response:
    """Return `{"predictions": [{"prediction": label, "probability_<class>": p, ...}, ...]}`."""
    columns = answer_columns(runtime, answer)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Response(200, encode({"predictions": rows}))


def _decode_split_fast(runtime: Runtime, body: bytes) -> list[Row] | None:
    """Rows of a valid `dataframe_split` whose columns are the features; None for any other body."""
    contract = runtime.contract
    try:
        split = _decode_split(body).dataframe_split
        if tuple(split.columns) != contract.names or b"\\" in body:
            return None
        raw = contract.decode_tuples(split.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    if any(row[column] is None or row[column] % 1 for column in _integer_columns(runtime) for row in raw):
        return None
    expected = 3 + bool(split.index) + contract.colons_in_names + contract.colons_in(raw)
    return raw if strict_json.colons(body) == expected else None


def _columns(document: object, contract: Contract, max_rows: int) -> dict[str, list[object]]:
    """The columns of a document in any of the four formats, by name."""
    if not isinstance(document, dict):
        raise _format_error(f"got {display_value(document)}")
    formats = [name for name in FORMATS if name in document]
    extra = [name for name in document if name not in (*FORMATS, "params")]
    if len(formats) != 1 or extra:
        raise _format_error(f"got {', '.join(map(repr, document)) or 'no field'}"[:300])
    if document.get("params"):
        raise HttpError(400, "BAD_REQUEST", "the model has no parameters: leave params out")
    (form,) = formats
    data = document[form]
    if form == "dataframe_split":
        return _of_split(data, max_rows)
    if isinstance(data, dict) and form != "dataframe_records":
        return _of_lists(data)
    if not isinstance(data, list) or not data:
        raise _format_error(f"{form} is {display_value(data)}")
    if len(data) > max_rows:
        raise too_many_rows(len(data), max_rows)
    if all(isinstance(row, dict) for row in data):
        names = dict.fromkeys(name for row in data for name in row)
        return {name: [row.get(name) for row in data] for name in names}
    if form != "dataframe_records" and all(isinstance(row, list) for row in data):
        return _by_position(data, contract.names)
    raise _format_error(f"{form} mixes rows of several forms")


def _of_split(data: object, max_rows: int) -> dict[str, list[object]]:
    if not isinstance(data, dict) or not {"columns", "data"} <= set(data) <= {"columns", "data", "index"}:
        raise _format_error("dataframe_split needs columns and data, and may have index")
    rows, names = data["data"], data["columns"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _format_error("columns must be a list of names")
    if len(set(names)) < len(names):
        raise _format_error("a column stands there twice")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise _format_error("data must be a list of rows, each a list of values")
    if len(rows) > max_rows:
        raise too_many_rows(len(rows), max_rows)
    return _by_position(rows, names)


def _by_position(rows: list[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    wrong = [
        fault(i, None, f"{len(names)} values were expected, got {len(r)}")
        for i, r in enumerate(rows)
        if len(r) != len(names)
    ]
    if wrong:
        raise faults_error(wrong)
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _of_lists(data: Mapping[str, object]) -> dict[str, list[object]]:
    columns = {name: values if isinstance(values, list) else [values] for name, values in data.items()}
    flat = {
        name: [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]
        for name, values in columns.items()
    }
    if len({len(values) for values in flat.values()}) > 1:
        raise _format_error("the columns have different lengths")
    return flat


def _of_csv(body: bytes) -> dict[str, list[object]]:
    try:
        body.decode()
        frame = pl.read_csv(BytesIO(body), infer_schema=False, raise_if_empty=False)
    except UnicodeDecodeError as error:
        raise HttpError(400, "BAD_REQUEST", f"the CSV is not UTF-8: {error.reason}") from None
    except pl.exceptions.PolarsError as error:
        text = " ".join(str(error).split())[:200]
        raise HttpError(400, "BAD_REQUEST", f"the body is no CSV with a header: {text}") from None
    return {name.strip(): series.to_list() for name, series in frame.to_dict().items()}


class _LenientContract:
    """Values as MLflow's clients send them, cast as its signature casts them."""

    def __init__(self, runtime: Runtime) -> None:
        self.contract = runtime.contract
        self.integers = {runtime.contract.names[column] for column in _integer_columns(runtime)}

    def rows(self, columns: Mapping[str, list[object]]) -> list[Row]:
        """Rows in the order of the features. Raises `HttpError` with all faults."""
        missing = [name for name in self.contract.names if name not in columns]
        if missing:
            raise faults_error([fault(0, name, "the column is missing") for name in missing])
        faults: list[Fault] = []
        parts = [self._column(columns[field.name], field, faults) for field in self.contract.fields]
        if faults:
            raise faults_error(faults)
        return list(zip(*parts, strict=True))

    def _column(self, values: list[object], field: ContractField, faults: list[Fault]) -> list[object]:
        kind = field.column.kind
        if kind in ("number", "boolean") and any(isinstance(value, str) for value in values):
            words = [str(value).lower() if isinstance(value, bool) else _text(value) for value in values]
            series, text_faults = self.contract.parse(words, field)
            faults += text_faults
            values = series.to_list()
        elif kind == "date":
            values = self._in_own_format(values, field)
        elif kind == "category" and not field.counted:
            values = [_text(value) if _is_number(value) else value for value in values]
        elif kind == "boolean":
            values = [bool(value) if _is_number(value) and value in (0, 1) else value for value in values]
        return [self._take(value, field, row, faults) for row, value in enumerate(values)]

    def _in_own_format(self, values: list[Any], field: ContractField) -> list[Any]:
        """ISO dates rewritten in the column's own format; all other values unchanged."""
        form = field.column.format
        _, faults = self.contract.parse(
            [value if isinstance(value, str) else None for value in values], field
        )
        if not form or not faults:
            return values
        iso = ContractField(replace(field.column, format=""), None)
        foreign = [one["row"] for one in faults]
        read, _ = self.contract.parse([values[row] for row in foreign], iso)
        written = dict(zip(foreign, read.dt.strftime(form).to_list(), strict=True))
        return [written.get(row) or value for row, value in enumerate(values)]

    def _take(self, value: Any, field: ContractField, row: int, faults: list[Fault]) -> Any:
        if field.column.kind == "number" and isinstance(value, bool):
            value = float(value)
        value, message = field.take(value)
        if message:
            faults.append(fault(row, field.name, message))
        if value is not None and field.name in self.integers:
            return float(math.trunc(value))
        return value


def _integer_columns(runtime: Runtime) -> list[int]:
    """Positions of the features that MLflow's signature calls `long`."""
    return [
        position
        for position, field in enumerate(runtime.contract.fields)
        if field.column.kind == "number" and runtime.signature[field.name] == "long"
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> object:
    if _is_number(value):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return value if isinstance(value, str) or value is None else display_value(value)


def _format_error(reason: str) -> HttpError:
    return HttpError(400, "BAD_REQUEST", f"one of the fields {', '.join(FORMATS)} was expected: {reason}")
