"""The model beside its references: who is better, and whether that could be chance, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from tabstudio.evaluation.evaluation_result import NAMES, Evaluation, number
from tabstudio.evaluation.metrics import HIGHER_IS_BETTER
from tabstudio.evaluation.paired_bootstrap import Difference, compare
from tabstudio.table.schema import Target, Task

DECISIVE: Mapping[Task, tuple[str, ...]] = {
    "binary": ("roc_auc", "log_loss"),
    "multiclass": ("log_loss",),
    "regression": ("rmse",),
}
"""The measure that a verdict rests on; the second one where the first is not defined."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A simple model, measured on the same rows as the model; `prediction` is what it said of them."""

    name: str
    evaluation: Evaluation
    seconds: float
    prediction: np.ndarray = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who is better by the decisive measure: `difference` is the model against the best reference.

    `undecided` means that a redraw of the test rows can explain the difference.
    """

    better: Literal["model", "reference", "undecided"]
    reference: str
    difference: Difference
    sentence: str


@dataclass(frozen=True, slots=True)
class References:
    """What the references reached, and the verdict. `notes` say what could not be computed, and why."""

    items: tuple[Reference, ...]
    verdict: Verdict | None
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The verdict and the notes, a line each."""
        sentences = (self.verdict.sentence,) if self.verdict else ()
        return "\n".join((*sentences, *(f"note: {note}" for note in self.notes)))

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for a report file: values by reference and measure, the verdict, the notes."""
        return {
            "references": {r.name: r.evaluation.values() for r in self.items},
            "seconds": {r.name: r.seconds for r in self.items},
            "verdict": self.verdict.sentence if self.verdict else None,
            "better": self.verdict.better if self.verdict else None,
            "notes": list(self.notes),
        }


def judge(
    target: Target,
    labels: npt.ArrayLike,
    prediction: npt.ArrayLike,
    evaluation: Evaluation,
    items: Sequence[Reference],
    notes: Sequence[str] = (),
    *,
    seed: int = 0,
) -> References:
    """Hold a model against its references on the same test rows.

    `labels`, `prediction` are what `evaluation` was made of. The best reference is found by the decisive
    measure and compared by paired bootstrap, on the resamples of the evaluation.
    """
    for metric in DECISIVE[target.task]:
        able = [r for r in items if not math.isnan(r.evaluation[metric].value)]
        if able and not math.isnan(evaluation[metric].value):
            best = max(able, key=lambda r: _worth(metric, r.evaluation[metric].value))
            differences = compare(
                target, labels, prediction, best.prediction, resamples=evaluation.resamples, seed=seed
            )
            return References(tuple(items), _verdict_on(best.name, differences[metric]), tuple(notes))
    return References(tuple(items), None, tuple(notes))


def _worth(metric: str, value: float) -> float:
    return value if metric in HIGHER_IS_BETTER else -value


def _verdict_on(name: str, difference: Difference) -> Verdict:
    ahead = _worth(difference.metric, difference.value) > 0
    better: Literal["model", "reference", "undecided"] = "undecided"
    if difference.better != "neither":
        better = "model" if ahead else "reference"
    return Verdict(better, name, difference, _sentence(name, difference, better, ahead=ahead))


def _sentence(name: str, difference: Difference, better: str, *, ahead: bool) -> str:
    measure = NAMES[difference.metric]
    values = f"{measure} {number(difference.first)} against {number(difference.second)}"
    gap = number(abs(difference.value))
    if not math.isnan(difference.low):
        bounds = sorted((abs(difference.low), abs(difference.high)))
        gap += f", 95 % interval {number(bounds[0])} to {number(bounds[1])}" if better != "undecided" else ""
    if better == "model":
        return f"The model is better than every reference: {values} of the best, {name} (by {gap})."
    if better == "reference":
        return f"A reference is better than the model: {name} wins, {values} (by {gap}). Consider using it."
    if difference.value == 0:
        return f"The model and the best reference, {name}, are equal: {values}."
    who = f"The model is ahead of the best reference, {name}" if ahead else f"{name} is ahead of the model"
    return f"{who}: {values}; a difference of {gap} on these rows could be chance."
