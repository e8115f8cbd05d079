"""The Open Inference Protocol, version 2 (KServe, Triton, MLServer): tensors in, tensors out.

A feature is a tensor of its name with one value per row, shape [n] or [n, 1]; a single tensor of shape
[n, features] under any other name is read by position. Answers are tensors of the columns that
`Model.predict_frame` has. Binary tensors, the extension that Triton's clients use by default, are read and
written.

Source: Open Inference Protocol, https://github.com/kserve/open-inference-protocol, and Triton's
protocol/extension_binary_data.md.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np

from tabstudio.serving import strict_json
from tabstudio.serving.contract import Contract, ContractField, fault, faults_error, too_many_rows
from tabstudio.serving.http_messages import Response
from tabstudio.serving.protocols import (
    ParsedRequest,
    RequestContext,
    answer_columns,
    encode,
    require_json,
)
from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.runtime import ModelAnswer, Runtime

_DTYPES = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_LENGTH = b"inference-header-content-length"


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: object = None
    parameters: dict[str, object] = {}


class _RequestedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, object] = {}


class _Request(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    outputs: list[_RequestedOutput] | None = None
    parameters: dict[str, object] = {}


class V2Protocol:
    """`POST /v2/models/NAME/infer`."""

    name = "v2"

    def read(self, runtime: Runtime, body: bytes, context: RequestContext, max_rows: int) -> ParsedRequest:
        """Read tensors to rows."""
        document, blob = _split_body(body, context)
        try:
            request = msgspec.convert(strict_json.parse(document), _Request)
        except msgspec.ValidationError as error:
            raise HttpError(400, "BAD_REQUEST", f"this is no inference request: {error}") from None
        columns = _columns(request, blob, runtime.contract)
        count = len(next(iter(columns.values()), []))
        if count > max_rows:
            raise too_many_rows(count, max_rows)
        names = list(columns)
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        _check_outputs(request, runtime)
        checked = runtime.contract.take(rows, max_rows)
        return ParsedRequest(checked, lambda answer: self._response(runtime, request, answer, context))

    def _response(
        self, runtime: Runtime, request: _Request, answer: ModelAnswer, context: RequestContext
    ) -> Response:
        """Write the requested tensors, or all."""
        requested = {output.name: output for output in request.outputs or ()}
        all_binary = request.parameters.get("binary_data_output") is True
        blobs: list[bytes] = []
        tensors = []
        for name, values in answer_columns(runtime, answer).items():
            if requested and name not in requested:
                continue
            binary = (
                requested[name].parameters.get("binary_data", all_binary) if name in requested else all_binary
            )
            tensors.append(_encode_tensor(name, values, datatype(values), binary is True, blobs))
        content = {
            "model_name": runtime.name,
            "model_version": runtime.version,
            "id": request.id or context.request_id,
            "outputs": tensors,
        }
        document = encode(content)
        if not blobs:
            return Response(200, document)
        length = (_LENGTH, b"%d" % len(document))
        return Response(200, b"".join([document, *blobs]), b"application/octet-stream", (length,))


def input_type(field: ContractField) -> str:
    """The datatype of a feature's tensor."""
    return {"number": "FP64", "boolean": "BOOL"}.get(field.column.kind, "BYTES")


def datatype(values: list[object]) -> str:
    """The datatype of an answer's column."""
    kinds = {bool: "BOOL", int: "INT64", float: "FP64"}
    return kinds.get(type(values[0]), "BYTES") if values else "BYTES"


def _split_body(body: bytes, context: RequestContext) -> tuple[bytes, memoryview]:
    length = context.headers.get(_LENGTH)
    if length is None:
        if context.content_type:  # Triton's client leaves it out
            require_json(context.content_type)
        return body, memoryview(b"")
    if not length.isdigit() or int(length) > len(body):
        raise HttpError(400, "BAD_REQUEST", "Inference-Header-Content-Length is no length within the body")
    return body[: int(length)], memoryview(body)[int(length) :]


def _columns(request: _Request, blob: memoryview, contract: Contract) -> dict[str, list[object]]:
    if len(request.inputs) == 1 and request.inputs[0].name not in contract.names:
        return _by_position(request.inputs[0], blob, contract)
    columns: dict[str, list[object]] = {}
    for tensor in request.inputs:
        if tensor.name in columns:
            raise _tensor_error(tensor, "stands there twice")
        if not tensor.shape or any(width != 1 for width in tensor.shape[1:]):
            raise _tensor_error(tensor, f"must have the shape [rows] or [rows, 1], not {tensor.shape[:8]}")
        values, blob = _values(tensor, blob)
        columns[tensor.name] = values
    missing = [name for name in contract.names if name not in columns]
    if missing:
        raise faults_error([fault(0, name, "the tensor is missing") for name in missing])
    if len({len(values) for values in columns.values()}) > 1:
        raise HttpError(400, "BAD_REQUEST", "the tensors have different numbers of rows")
    return columns


