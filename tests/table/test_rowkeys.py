"""Rows are known again by their content, whatever frame and order they come in."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from tabstudio.table.row_keys import KeySet, row_keys

FRAME = pl.DataFrame(
    {
        "n": [1.0, 2.5, None, -0.0],
        "w": ["a", None, "", "b"],
        "b": [True, False, None, True],
        "d": [date(2026, 1, 1), None, date(1970, 1, 1), date(2026, 1, 2)],
    }
)


def test_keys_are_the_same_on_every_machine():
    assert row_keys(FRAME)[:2].tolist() == [10829550526797689739, 6428245100844441546]


def test_equal_rows_have_equal_keys_whatever_the_order_and_type():
    same = FRAME.select(reversed(FRAME.columns)).with_columns(
        pl.col("n").cast(pl.Float32), pl.col("d").cast(pl.Datetime("ms"))
    )
    assert row_keys(same).tolist() == row_keys(FRAME).tolist()
    whole = pl.DataFrame({"n": [1, 2, 0]})
    assert row_keys(whole).tolist() == row_keys(pl.DataFrame({"n": [1.0, 2.0, -0.0]})).tolist()
    assert row_keys(pl.DataFrame({"n": [float("nan")]})) == row_keys(
        pl.DataFrame({"n": [None]}, schema={"n": pl.Float64})
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": [1], "b": [2]}, {"a": [2], "b": [1]}),
        ({"a": ["x"], "b": [None]}, {"a": [None], "b": ["x"]}),
        ({"a": [""]}, {"a": [None]}),
        ({"a": [0]}, {"a": [None]}),
        ({"a": [1]}, {"b": [1]}),
        ({"a": [datetime(2026, 1, 1)]}, {"a": [datetime(2026, 1, 1, 0, 0, 0, 1)]}),
    ],
)
def test_different_rows_have_different_keys(one, other):
    first, second = (row_keys(pl.DataFrame(rows).cast({pl.Null: pl.String})) for rows in (one, other))
    assert first[0] != second[0]


def test_a_million_values_have_a_million_keys():
    assert len(np.unique(row_keys(pl.DataFrame({"n": np.arange(1_000_000)})))) == 1_000_000


@pytest.mark.parametrize("rows", [0, 1, 7, 5000])
def test_what_was_put_in_is_found_and_little_else(rows):
    keys = row_keys(pl.DataFrame({"n": np.arange(rows + 20_000)}))
    seen = KeySet.of(keys[:rows])
    assert seen.contains(keys[:rows]).all()
    assert seen.contains(keys[rows:]).mean() < 0.015
    assert len(seen.bits) * 8 <= max(64, 20 * rows)
