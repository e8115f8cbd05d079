"""All gates of a stage, judged one by one: a gate that fails hides no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from tabstudio.errors import ForeignModelError, TabstudioError
from tabstudio.registry.gates.candidate import GateCandidate
from tabstudio.registry.gates.rules import StageGates, parse_gates
from tabstudio.registry.records import GateResult, ModelVersion

if TYPE_CHECKING:
    from tabstudio.registry.reader import RegistryReader
    from tabstudio.registry.stage_rules import Stage

_Trial = Callable[[], "GateResult | Iterable[GateResult]"]


def judge(
    registry: RegistryReader,
    version: ModelVersion,
    current: ModelVersion | None,
    stage: Stage,
    options: Mapping[str, object] | None = None,
) -> list[GateResult]:
    """Judge a version by the gates of a stage that holds `current` now.

    Beside the declared gates, a bundle of ours must be whole. `options` may name `data`, a file to judge by.
    A gate that cannot be judged has not passed, and says why.

    Raises `ConfigError` where the gates are not declared right.
    """
    gates = parse_gates(stage.gates, stage.name)
    data = (options or {}).get("data")
    case = GateCandidate(registry, version, current, None if data is None else str(data))
    return [result for name, trial in _trials(case, gates) for result in _attempt(name, trial)]


def loads(registry: RegistryReader, version: ModelVersion) -> GateResult:
    """Judge whether a version's files are whole and it answers; of another library, that they are there."""
    case = GateCandidate(registry, version, None)
    (result,) = _attempt("loads", partial(_loads, case))
    return result


def _loads(case: GateCandidate) -> GateResult:
    if case.foreign:
        message = "it was not loaded: that could run code of its own"
        return GateResult("loads", True, "a model of another library", "its files are there", message)
    from tabstudio.registry.gates import model_gates

    return model_gates.loads(case)


def _trials(case: GateCandidate, gates: StageGates) -> Iterator[tuple[str, _Trial]]:
    """Go through every gate by name, in order; torch is imported by those alone that need the model."""
    from tabstudio.registry.gates import metric_gates, model_gates

    if not _is_foreign(case):
        yield "bundle", partial(model_gates.bundle, case)
    for name, bound in (gates.metrics or {}).items():
        yield f"metrics.{name}", partial(metric_gates.metric, case, name, bound)
    if gates.calibration is not None:
        yield "calibration", partial(metric_gates.calibration, case, gates.calibration)
    for part in gates.slices:
        yield f"slices.{part.column}", partial(metric_gates.levels, case, part)
    if gates.no_worse is not None:
        yield "no_worse", partial(metric_gates.no_worse, case, gates.no_worse)
    if gates.schema is not None:
        yield "schema", partial(model_gates.schema, case, gates.schema)
    if gates.size is not None:
        yield "size", partial(model_gates.size, case, gates.size)
    if gates.loads:
        yield "loads", partial(model_gates.loads, case)
    if gates.latency is not None:
        yield "latency", partial(model_gates.latency, case, gates.latency)
    if gates.reproduces:
        yield "reproduces", partial(model_gates.reproduces, case)


def _is_foreign(case: GateCandidate) -> bool:
    try:
        return case.foreign
    except TabstudioError:  # its files are gone or damaged: the gate `bundle` says so
        return False


def _attempt(name: str, trial: _Trial) -> list[GateResult]:
    try:
        result = trial()
        return [result] if isinstance(result, GateResult) else list(result)
    except ForeignModelError:
        message = "this is a model of another library: only its figures can be judged"
        return [GateResult(name, False, "could not be judged", "", message)]
    except TabstudioError as error:
        return [GateResult(name, False, "could not be judged", "", str(error))]
