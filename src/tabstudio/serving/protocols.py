"""What the three prediction protocols share, and our own one.

The others are MLflow's `/invocations` (`mlflow_protocol`) and the Open Inference Protocol (`v2_protocol`). A
protocol reads a body to rows that fit the model's contract, and writes the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from tabstudio.serving.contract import RequestRows
from tabstudio.serving.http_messages import Response
from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.runtime import ModelAnswer, Runtime

JSON = "application/json"
encode = msgspec.json.Encoder().encode


class ParsedRequest(NamedTuple):
    """Rows to predict, and how the answer is written."""

    rows: RequestRows
    write: Callable[[ModelAnswer], Response]


class RequestContext(NamedTuple):
    """What a protocol needs of a request beside its body: id, content type, headers."""

    request_id: str
    content_type: str
    headers: Mapping[bytes, bytes]


class ServingProtocol(Protocol):
    """Reads requests and writes answers in one format."""

    name: str

    def read(self, runtime: Runtime, body: bytes, context: RequestContext, max_rows: int) -> ParsedRequest:
        """Rows of a body, at most `max_rows`. Raises `HttpError`."""


class NativeProtocol:
    """Our own: rows as objects in; label, probabilities and warnings of each out."""

    name = "predict"

    def read(self, runtime: Runtime, body: bytes, context: RequestContext, max_rows: int) -> ParsedRequest:
        """Read `{"rows": [{column: value, ...}, ...]}`."""
        require_json(context.content_type)
        rows, own_id = runtime.contract.read(body, max_rows), context.request_id
        return ParsedRequest(
            rows, lambda answer: Response(200, encode(native_answer(runtime, answer, own_id)))
        )


def native_answer(runtime: Runtime, answer: ModelAnswer, request_id: str) -> dict[str, object]:
    """An answer of the predict endpoint, its predictions as structures that are quick to encode."""
    one, shares = runtime.prediction, runtime.shares
    if answer.probabilities is None:
        predictions = [one(value) for value in answer.labels]
    else:
        pairs = zip(answer.labels, answer.probabilities, strict=True)
        predictions = [one(label, shares(*row)) for label, row in pairs]
    for row, warnings in answer.warnings.items():
        predictions[row].warnings = warnings
    return {
        "model": runtime.name,
        "version": runtime.version,
        "request_id": request_id,
        "threshold": runtime.threshold,
        "predictions": predictions,
    }


def require_json(content_type: str) -> None:
    """Refuse, with 415, a body that is not declared as JSON: a page of another origin could send it."""
    if content_type != JSON and content_type.partition(";")[0].strip().lower() != JSON:
        raise HttpError(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            f"content type {JSON} was expected, got {content_type[:100] or 'none'!r}",
        )


def answer_columns(runtime: Runtime, answer: ModelAnswer) -> dict[str, list[object]]:
    """An answer as the columns of `Model.predict_frame`, by name."""
    columns: dict[str, list[object]] = {"prediction": runtime.uniform(answer.labels)}
    if answer.probabilities is not None:
        parts = zip(*answer.probabilities, strict=True)
        columns |= {
            f"probability_{n}": list(part) for n, part in zip(runtime.class_names, parts, strict=True)
        }
    return columns
