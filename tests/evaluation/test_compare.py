"""Two predictions of the same rows: which is better, and whether that could be chance."""

from __future__ import annotations

import numpy as np
import pytest

from tabstudio.evaluation.evaluate import evaluate
from tabstudio.evaluation.paired_bootstrap import compare
from tabstudio.table.schema import Target

BINARY = Target("y", "binary", ("no", "yes"), "yes")
VALUE = Target("y", "regression")


def _predictions(rows: int = 400):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, rows)
    logits = 2.0 * labels - 1 + random.normal(size=rows)
    good, bad = (1 / (1 + np.exp(-z)) for z in (2 * logits, 2 * logits + 3 * random.normal(size=rows)))
    return labels, np.stack([1 - good, good], axis=1), np.stack([1 - bad, bad], axis=1)


def test_the_difference_is_that_of_two_evaluations():
    labels, good, bad = _predictions()
    found = compare(BINARY, labels, good, bad, thresholds=(0.4, 0.5), resamples=50)
    one = evaluate(BINARY, labels, good, threshold=0.4, resamples=0).values()
    two = evaluate(BINARY, labels, bad, resamples=0).values()
    assert {name: d.value for name, d in found.items()} == pytest.approx({n: one[n] - two[n] for n in one})


def test_the_better_one_is_named_whichever_way_its_measure_points():
    labels, good, bad = _predictions()
    found = compare(BINARY, labels, good, bad)
    assert found["roc_auc"].better == found["log_loss"].better == "first"
    assert compare(BINARY, labels, bad, good)["log_loss"].better == "second"
    assert found["roc_auc"].low > 0 > found["log_loss"].high


def test_equal_predictions_do_not_differ():
    labels, good, _ = _predictions()
    for difference in compare(BINARY, labels, good, good, resamples=20).values():
        assert (difference.low, difference.value, difference.high) == (0.0, 0.0, 0.0)
        assert difference.better == "neither"


def test_pairing_sees_what_two_separate_intervals_cannot():
    random = np.random.default_rng(2)
    labels = random.normal(size=200) * 10
    noise = random.standard_t(3, size=200) * 5
    found = compare(VALUE, labels, labels + noise, labels + 1.1 * noise)
    apart = [evaluate(VALUE, labels, labels + f * noise)["mae"] for f in (1, 1.1)]
    assert found["mae"].better == "first"
    assert apart[0].high > apart[1].low


def test_without_resamples_nobody_is_better():
    labels, good, bad = _predictions()
    found = compare(BINARY, labels, good, bad, resamples=0)
    assert np.isnan(found["roc_auc"].low)
    assert found["roc_auc"].better == "neither"