def _by_position(tensor: _Tensor, blob: memoryview, contract: Contract) -> dict[str, list[object]]:
    width = len(contract.fields)
    if len(tensor.shape) != 2 or tensor.shape[1] != width:
        raise _tensor_error(
            tensor,
            f"is no feature; by position the shape [rows, {width}] was expected, got {tensor.shape[:8]}",
        )
    values, _ = _values(tensor, blob)
    return {name: values[i::width] for i, name in enumerate(contract.names)}


def _values(tensor: _Tensor, blob: memoryview) -> tuple[list[object], memoryview]:
    count = 1
    for width in tensor.shape:
        if width < 0 or width > 1 << 40:
            raise _tensor_error(tensor, f"has the impossible shape {tensor.shape[:8]}")
        count *= width
    size = tensor.parameters.get("binary_data_size")
    if tensor.data is None and isinstance(size, int) and not isinstance(size, bool):
        if not 0 <= size <= len(blob):
            raise _tensor_error(tensor, f"says {size} binary bytes, {len(blob)} are there")
        values = _from_binary(tensor, blob[:size], count)
        blob = blob[size:]
    else:
        values = _flatten(tensor.data, tensor)
    if len(values) != count:
        raise _tensor_error(
            tensor, f"has {len(values):,} values, its shape {tensor.shape[:8]} says {count:,}"
        )
    if tensor.datatype == "BYTES":
        return values, blob
    if tensor.datatype not in _DTYPES:
        raise _tensor_error(
            tensor, f"has the datatype {tensor.datatype[:40]!r}; known are BYTES, {', '.join(_DTYPES)}"
        )
    return [None if value != value else value for value in values], blob


def _flatten(data: object, tensor: _Tensor) -> list[object]:
    if not isinstance(data, list):
        raise _tensor_error(tensor, "has no data")
    depth = 0
    flat: list[Any] = data
    while flat and all(isinstance(part, list) for part in flat):
        depth += 1
        if depth > 8:
            raise _tensor_error(tensor, "is nested too deeply")
        flat = [value for part in flat for value in part]
    return flat


def _from_binary(tensor: _Tensor, data: memoryview, count: int) -> list[Any]:
    if tensor.datatype != "BYTES":
        dtype = np.dtype(_DTYPES.get(tensor.datatype, "V1"))
        if dtype.kind == "V" or len(data) != count * dtype.itemsize:
            raise _tensor_error(
                tensor, f"has {len(data)} bytes, which are not {count} values of {tensor.datatype[:40]}"
            )
        numbers: list[object] = np.frombuffer(data, dtype).tolist()
        return numbers
    values: list[str] = []
    while data:
        if len(data) < 4 or len(data) < 4 + struct.unpack_from("<I", data)[0]:
            raise _tensor_error(tensor, "ends in the middle of a string")
        end = 4 + struct.unpack_from("<I", data)[0]
        try:
            values.append(bytes(data[4:end]).decode())
        except UnicodeDecodeError:
            raise _tensor_error(tensor, "has a string that is not UTF-8") from None
        data = data[end:]
    return values


def _encode_tensor(
    name: str, values: list[object], kind: str, binary: bool, blobs: list[bytes]
) -> dict[str, object]:
    tensor: dict[str, object] = {"name": name, "shape": [len(values)], "datatype": kind}
    if not binary:
        return {**tensor, "data": values}
    if kind == "BYTES":
        words = [str(value).encode() for value in values]
        blob = b"".join(struct.pack("<I", len(word)) + word for word in words)
    else:
        blob = np.array(values, _DTYPES[kind]).tobytes()
    blobs.append(blob)
    return {**tensor, "parameters": {"binary_data_size": len(blob)}}


def _check_outputs(request: _Request, runtime: Runtime) -> None:
    names = ["prediction", *(f"probability_{name}" for name in runtime.class_names)]
    unknown = [output.name for output in request.outputs or () if output.name not in names]
    if unknown:
        raise HttpError(
            400, "BAD_REQUEST", f"there is no output {unknown[0][:100]!r}; there are {', '.join(names)}"
        )


def _tensor_error(tensor: _Tensor, reason: str) -> HttpError:
    return HttpError(400, "BAD_REQUEST", f"the tensor {tensor.name[:100]!r} {reason}")
