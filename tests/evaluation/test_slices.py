"""Slices: every row in one level, each level measured like any other set of rows."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from tabstudio.evaluation import evaluate
from tabstudio.evaluation.slices import MOST_LEVELS, NO_VALUE, OTHERS, Slice, evaluate_slices, levels
from tabstudio.table.schema import Target

COLUMNS = {
    "words": pl.Series("c", ["b", "a", None, "b", "b"]),
    "truth": pl.Series("c", [True, False, None, True]),
    "few numbers": pl.Series("c", [3, 1, 2, 1, None]),
    "many numbers": pl.Series("c", [*range(100), None]),
    "tied numbers": pl.Series("c", [0.0] * 80 + list(np.arange(20.0))),
    "dates": pl.Series("c", [date(2026, 1, 1) + timedelta(days=n) for n in range(60)]),
    "many words": pl.Series("c", [f"w{n % 40}" for n in range(100)]),
    "nothing": pl.Series("c", [None, None], dtype=pl.String),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_every_row_has_one_level(name):
    found = dict(levels(COLUMNS[name]))
    assert np.stack(list(found.values())).sum(axis=0).tolist() == [1] * len(COLUMNS[name])
    assert len(found) <= MOST_LEVELS + 1
    assert all(rows.any() for rows in found.values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("words", ["b", "a", NO_VALUE]),
        ("truth", ["yes", "no", NO_VALUE]),
        ("few numbers", ["1", "2", "3", NO_VALUE]),
        ("many numbers", ["below 25", "25 to below 50", "50 to below 75", "from 75", NO_VALUE]),
        ("nothing", [NO_VALUE]),
    ],
)
def test_levels_are_named_as_people_say_them(name, expected):
    assert [level for level, _ in levels(COLUMNS[name])] == expected


def test_rare_levels_are_measured_together():
    assert [level for level, _ in levels(COLUMNS["many words"])][-1] == OTHERS


def test_a_slice_is_measured_like_its_rows_alone():
    random = np.random.default_rng(0)
    target = Target("t", "binary", ("no", "yes"), "yes")
    labels, second = random.integers(0, 2, 300), random.random(300)
    prediction = np.column_stack([1 - second, second])
    frame = pl.DataFrame({"sex": random.choice(["f", "m"], 300)})
    found = evaluate_slices(["sex"], frame, target, labels, prediction, threshold=0.4, resamples=50)
    assert {part.level for part in found} == {"f", "m"}
    for part in found:
        rows = (frame["sex"] == part.level).to_numpy()
        alone = evaluate(target, labels[rows], prediction[rows], threshold=0.4, resamples=50)
        assert part.metrics == alone.metrics
        assert part.rows == rows.sum()
        assert Slice.from_json(part.to_json()) == part


def test_a_level_of_one_row_has_no_interval():
    frame = pl.DataFrame({"c": ["a", "b", "b"]})
    values = np.array([1.0, 2.0, 4.0])
    one = evaluate_slices(["c"], frame, Target("t", "regression"), values, values + 1)[1]
    assert (one.level, one.metrics["mae"].value) == ("a", 1.0)
    assert np.isnan(one.metrics["mae"].low)
