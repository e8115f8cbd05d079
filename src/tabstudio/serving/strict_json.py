"""JSON by RFC 8259, strictly: no NaN, no number beyond float64, no key twice, valid UTF-8.

No JSON library that we have refuses a key that comes twice: msgspec, orjson and pydantic keep the last one.
"""

from __future__ import annotations

import json
import math
from typing import NoReturn

import msgspec
import numpy as np

from tabstudio.serving.request_hooks import HttpError

_LONG = 4096
_COLON = ord(":")


def parse(body: bytes) -> object:
    """Parse a document, twice: msgspec checks the grammar, `json` the keys and numbers.

    Raises `HttpError` 400 that says what is wrong and, where the parser knows, at which byte.
    """
    try:
        msgspec.json.decode(body)
        return json.loads(
            body.decode(),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError:
        raise malformed("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise malformed(f"it is not UTF-8: {error.reason} {error.object[error.start]:#04x}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise malformed(str(error).removeprefix("JSON is malformed: ")) from None


def malformed(reason: str) -> HttpError:
    """Error of a body that is no JSON."""
    return HttpError(400, "MALFORMED_JSON", f"the body must be strict JSON, but {reason}")


def colons(body: bytes) -> int:
    """Count the colons of a document: with as many as there are keys, no key is double or unknown."""
    if len(body) < _LONG:
        return body.count(b":")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == _COLON))


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {double[:100]!r} stands twice in one object")
    return content


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is beyond the range of float64")
    return value


def _integer(text: str) -> int:
    if len(text) > 310:  # no float64 is longer, and Python's own conversion takes quadratic time
        raise ValueError(f"an integer of {len(text)} digits is beyond the range of float64")
    return int(text)
