"""The temperature is the one with the least log loss."""

from __future__ import annotations

import numpy as np
import pytest

from tabstudio.errors import DataError
from tabstudio.evaluation.calibrate import HIGHEST, LOWEST, fit_temperature
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
