"""The gates of a stage, as they are written in TOML.

[registry.stages.production.gates]
metrics = { roc_auc = 0.95, log_loss = 0.2 }        # the worse end of the 95 % interval must reach it
no_worse = { metric = "roc_auc", margin = 0.01 }    # than the version in the stage; or: no_worse = true
calibration = 0.1                                   # the upper end of the calibration error's interval
schema = true                                       # "strict": nothing may be removed either
latency = { row = 20, batch = 200, rows = 1000 }    # milliseconds, the median of several tries here
size = "10 MiB"
loads = true
reproduces = true                                   # `tabstudio reproduce --record` has found it identical

[[registry.stages.production.gates.slices]]
column = "sex"
metrics = { recall = 0.8 }                          # on every level of at least `min_rows` test rows
min_rows = 30
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal

from tabstudio.errors import ConfigError
from tabstudio.evaluation.evaluation_result import NAMES

METRICS = frozenset({*NAMES} - {"calibration_error"})
"""Measures that a bound can be set on; the calibration error has a gate of its own."""

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


@dataclass(frozen=True, slots=True)
class NoWorseGate:
    """Against the version in the stage, by `metric` (None: the task's decisive one).

    Without a margin it fails where the version is worse beyond chance; with one, unless the 95 % interval of
    the difference stays within the margin.
    """

    metric: str | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class SliceGate:
    """Bounds on every level of a column that has at least `min_rows` rows."""

    column: str
    metrics: Mapping[str, float]
    min_rows: int = 30


@dataclass(frozen=True, slots=True)
class LatencyGate:
    """Milliseconds for a single row, and for a batch of `rows`; None is not asked for."""

    row: float | None = None
    batch: float | None = None
    rows: int = 1000


@dataclass(frozen=True, slots=True)
class StageGates:
    """The gates of one stage; None, empty and False stand for those that were not asked for."""

    metrics: Mapping[str, float] | None = None
    no_worse: NoWorseGate | None = None
    calibration: float | None = None
    slices: tuple[SliceGate, ...] = ()
    schema: Literal["compatible", "strict"] | None = None
    latency: LatencyGate | None = None
    size: int | None = None
    loads: bool = False
    reproduces: bool = False


def parse_gates(table: Mapping[str, Any], stage: str) -> StageGates:
    """The gates that a TOML table declares for a stage.

    Raises `ConfigError` naming every gate that does not exist, with the one that was probably meant, and
    every value that does not fit.
    """
    faults: list[str] = []
    made: dict[str, Any] = {}
    for name, value in table.items():
        if name not in _READERS:
            faults.append(_unknown(name, value))
            continue
        try:
            made[name] = _READERS[name](value)
        except _FaultError as fault:
            faults.append(f"gate {name}: {fault}")
    if faults:
        raise ConfigError("\n".join(f"stage {stage}: {fault}" for fault in faults))
    return StageGates(**made)


class _FaultError(Exception):
    """What is wrong with one value."""


def _unknown(name: str, value: Any) -> str:
    if name in METRICS:
        return f"gate {name}: this is a measure; write metrics = {{ {name} = {value} }}"
    if name == "calibration_error":
        return f"gate {name}: write calibration = {value}"
    return f"gate {name} does not exist: {_hint(name, _READERS, 'the gates are')}"


def _hint(name: str, known: Any, otherwise: str) -> str:
    close = get_close_matches(name.lower(), known, n=1)
    return f"did you mean {close[0]}?" if close else f"{otherwise} {', '.join(sorted(known))}"


def _number(value: Any, what: str = "a number") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _FaultError(f"{what} was expected, got {value!r}")
    return float(value)


def _share(value: Any) -> float:
    share = _number(value, "a bound from 0 to 1")
    if not 0 <= share <= 1:
        raise _FaultError(f"a bound from 0 to 1 was expected, got {value!r}")
    return share


def _above_zero(value: Any, what: str) -> float:
    found = _number(value, what)
    if found <= 0:
        raise _FaultError(f"{what} above 0 was expected, got {value!r}")
    return found


def _bounds(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping) or not value:
        raise _FaultError(f"a table of measures and bounds was expected, {{ roc_auc = 0.95 }}, got {value!r}")
    for name in value:
        if name == "calibration_error":
            raise _FaultError("calibration_error has a gate of its own: calibration = 0.1")
        if name not in METRICS:
            raise _FaultError(f"there is no measure {name!r}: {_hint(name, METRICS, 'there are')}")
    return {name: _number(bound, f"a bound for {name}") for name, bound in value.items()}


def _no_worse(value: Any) -> NoWorseGate | None:
    told = _table(value, NoWorseGate, '{ metric = "roc_auc", margin = 0.01 }')
    if told is None:
        return None
    metric = told.get("metric")
    if metric is not None and metric not in METRICS:
        raise _FaultError(f"there is no measure {metric!r}: {_hint(str(metric), METRICS, 'there are')}")
    margin = None if "margin" not in told else _number(told["margin"], "a margin")
    if margin is not None and margin < 0:
        raise _FaultError(f"a margin of at least 0 was expected, got {margin}")
    return NoWorseGate(metric, margin)


def _latency(value: Any) -> LatencyGate:
    told = _table(value, LatencyGate, "{ row = 20, batch = 200 }")
    if not told or not {"row", "batch"} & set(told):
        raise _FaultError("milliseconds for a row or a batch were expected, { row = 20, batch = 200 }")
    bounds = {name: _above_zero(told[name], "milliseconds") for name in ("row", "batch") if name in told}
    return LatencyGate(**bounds, rows=_whole(told.get("rows", 1000), "a number of rows"))


def _slices(value: Any) -> tuple[SliceGate, ...]:
    if not isinstance(value, list) or not value:
        raise _FaultError("a list of tables with a column and its bounds was expected: [[...gates.slices]]")
    return tuple(_levels(part) for part in value)


def _levels(value: Any) -> SliceGate:
    told = _table(value, SliceGate, '{ column = "sex", metrics = { recall = 0.8 } }')
    if not told or not isinstance(told.get("column"), str) or "metrics" not in told:
        raise _FaultError("a column and its bounds were expected: column, metrics and perhaps min_rows")
    rows = _whole(told.get("min_rows", 30), "a number of rows")
    return SliceGate(told["column"], _bounds(told["metrics"]), rows)


def _table(value: Any, kind: type, example: str) -> dict[str, Any] | None:
    """The entries of a table, each of which the dataclass knows; `true` is an empty one, `false` is None."""
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, Mapping):
        raise _FaultError(f"{example} was expected, got {value!r}")
    names = [f.name for f in fields(kind)]
    for name in value:
        if name not in names:
            raise _FaultError(f"there is no entry {name!r}: {_hint(name, names, 'there are')}")
    return dict(value)


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _FaultError(f"{what} of at least 1 was expected, got {value!r}")
    return value


def _schema(value: Any) -> str | None:
    if value not in (True, False, "compatible", "strict"):
        raise _FaultError(f'true, "compatible" or "strict" was expected, got {value!r}')
    return value if isinstance(value, str) else ("compatible" if value else None)


def _size(value: Any) -> int:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*", value)
        if match and match[2].lower() in _UNITS:
            return int(float(match[1]) * _UNITS[match[2].lower()])
        raise _FaultError(f'bytes such as "10 MiB" or 10485760 were expected, got {value!r}')
    return _whole(value, "a number of bytes")


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _FaultError(f"true or false was expected, got {value!r}")
    return value


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "metrics": _bounds,
    "no_worse": _no_worse,
    "calibration": _share,
    "slices": _slices,
    "schema": _schema,
    "latency": _latency,
    "size": _size,
    "loads": _switch,
    "reproduces": _switch,
}
