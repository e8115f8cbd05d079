"""Gates that are judged by figures: measures, calibration, slices, and the version in the stage."""

from __future__ import annotations

from collections.abc import Iterator

from tabstudio.errors import DataError, ModelError
from tabstudio.evaluation.evaluation_result import NAMES, Measure, number
from tabstudio.evaluation.metrics import HIGHER_IS_BETTER
from tabstudio.evaluation.paired_bootstrap import Difference, compare
from tabstudio.evaluation.reference_comparison import DECISIVE
from tabstudio.evaluation.slices import Slice
from tabstudio.registry.gates.candidate import GateCandidate, require_measure
from tabstudio.registry.gates.rules import NoWorseGate, SliceGate
from tabstudio.registry.paired_predictions import pair
from tabstudio.registry.records import GateResult


def metric(case: GateCandidate, name: str, bound: float) -> GateResult:
    """The worse end of the 95 % interval must reach the bound."""
    measure = require_measure(case.metrics, name)
    passed = _reaches(name, measure, bound)
    message = "" if passed else _short_of(name, measure, bound)
    return GateResult(f"metrics.{name}", passed, str(measure), _required(name, bound), message)


def calibration(case: GateCandidate, bound: float) -> GateResult:
    """The upper end of the calibration error's interval must be within the bound."""
    if "rmse" in case.metrics:
        raise ModelError("a regression gives values, no probabilities: there is nothing to calibrate")
    measure = require_measure(case.metrics, "calibration_error")
    passed = measure.high <= bound
    message = "" if passed else _short_of("calibration_error", measure, bound)
    return GateResult("calibration", passed, str(measure), _required("calibration_error", bound), message)


def levels(case: GateCandidate, gate: SliceGate) -> Iterator[GateResult]:
    """Every level of enough rows must reach each bound."""
    parts = case.slices(gate.column)
    judged = [part for part in parts if part.rows >= gate.min_rows]
    small = [f"{part.level} ({part.rows})" for part in parts if part.rows < gate.min_rows]
    left_out = f"not judged, of fewer than {gate.min_rows} rows: {', '.join(small)}" if small else ""
    if not judged:
        raise DataError(f"no level of {gate.column} has {gate.min_rows} test rows; {left_out}")
    for name, bound in gate.metrics.items():
        yield _worst(gate, judged, name, bound, left_out)


def _worst(gate: SliceGate, judged: list[Slice], name: str, bound: float, left_out: str) -> GateResult:
    short = [part for part in judged if not _reaches(name, part.metrics[name], bound)]
    worst = max(judged, key=lambda part: _shortfall(name, part.metrics[name], bound))
    shortfalls = [f"{part.level}: {part.metrics[name]} of {part.rows:,} rows" for part in short]
    return GateResult(
        f"slices.{gate.column}.{name}",
        not short,
        f"{worst.level}: {worst.metrics[name]}",
        f"{_required(name, bound)}, on every level",
        "; ".join([*shortfalls, *([left_out] if left_out else [])]),
    )


def no_worse(case: GateCandidate, rule: NoWorseGate) -> GateResult:
    """By paired bootstrap on rows that neither was trained on, against the version in the stage."""
    task = case.candidate.target.task
    name = rule.metric or DECISIVE[task][0]
    gate, required = f"no_worse.{name}", _not_worse(rule)
    if case.served is None:
        what = "nothing is in the stage" if case.current is None else "it is in the stage already"
        return GateResult(gate, True, what, required)
    pairs = pair(case.candidate, case.served, case.data)
    thresholds = (case.candidate.threshold, case.served.threshold)
    differences = compare(pairs.target, pairs.labels, pairs.first, pairs.second, thresholds=thresholds)
    if name not in differences:
        raise ModelError(f"{name} is not defined on {pairs.how}; there is {', '.join(differences)}")
    difference = differences[name]
    notes = "; ".join((pairs.how, *pairs.notes))
    measured = f"{number(difference.first)} against {number(difference.second)} of {case.served.address}"
    measured += (
        f", difference {number(difference.value)} [{number(difference.low)}, {number(difference.high)}]"
    )
    return GateResult(gate, _holds(difference, rule.margin), measured, required, notes)


def _not_worse(rule: NoWorseGate) -> str:
    if rule.margin is None:
        return "not worse beyond chance"
    return f"not worse by more than {number(rule.margin)}, with 95 % confidence"


def _holds(difference: Difference, margin: float | None) -> bool:
    if margin is None:
        return difference.better != "second"
    up = difference.metric in HIGHER_IS_BETTER
    return difference.low >= -margin if up else difference.high <= margin


def _reaches(name: str, measure: Measure, bound: float) -> bool:
    return _shortfall(name, measure, bound) <= 0


def _shortfall(name: str, measure: Measure, bound: float) -> float:
    """By how much the worse end misses the bound; infinite where it is not defined."""
    gap = bound - measure.low if name in HIGHER_IS_BETTER else measure.high - bound
    return gap if gap == gap else float("inf")


def _required(name: str, bound: float) -> str:
    if name in HIGHER_IS_BETTER:
        return f"at least {number(bound)} at the lower end"
    return f"at most {number(bound)} at the upper end"


def _short_of(name: str, measure: Measure, bound: float) -> str:
    end, worse = ("lower", measure.low) if name in HIGHER_IS_BETTER else ("upper", measure.high)
    where = f"the {end} end of its interval is {number(worse)}, the bound {number(bound)}"
    within = bound <= measure.value if name in HIGHER_IS_BETTER else measure.value <= bound
    if within:
        return f"{NAMES[name]}: {where}: the value is good enough, but on so few rows that is not sure"
    return f"{NAMES[name]}: {where}"
