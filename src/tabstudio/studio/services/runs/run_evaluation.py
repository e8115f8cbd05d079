"""The evaluation of a run, and its decisions at other thresholds."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tabstudio.errors import TrackingError
from tabstudio.evaluation.evaluation_result import Evaluation
from tabstudio.evaluation.permutation_importance import Importance
from tabstudio.evaluation.slices import Slice
from tabstudio.studio.services.runs.run_files import open_file

if TYPE_CHECKING:
    from tabstudio.registry.mlflow_client import RegistryClient

EVALUATION_FILE = "evaluation/evaluation.json"
"""The file with all measurements of a training by tabstudio."""


@dataclass(frozen=True, slots=True)
class RunEvaluation:
    """The evaluation of a run on its test rows, and what belongs to it.

    `references` are measures of simple models on the same rows, by name; `verdict` says how they compare.
    """

    test: Evaluation
    importance: Importance | None
    slices: tuple[Slice, ...]
    references: Mapping[str, Mapping[str, float]]
    verdict: str
    data: Mapping[str, object]
    training: Mapping[str, str]
    environment: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ThresholdDecision:
    """The confusion counts of a binary task at one threshold."""

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> float | None:
        """The share of those called positive that are; None where nobody is called so."""
        called = self.true_positives + self.false_positives
        return self.true_positives / called if called else None

    @property
    def recall(self) -> float | None:
        """The share of the positives that are found."""
        there = self.true_positives + self.false_negatives
        return self.true_positives / there if there else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall."""
        whole = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / whole if whole else None

    @property
    def accuracy(self) -> float:
        """The share of rows that are decided right."""
        return (self.true_positives + self.true_negatives) / max(self.rows, 1)

    @property
    def rows(self) -> int:
        """All rows."""
        return self.true_positives + self.false_positives + self.false_negatives + self.true_negatives

    def cost(self, false_positive: float, false_negative: float) -> float:
        """What the wrong decisions cost together."""
        return self.false_positives * false_positive + self.false_negatives * false_negative


def read_evaluation(client: RegistryClient, run_id: str) -> RunEvaluation:
    """Read the evaluation of a run. Raises `TrackingError` where it has none, or none that can be read."""
    with open_file(client, run_id, EVALUATION_FILE) as file:
        try:
            numbers = json.loads(file.read_text(encoding="utf-8"))
            return _outcome(numbers)
        except (ValueError, KeyError, TypeError) as error:
            raise TrackingError(
                f"{EVALUATION_FILE}: not an evaluation as tabstudio writes it: {error!r}"
            ) from error


def _outcome(numbers: Mapping[str, Any]) -> RunEvaluation:
    references = numbers["references"] or {"references": {}, "verdict": None}
    return RunEvaluation(
        test=Evaluation.from_json(numbers["test"]),
        importance=Importance.from_json(numbers["importance"]) if numbers["importance"] else None,
        slices=tuple(Slice.from_json(part) for part in numbers["slices"]),
        references=references["references"],
        verdict=references["verdict"] or "",
        data=numbers["data"],
        training=numbers["training"],
        environment=numbers["environment"],
    )


def threshold_decisions(evaluation: Evaluation) -> list[ThresholdDecision]:
    """Return the decisions of a binary task at each counted threshold, in rising order; else none."""
    if len(evaluation.confusion) != 2:
        return []
    negatives, positives = (sum(row) for row in evaluation.confusion)
    return [
        ThresholdDecision(
            p.threshold,
            p.true_positives,
            p.false_positives,
            positives - p.true_positives,
            negatives - p.false_positives,
        )
        for p in evaluation.thresholds
        if p.true_positives is not None and p.false_positives is not None
    ]


def nearest_decision(decisions: list[ThresholdDecision], threshold: float) -> int:
    """Return the index of the decision at the nearest threshold."""
    index = bisect_left([decision.threshold for decision in decisions], threshold)
    near = [p for p in (index - 1, index) if 0 <= p < len(decisions)]
    return min(near, key=lambda p: abs(decisions[p].threshold - threshold))


def cheapest_decision(
    decisions: list[ThresholdDecision], false_positive: float, false_negative: float
) -> int:
    """Return the index of the decision that costs least on these rows; of equal ones the middle one."""
    costs = [decision.cost(false_positive, false_negative) for decision in decisions]
    least = [index for index, cost in enumerate(costs) if cost == min(costs)]
    return least[len(least) // 2]
