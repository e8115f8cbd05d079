"""Importance finds the columns that a model relies on, at a bounded cost."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tabstudio.errors import DataError
from tabstudio.evaluation import Importance, importance
from tabstudio.table.schema import Target

BINARY = Target("y", "binary", ("no", "yes"), "yes")
VALUE = Target("y", "regression")


def _frame(rows: int = 400):
    random = np.random.default_rng(0)
    frame = pl.DataFrame({name: random.normal(size=rows) for name in ("strong", "weak", "idle")})
    return frame, (frame["strong"] + 0.3 * frame["weak"]).to_numpy()


def _value(frame: pl.DataFrame, places: np.ndarray) -> np.ndarray:
    return (frame["strong"] + 0.3 * frame["weak"]).to_numpy()


def _probabilities(frame: pl.DataFrame, places: np.ndarray) -> np.ndarray:
    positive = 1 / (1 + np.exp(-3 * _value(frame, places)))
    return np.stack([1 - positive, positive], axis=1)


@pytest.mark.parametrize(("target", "predict"), [(VALUE, _value), (BINARY, _probabilities)])
def test_columns_are_ordered_by_how_much_the_model_needs_them(target, predict):
    frame, value = _frame()
    labels = value if target is VALUE else (value > 0).astype(int)
    found = importance(["idle", "weak", "strong"], frame, labels, predict, target)
    assert [column.column for column in found.columns] == ["strong", "weak", "idle"]
    assert found.columns[0].value > 3 * found.columns[1].value > 0
    assert found.columns[2].value == pytest.approx(0.0, abs=1e-12)
    assert "strong" in found.text()
    assert Importance.from_json(found.to_json()) == found


def test_the_increase_is_that_of_shuffling_one_column_by_hand():
    frame, value = _frame(100)
    found = importance(["strong"], frame, value, _value, VALUE, repeats=2, seed=7)
    generator = np.random.default_rng(7)
    generator.choice(100, 100, replace=False)
    errors = []
    for _ in range(2):
        shuffled = frame.with_columns(frame["strong"].gather(generator.permutation(100)))
        errors.append(np.sqrt(np.mean((_value(shuffled, np.arange(100)) - value) ** 2)))
    assert found.base == 0.0
    assert found.columns[0].value == pytest.approx(np.mean(errors))
    assert found.columns[0].deviation == pytest.approx(np.std(errors))


def test_the_model_is_told_which_row_each_copy_was():
    frame, value = _frame(300)

    def predict(copies: pl.DataFrame, places: np.ndarray) -> np.ndarray:
        assert (frame["idle"].to_numpy()[places] == copies["idle"].to_numpy()).all()
        return value[places]

    found = importance(["strong", "weak"], frame, value, predict, VALUE)
    assert [column.value for column in found.columns] == [0.0, 0.0]


def test_the_rows_predicted_stay_within_the_budget():
    seen = []
    rows = np.random.default_rng(0).normal(size=(3000, 120))
    frame = pl.DataFrame({f"c{i}": rows[:, i] for i in range(120)})

    def predict(copies: pl.DataFrame, places: np.ndarray) -> np.ndarray:
        seen.append(len(copies))
        return copies["c0"].to_numpy()

    found = importance(frame.columns, frame, rows[:, 0], predict, VALUE, repeats=2, budget=1000)
    assert found.rows == 100
    assert sum(seen) == 100 + 100 * 2 * 100
    assert max(seen) <= 8192
    assert found.notes == ("only the first 100 of 120 columns were measured",)


def test_a_frame_without_columns_has_no_importance():
    frame, value = _frame(10)
    assert importance([], frame, value, _value, VALUE).columns == ()


def test_predictions_that_cannot_be_measured_are_refused():
    frame, value = _frame(10)
    with pytest.raises(DataError, match="not finite"):
        importance(["weak"], frame, value, lambda *given: np.full(len(given[0]), np.nan), VALUE)
