"""The temperature is the one with the least log loss, and the curve puts right what it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from tabstudio.errors import DataError
from tabstudio.evaluation.calibration import HIGHEST, LOWEST, fit_curve, fit_temperature
from tabstudio.table.schema import Target

BINARY = Target("y", "binary", ("no", "yes"), "yes")
THREE = Target("y", "multiclass", ("a", "b", "c"))


def _binary(rows: int, sureness: float):
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(rows, 1))
    labels = (random.random(rows) < 1 / (1 + np.exp(-logits[:, 0]))).astype(int)
    return labels, logits * sureness


def _log_loss(labels, logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return (np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize("sureness", [0.3, 1.0, 4.0])
def test_outputs_that_are_too_sure_or_too_shy_are_put_right(sureness):
    assert fit_temperature(*_binary(20_000, sureness), BINARY) == pytest.approx(sureness, rel=0.05)


def test_no_other_temperature_has_a_lower_log_loss():
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 5000)
    logits = 3 * random.normal(size=(5000, 3)) + 4 * np.eye(3)[labels]
    found = fit_temperature(labels, logits, THREE)
    losses = [_log_loss(labels, logits / t) for t in (found * 0.98, found, found * 1.02)]
    assert losses[1] == min(losses)


def test_two_columns_give_the_same_as_one():
    labels, logits = _binary(500, 2.0)
    two = Target("y", "multiclass", ("no", "yes"))
    both = np.concatenate((np.zeros_like(logits), logits), axis=1)
    assert fit_temperature(labels, both, two) == pytest.approx(fit_temperature(labels, logits, BINARY))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_rows_that_are_all_right_or_all_wrong_stay_within_bounds(scale):
    labels = np.array([0, 1] * 20)
    right = scale * (2.0 * labels[:, None] - 1)
    assert LOWEST <= fit_temperature(labels, right, BINARY) <= HIGHEST
    assert LOWEST <= fit_temperature(labels, -right, BINARY) <= HIGHEST


def test_rows_that_no_member_held_out_are_left_out():
    labels, logits = _binary(300, 2.0)
    holes = logits.copy()
    holes[:100] = np.nan
    assert fit_temperature(labels, holes, BINARY) == fit_temperature(labels[100:], logits[100:], BINARY)
    assert fit_temperature(labels, np.full((300, 1), np.nan), BINARY) == 1.0


def test_a_regression_has_no_temperature():
    assert fit_temperature([1.0, 2.0], [[1.0], [2.0]], Target("y", "regression")) == 1.0


def test_shapes_must_fit():
    with pytest.raises(DataError, match=r"shape \(2, 1\) were expected"):
        fit_temperature([0, 1], [0.1, 0.2], BINARY)


def _bent(rows: int, seed: int = 0):
    """Labels whose log-odds are a bent function of the log-odds told, and both."""
    random = np.random.default_rng(seed)
    told = 2.5 * random.normal(size=rows)
    truth = np.where(told < 0, 0.3 * told, 1.5 * told) - 0.5
    return (random.random(rows) < 1 / (1 + np.exp(-truth))).astype(int), told, truth


def _probability(odds):
    return 1 / (1 + np.exp(-odds))


def test_the_curve_finds_a_bend_that_no_temperature_can():
    labels, told, _ = _bent(8000)
    _, fresh, truth = _bent(4000, seed=1)
    curve = fit_curve(labels, told)
    off = np.abs(curve.apply(_probability(fresh)) - _probability(truth)).mean()
    temperature = fit_temperature(labels, told[:, None], BINARY)
    assert off < 0.02
    assert off < 0.3 * np.abs(_probability(fresh / temperature) - _probability(truth)).mean()


@pytest.mark.parametrize("rows", [1, 2, 7, 200])
def test_the_curve_of_any_rows_keeps_their_order(rows):
    labels, told, _ = _bent(rows)
    grid = _probability(np.linspace(-20, 20, 2001))
    assert (np.diff(fit_curve(labels, told).apply(grid)) > 0).all()


def test_what_is_right_already_stays_nearly_as_it_is():
    labels, logits = _binary(4000, 1.0)
    grid = _probability(np.linspace(-4, 4, 41))
    assert np.abs(fit_curve(labels, logits[:, 0]).apply(grid) - grid).max() < 0.03


@pytest.mark.parametrize("label", [0, 1])
def test_rows_of_one_class_or_one_value_give_a_curve(label):
    curve = fit_curve(np.full(50, label), np.zeros(50))
    second = float(curve.apply(np.array([0.5]))[0])
    assert 0 < second < 1
    assert (second > 0.9) == bool(label)


def test_extreme_log_odds_are_bounded_and_no_rows_give_no_curve():
    curve = fit_curve(np.array([0, 1] * 50), np.array([-1e300, 1e300] * 50))
    ends = curve.apply(np.array([0.0, 1.0]))
    assert 0 < ends[0] < 1e-6
    assert 1 - 1e-6 < ends[1] < 1
    assert fit_curve(np.array([]), np.array([])) is None
