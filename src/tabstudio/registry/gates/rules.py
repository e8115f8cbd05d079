"""The gates of a stage, as they are written in TOML.

[registry.stages.production.gates]
roc_auc = 0.95                                      # the worse end of the 95 % interval must reach it
metrics = { log_loss = 0.2 }                        # the same for several measures in one table
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

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from tabstudio.errors import ConfigError
from tabstudio.evaluation.evaluation_result import NAMES

METRICS = frozenset({*NAMES} - {"calibration_error"})
"""Measures that a bound can be set on; the calibration error has a gate of its own."""
_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_FORBID = ConfigDict(extra="forbid")


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("fault", "{message}", {"message": message})


def _expected(what: str) -> WrapValidator:
    """Say what was expected, whatever does not fit; `{name}` in it is that of the entry."""

    def validate(value: object, handler: Callable[[object], object]) -> object:
        try:
            return handler(value)
        except ValidationError:
            raise _fault(f"{what} was expected, got {value!r}") from None

    return WrapValidator(validate)


def _table_or_switch(example: str) -> BeforeValidator:
    """Let a table pass; `true` is an empty one, `false` is None."""

    def validate(value: object) -> object:
        if isinstance(value, bool):
            return {} if value else None
        if not isinstance(value, Mapping):
            raise _fault(f"{example} was expected, got {value!r}")
        return value

    return BeforeValidator(validate)


def _measure(name: str) -> str:
    if name == "calibration_error":
        raise _fault("calibration_error has a gate of its own: calibration = 0.1")
    if name not in METRICS:
        raise _fault(f"there is no measure {name!r}: {_hint(name, METRICS, 'there are')}")
    return name


def _filled(value: object) -> object:
    if not isinstance(value, Mapping) or not value:
        raise _fault(f"a table of measures and bounds was expected, {{ roc_auc = 0.95 }}, got {value!r}")
    return value


def _tables(value: object) -> object:
    if not isinstance(value, list) or not value:
        raise _fault("a list of tables with a column and its bounds was expected: [[...gates.slices]]")
    return value


def _schema(value: object) -> object:
    return {True: "compatible", False: None}[value] if isinstance(value, bool) else value


def _size_in_bytes(value: object) -> object:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*", value) if isinstance(value, str) else None
    if match and match[2].lower() in _UNITS:
        return int(float(match[1]) * _UNITS[match[2].lower()])
    return value


_Figure = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Milliseconds = Annotated[_Figure, Field(gt=0), _expected("milliseconds above 0")]
_Rows = Annotated[int, Field(strict=True, ge=1), _expected("a number of rows of at least 1")]
_Switch = Annotated[bool, Field(strict=True), _expected("true or false")]
_Measure = Annotated[str, AfterValidator(_measure)]
_Bounds = Annotated[
    Mapping[_Measure, Annotated[_Figure, _expected("a bound for {name}")]], BeforeValidator(_filled)
]


@dataclass(frozen=True, slots=True)
class NoWorseGate:
    """Against the version in the stage, by `metric` (None: the task's decisive one).

    Without a margin it fails where the version is worse beyond chance; with one, unless the 95 % interval of
    the difference stays within the margin.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    metric: _Measure | None = None
    margin: Annotated[_Figure, Field(ge=0), _expected("a margin of at least 0")] | None = None


@dataclass(frozen=True, slots=True)
class SliceGate:
    """Bounds on every level of a column that has at least `min_rows` rows."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    column: str
    metrics: _Bounds
    min_rows: _Rows = 30


@dataclass(frozen=True, slots=True)
class LatencyGate:
    """Milliseconds for a single row, and for a batch of `rows`; None is not asked for."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    row: _Milliseconds | None = None
    batch: _Milliseconds | None = None
    rows: _Rows = 1000

    def __post_init__(self) -> None:
        if self.row is None and self.batch is None:
            raise _fault("milliseconds for a row or a batch were expected, { row = 20, batch = 200 }")


@dataclass(frozen=True, slots=True)
class StageGates:
    """The gates of one stage; None, empty and False stand for those that were not asked for."""

    __pydantic_config__: ClassVar[ConfigDict] = _FORBID

    metrics: _Bounds | None = None
    no_worse: Annotated[NoWorseGate | None, _table_or_switch('{ metric = "roc_auc", margin = 0.01 }')] = None
    calibration: Annotated[_Figure, Field(ge=0, le=1), _expected("a bound from 0 to 1")] | None = None
    slices: Annotated[
        tuple[Annotated[SliceGate, _table_or_switch('{ column = "sex", metrics = { recall = 0.8 } }')], ...],
        BeforeValidator(_tables),
    ] = ()
    schema: Annotated[
        Literal["compatible", "strict"] | None,
        BeforeValidator(_schema),
        _expected('true, "compatible" or "strict"'),
    ] = None
    latency: Annotated[LatencyGate | None, _table_or_switch("{ row = 20, batch = 200 }")] = None
    size: (
        Annotated[
            int,
            BeforeValidator(_size_in_bytes),
            Field(strict=True, ge=1),
            _expected('bytes such as "10 MiB" or 10485760'),
        ]
        | None
    ) = None
    loads: _Switch = False
    reproduces: _Switch = False


_NAMES = tuple(field.name for field in fields(StageGates))
_ENTRIES = {"no_worse": NoWorseGate, "slices": SliceGate, "latency": LatencyGate}


def parse_gates(table: Mapping[str, object], stage: str) -> StageGates:
    """Return the gates that a TOML table declares for a stage; measures may stand in it by their names.

    Raises `ConfigError` naming every gate that does not exist, with the one that was probably meant, and
    every value that does not fit.
    """
    measures = {name: bound for name, bound in table.items() if name in METRICS}
    gates = {name: value for name, value in table.items() if name not in measures}
    bounds = gates.get("metrics", {})
    faults = []
    if measures and isinstance(bounds, Mapping):
        gates["metrics"] = {**measures, **bounds}
        faults = [f"gate {name}: it has a bound in metrics, too" for name in measures if name in bounds]
    try:
        declared = TypeAdapter(StageGates).validate_python(gates)
    except ValidationError as error:
        faults += map(_message, error.errors())
    if faults:
        raise ConfigError("\n".join(f"stage {stage}: {fault}" for fault in faults))
    return declared


def _message(fault: ErrorDetails) -> str:
    gate, *_ = where = [str(part) for part in fault["loc"] if part != "[key]"]
    unknown = fault["type"] == "unexpected_keyword_argument"
    if unknown and len(where) > 1:
        entries = [field.name for field in fields(_ENTRIES[gate])]
        return f"gate {gate}: there is no entry {where[-1]!r}: {_hint(where[-1], entries, 'there are')}"
    if unknown and gate == "calibration_error":
        return f"gate {gate}: write calibration = {fault['input']}"
    if unknown:
        return f"gate {gate} does not exist: {_hint(gate, _NAMES, 'the gates are')}"
    if fault["type"] == "missing":
        return f"gate {gate}: a column and its bounds were expected: column, metrics and perhaps min_rows"
    return f"gate {gate}: {fault['msg'].replace('{name}', where[-1])}"


def _hint(name: str, known: Iterable[str], otherwise: str) -> str:
    close = get_close_matches(name.lower(), known, n=1)
    return f"did you mean {close[0]}?" if close else f"{otherwise} {', '.join(sorted(known))}"
