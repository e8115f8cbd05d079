"""The three ways to ask a model: our own, MLflow's `/invocations`, and the Open Inference Protocol V2.

A protocol reads a body to rows that fit the model's contract, and writes its answer. It knows no network and
no HTTP beyond the content type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from tabstudio.serving.contract import RequestRows
from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.runtime import ModelAnswer, Runtime

JSON = "application/json"
encode = msgspec.json.Encoder().encode


class Reply(NamedTuple):
    """Body and headers of an answer."""

    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class ParsedRequest(NamedTuple):
    """Rows to predict, and how the answer is written."""

    rows: RequestRows
    write: Callable[[ModelAnswer], Reply]


class RequestContext(NamedTuple):
    """What stands around the rows of a request: its id, its content type, and headers of its protocol."""

    request_id: str
    content_type: str
    headers: Mapping[bytes, bytes]


class ServingProtocol(Protocol):
    """A protocol."""

    name: str

    def read(self, runtime: Runtime, body: bytes, asked: RequestContext, most: int) -> ParsedRequest:
        """Rows of a body, at most `most`. Raises `HttpError`."""


class NativeProtocol:
    """Our own: rows as objects in, label, probabilities and warnings of each out."""

    name = "predict"

    def read(self, runtime: Runtime, body: bytes, asked: RequestContext, most: int) -> ParsedRequest:
        """Read `{"rows": [{column: value, ...}, ...]}`."""
        require_json(asked.content_type)
        rows = runtime.contract.read(body, most)
        return ParsedRequest(
            rows, lambda answer: Reply(encode(native_answer(runtime, answer, asked.request_id)))
        )


def native_answer(runtime: Runtime, answer: ModelAnswer, request_id: str) -> dict[str, Any]:
    """An answer as the predict endpoint gives it, its predictions as structures that are quick to encode."""
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
    """Refuse, with 415, a body that does not say it is JSON: a web page of another origin could send it."""
    if content_type != JSON and content_type.partition(";")[0].strip().lower() != JSON:
        raise HttpError(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            f"content type {JSON} was expected, got {content_type[:100] or 'none'!r}",
        )


def answer_columns(runtime: Runtime, answer: ModelAnswer) -> dict[str, list[Any]]:
    """An answer as the columns of `Model.predict_frame`, by name."""
    columns: dict[str, list[Any]] = {"prediction": runtime.uniform(answer.labels)}
    if answer.probabilities is not None:
        parts = zip(*answer.probabilities, strict=True)
        columns |= {
            f"probability_{n}": list(part) for n, part in zip(runtime.class_names, parts, strict=True)
        }
    return columns
