"""Greedy selection of an ensemble: never worse than the best alone, weights from held-out rows."""

from __future__ import annotations

import numpy as np
import pytest

from tabstudio.evaluation.ensemble_selection import ensemble_weights
from tabstudio.table.schema import Target

BINARY = Target("y", "binary", ("a", "b"), "b")
MULTICLASS = Target("y", "multiclass", ("a", "b", "c"))
REGRESSION = Target("y", "regression")


def probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def log_loss(p: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(p[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("target", [BINARY, MULTICLASS])
def test_the_mean_is_at_least_as_good_as_the_best_candidate(target: Target) -> None:
    rng = np.random.default_rng(0)
    classes = len(target.classes)
    labels = rng.integers(0, classes, 400)
    right = np.eye(classes)[labels]
    candidates = probabilities(
        np.stack([right * skill + rng.standard_normal((400, classes)) for skill in (0.5, 1.0, 1.5)])
    )
    weights = ensemble_weights(candidates, labels, target)
    mean = np.tensordot(weights, candidates, axes=1)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()
    assert weights[2] > weights[0]
    assert log_loss(mean, labels) < min(log_loss(p, labels) for p in candidates)


def test_values_whose_errors_cancel_are_averaged() -> None:
    rng = np.random.default_rng(1)
    labels = rng.standard_normal(300)
    error = rng.standard_normal(300)
    weights = ensemble_weights(np.stack([labels + error, labels - error]), labels, REGRESSION)
    np.testing.assert_allclose(weights, [0.5, 0.5])


def test_a_candidate_that_only_hurts_gets_no_weight() -> None:
    labels = np.arange(100) % 2
    good = np.where(np.eye(2)[labels] > 0, 0.9, 0.1)
    weights = ensemble_weights(np.stack([1 - good, good]), labels, BINARY)
    assert weights.tolist() == [0.0, 1.0]


def test_a_probability_of_zero_for_the_right_class_is_survived() -> None:
    labels = np.array([0, 1])
    weights = ensemble_weights(np.array([[[0.0, 1.0], [0.0, 1.0]]]), labels, BINARY)
    assert weights.tolist() == [1.0]
