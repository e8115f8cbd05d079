"""Thresholds: the best where rows are many, the sensible one where they are few."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tabstudio.errors import DataError
from tabstudio.evaluation.decision_threshold import choose_threshold
from tabstudio.options import EvaluationConfig

F1 = EvaluationConfig()


def _calibrated(rows: int, seed: int = 0, sharpness: float = 3.0):
    random = np.random.default_rng(seed)
    probability = 1 / (1 + np.exp(-sharpness * random.normal(size=rows)))
    return random.random(rows) < probability, probability


def test_what_is_expected_is_what_the_threshold_gives():
    truth, probability = _calibrated(300)
    found = choose_threshold(truth, probability, F1)
    assert found.expected == pytest.approx(f1_score(truth, probability >= found.value))
    cuts = np.unique(probability)
    assert found.best == pytest.approx(max(f1_score(truth, probability >= cut) for cut in cuts))
    assert found.low <= found.value <= found.high
    assert found.rule == "f1"


def test_calibrated_probabilities_are_cut_at_half_the_best_f1():
    found = choose_threshold(*_calibrated(400), F1)
    assert found.value == pytest.approx(found.best / 2)


def test_many_rows_overrule_the_theory_where_probabilities_are_not_calibrated():
    truth, probability = _calibrated(50_000)
    shrunk = probability / 4
    found = choose_threshold(truth, shrunk, F1)
    assert found.value == pytest.approx(found.best / 8, abs=0.03)
    assert found.expected > f1_score(truth, shrunk >= found.best / 2) + 0.2


def test_a_single_row_does_not_move_the_threshold():
    truth, probability = _calibrated(150)
    values = [choose_threshold(np.delete(truth, i), np.delete(probability, i), F1).value for i in range(150)]
    assert np.ptp(values) < 0.05


def test_costs_move_the_threshold_to_where_they_say():
    truth, probability = _calibrated(5000)
    dear_miss = choose_threshold(truth, probability, EvaluationConfig(cost_false_negative=9.0))
    dear_alarm = choose_threshold(truth, probability, EvaluationConfig(cost_false_positive=9.0))
    assert dear_miss.value == pytest.approx(0.1, abs=0.03)
    assert dear_alarm.value == pytest.approx(0.9, abs=0.03)
    missed = (truth & (probability < dear_miss.value)).sum()
    alarms = (~truth & (probability >= dear_miss.value)).sum()
    assert dear_miss.expected == pytest.approx((9 * missed + alarms) / 5000)
    assert dear_miss.rule == "costs"


def test_a_value_lies_between_probabilities_so_that_equal_ones_are_decided_alike():
    truth = np.array([0, 0, 0, 1, 1, 1] * 200, dtype=bool)
    probability = np.where(truth, 0.05, 0.01)
    found = choose_threshold(truth, probability, F1)
    assert found.value == pytest.approx(0.03)
    assert found.expected == 1.0


def test_rows_without_a_probability_are_left_out():
    truth, probability = _calibrated(200)
    holes = probability.copy()
    holes[:50] = np.nan
    assert choose_threshold(truth, holes, F1) == choose_threshold(truth[50:], probability[50:], F1)


@pytest.mark.parametrize("truth", [np.zeros(5, bool), np.ones(5, bool), np.zeros(0, bool)])
def test_one_class_or_no_rows_leave_one_half(truth):
    found = choose_threshold(truth, np.full(len(truth), 0.3), F1)
    assert (found.value, found.rule) == (0.5, "default")


def test_shapes_must_fit():
    with pytest.raises(DataError, match="one probability per row"):
        choose_threshold([True, False], [[0.1, 0.2]], F1)
