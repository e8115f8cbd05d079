"""JSON as RFC 8259 has it and nothing else: no NaN, no figure beyond float64, no key twice, whole UTF-8."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import msgspec
import numpy as np

from tabstudio.serving.request_hooks import HttpError

_LONG = 4096
_COLON = ord(":")


def parse(body: bytes) -> Any:
    """Read a document carefully, at the price of reading it twice.

    Raises `HttpError` 400 that says what is wrong and, where the parser knows, at which byte.
    """
    try:
        msgspec.json.decode(body)
        return json.loads(
            body.decode(),
            object_pairs_hook=_without_twins,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise malformed("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise malformed(f"it is not UTF-8: {error.reason} {error.object[error.start]:#04x}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise malformed(str(error).removeprefix("JSON is malformed: ")) from None


def malformed(reason: str) -> HttpError:
    """Answer to a body that is no JSON."""
    return HttpError(400, "MALFORMED_JSON", f"the body must be strict JSON, but {reason}")


def colons(body: bytes) -> int:
    """Count the colons of a document: no key stands twice where there are as many as there are keys."""
    if len(body) < _LONG:
        return body.count(b":")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == _COLON))


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:100]!r} stands twice in one object")
    return made


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is beyond the range of float64")
    return value


def _whole(text: str) -> int:
    if len(text) > 310:  # no float64 is longer, and Python's own conversion takes quadratic time
        raise ValueError(f"an integer of {len(text)} digits is beyond the range of float64")
    return int(text)
