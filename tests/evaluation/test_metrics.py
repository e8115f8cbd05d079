"""Measures equal scikit-learn's, with weights, ties and absent classes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from tabstudio.evaluation.metrics import (
    CLASSIFICATION,
    ClassificationScorer,
    RegressionScorer,
    affordable_resamples,
    bootstrap,
    point,
    resample_weights,
)


def _case(seed: int, rows: int, classes: int, ties: bool, absent: bool):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes - 1 if absent else classes, rows)
    raw = random.normal(size=(rows, classes))
    raw[np.arange(rows), labels] += 1
    probabilities = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    if ties:
        probabilities = np.round(probabilities, 1) + 0.01
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    weights = random.integers(0, 4, rows).astype(float)
    return labels, probabilities, weights


def _sklearn_binary(labels, probabilities, decided, positive, weights):
    kept = weights > 0
    y, p, d, w = (
        labels[kept] == positive,
        probabilities[kept, positive],
        decided[kept] == positive,
        weights[kept],
    )
    common = {"sample_weight": w, "zero_division": 0}
    return {
        "accuracy": sk.accuracy_score(y, d, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, d, sample_weight=w),
        "precision": sk.precision_score(y, d, **common),
        "recall": sk.recall_score(y, d, **common),
        "f1": sk.f1_score(y, d, **common),
        "roc_auc": sk.roc_auc_score(y, p, sample_weight=w),
        "pr_auc": sk.average_precision_score(y, p, sample_weight=w),
        "log_loss": sk.log_loss(y, p, sample_weight=w),
        "brier": sk.brier_score_loss(y, p, sample_weight=w),
    }


def _sklearn_multiclass(labels, probabilities, decided, weights):
    kept = weights > 0
    y, p, d, w = labels[kept], probabilities[kept], decided[kept], weights[kept]
    common = {"sample_weight": w, "zero_division": 0, "average": "macro"}
    present = np.unique(y)
    everywhere = np.arange(p.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        balanced = sk.balanced_accuracy_score(y, d, sample_weight=w)
    return {
        "accuracy": sk.accuracy_score(y, d, sample_weight=w),
        "balanced_accuracy": balanced,
        "precision": sk.precision_score(y, d, **common),
        "recall": sk.recall_score(y, d, **common),
        "f1": sk.f1_score(y, d, **common),
        "roc_auc": np.mean([sk.roc_auc_score(y == c, p[:, c], sample_weight=w) for c in present]),
        "pr_auc": np.mean([sk.average_precision_score(y == c, p[:, c], sample_weight=w) for c in present]),
        "log_loss": sk.log_loss(y, p, sample_weight=w, labels=everywhere),
        "brier": sk.brier_score_loss(y, p, sample_weight=w, labels=everywhere),
    }


def _expected_calibration_error(labels, probabilities, positive, weights):
    if positive is None:
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    else:
        confidence, right = probabilities[:, positive], labels == positive
    error = 0.0
    for b in range(10):
        inside = np.minimum(np.floor(confidence * 10), 9) == b
        if weights[inside].sum():
            gap = np.average(confidence[inside], weights=weights[inside])
            gap -= np.average(right[inside], weights=weights[inside])
            error += abs(gap) * weights[inside].sum() / weights.sum()
    return error


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_binary_measures_equal_scikit_learn(seed, positive, ties):
    labels, probabilities, weights = _case(seed, 20 + 60 * seed, 2, ties, absent=False)
    decided = np.where(probabilities[:, positive] >= 0.4, positive, 1 - positive)
    ours = ClassificationScorer(labels, probabilities, decided, positive)(weights[None])
    expected = _sklearn_binary(labels, probabilities, decided, positive, weights)
    expected["calibration_error"] = _expected_calibration_error(labels, probabilities, positive, weights)
    assert set(ours) == set(CLASSIFICATION) == set(expected)
    for name, value in expected.items():
        assert ours[name][0] == pytest.approx(value, rel=1e-11, abs=1e-12), name


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_multiclass_measures_equal_scikit_learn(seed, ties, absent):
    labels, probabilities, weights = _case(seed, 40 + 80 * seed, 3 + seed, ties, absent)
    decided = probabilities.argmax(axis=1)
    ours = ClassificationScorer(labels, probabilities, decided, None)(weights[None])
    expected = _sklearn_multiclass(labels, probabilities, decided, weights)
    expected["calibration_error"] = _expected_calibration_error(labels, probabilities, None, weights)
    for name, value in expected.items():
        assert ours[name][0] == pytest.approx(value, rel=1e-11, abs=1e-12), name


@pytest.mark.parametrize("seed", range(4))
def test_regression_measures_equal_scikit_learn_on_repeated_rows(seed):
    random = np.random.default_rng(seed)
    labels = random.gamma(3, 100, 31 + seed) + 50
    values = labels + random.normal(size=len(labels)).round(1) * 20
    counts = random.integers(0, 4, len(labels))
    y, v = np.repeat(labels, counts), np.repeat(values, counts)
    ours = RegressionScorer(labels, values)(counts[None].astype(float))
    expected = {
        "rmse": sk.root_mean_squared_error(y, v),
        "mae": sk.mean_absolute_error(y, v),
        "median_absolute_error": sk.median_absolute_error(y, v),
        "r2": sk.r2_score(y, v),
        "mape": sk.mean_absolute_percentage_error(y, v),
    }
    assert {name: scores[0] for name, scores in ours.items()} == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("labels", "sensible"), [([1.0, 2.0, 3.0], True), ([-1.0, 2.0, 3.0], False), ([1e-6, 2.0, 3.0], False)]
)
def test_mape_is_given_only_where_percentages_make_sense(labels, sensible):
    scores = point(RegressionScorer(np.array(labels), np.array([1.0, 1.0, 1.0])))
    assert ("mape" in scores) is sensible


def test_a_resample_is_scored_like_the_rows_it_stands_for():
    labels, probabilities, _ = _case(1, 50, 2, ties=True, absent=False)
    decided = probabilities.argmax(axis=1)
    scorer = ClassificationScorer(labels, probabilities, decided, 1)
    weights = next(resample_weights(50, 3, seed=5))
    rows = np.repeat(np.arange(50), weights[2].astype(int))
    alone = ClassificationScorer(labels[rows], probabilities[rows], decided[rows], 1)
    assert {n: s[2] for n, s in scorer(weights).items()} == pytest.approx(point(alone), rel=1e-11)


def test_resamples_draw_as_many_rows_as_there_are_in_any_number_of_blocks():
    blocks = list(resample_weights(100_000, 7, seed=0))
    assert len(blocks) == 4
    assert all((block.sum(axis=1) == 100_000).all() for block in blocks)
    assert sum(len(block) for block in blocks) == 7


def test_draws_are_the_same_for_the_same_seed_and_fewer_for_many_rows():
    labels, probabilities, _ = _case(0, 200, 2, ties=False, absent=False)
    scorer = ClassificationScorer(labels, probabilities, probabilities.argmax(axis=1), 1)
    first, again, other = (bootstrap(scorer, 50, seed)["f1"] for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()
    assert affordable_resamples(scorer, 1000) == 1000
    scorer.rows = 100_000
    assert affordable_resamples(scorer, 1000) == 200


def test_areas_are_not_defined_with_one_class():
    scores = point(ClassificationScorer(np.zeros(4, int), np.full((4, 2), 0.5), np.zeros(4, int), 1))
    assert np.isnan(scores["roc_auc"])
    assert np.isnan(scores["pr_auc"])
    assert scores["accuracy"] == 1.0
    assert scores["recall"] == 0.0
