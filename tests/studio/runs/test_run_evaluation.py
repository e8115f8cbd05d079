"""What a decision at another threshold would be is what scikit-learn counts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from tabstudio.errors import TrackingError
from tabstudio.evaluation import evaluate
from tabstudio.studio.services.runs.run_evaluation import (
    cheapest_decision,
    nearest_decision,
    read_evaluation,
    threshold_decisions,
)
from tabstudio.table.schema import Target


@pytest.fixture
def measured():
    """An evaluation of a rare class, its labels and probabilities."""
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.15).astype(int)
    chance = np.clip(0.25 * labels + rng.normal(0.15, 0.1, 400), 0, 1)
    target = Target("ill", "binary", ("no", "yes"), "yes")
    return evaluate(target, labels, np.stack([1 - chance, chance], 1), threshold=0.27), labels, chance


def test_every_decision_is_scikit_learns(measured):
    evaluation, labels, chance = measured
    found = threshold_decisions(evaluation)
    assert len(found) > 100
    for decision in found:
        said = chance >= decision.threshold
        assert [
            [decision.true_negatives, decision.false_positives],
            [decision.false_negatives, decision.true_positives],
        ] == sk.confusion_matrix(labels, said, labels=[0, 1]).tolist()
        assert decision.recall == pytest.approx(sk.recall_score(labels, said))
        assert (decision.precision or 0.0) == pytest.approx(sk.precision_score(labels, said, zero_division=0))
        assert decision.f1 == pytest.approx(sk.f1_score(labels, said))
        assert decision.accuracy == pytest.approx(sk.accuracy_score(labels, said))


def test_the_threshold_in_use_is_among_them_and_gives_the_reports_matrix(measured):
    evaluation, *_ = measured
    found = threshold_decisions(evaluation)
    used = found[nearest_decision(found, 0.27)]
    assert used.threshold == 0.27
    assert evaluation.confusion == (
        (used.true_negatives, used.false_positives),
        (used.false_negatives, used.true_positives),
    )


def test_the_cheapest_costs_least(measured):
    found = threshold_decisions(measured[0])
    for costs in ((1.0, 1.0), (1.0, 20.0), (5.0, 1.0), (0.0, 0.0)):
        best = found[cheapest_decision(found, *costs)].cost(*costs)
        assert best == min(decision.cost(*costs) for decision in found)
    assert (
        found[cheapest_decision(found, 1.0, 50.0)].threshold
        < found[cheapest_decision(found, 50.0, 1.0)].threshold
    )


def test_a_file_that_is_no_evaluation_is_told(client, log, tmp_path):
    run_id = log("odd")
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps({"test": 1}))
    client.mlflow.log_artifact(run_id, str(file), "evaluation")
    with pytest.raises(TrackingError, match="not an evaluation as tabstudio writes it"):
        read_evaluation(client, run_id)
