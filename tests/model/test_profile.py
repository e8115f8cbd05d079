"""The profile of the training rows."""

from __future__ import annotations

import json
from datetime import date

import polars as pl
import pytest

from tabstudio.model.profile import TOP, profile
from tabstudio.table.schema import Column, Schema


def facts(values: list, kind: str) -> dict:
    written = profile(pl.DataFrame({"x": values}), Schema((Column("x", kind),)))
    assert written["rows"] == len(values)
    return json.loads(json.dumps(written["columns"]["x"], allow_nan=False))


def test_numbers_have_quantiles_and_bins_of_equal_share() -> None:
    column = facts([*map(float, range(101)), None, float("inf")], "number")
    assert (column["missing"], column["not_finite"]) == (1, 1)
    assert column["quantiles"] == pytest.approx([5.0 * i for i in range(21)])
    assert column["edges"] == pytest.approx([10.0 * i for i in range(11)])
    assert sum(column["histogram"]) == 101
    assert set(column["histogram"]) <= {9, 10, 11}


@pytest.mark.parametrize(
    ("values", "histogram"), [([7, 7, 7], [3]), ([0] * 50 + [1, 2], [50, 2]), ([0, 1], [1, 1])]
)
def test_tied_numbers_fall_into_fewer_bins(values: list[int], histogram: list[int]) -> None:
    column = facts(values, "number")
    assert sum(column["histogram"]) == len(values)
    assert len(column["histogram"]) == max(1, len(column["edges"]) - 1)
    if histogram == [3]:
        assert column["histogram"] == histogram


def test_categories_keep_the_commonest_levels_and_count_the_others() -> None:
    column = facts(["often", "often", None, *(f"level {i:03}" for i in range(TOP + 9))], "category")
    assert (column["missing"], column["unique"], column["other"]) == (1, TOP + 10, 10)
    assert column["levels"]["often"] == 2
    assert len(column["levels"]) == TOP


def test_dates_are_days_and_texts_are_numbers_of_words() -> None:
    assert facts([date(1970, 1, 11), date(1970, 1, 1)], "date")["mean"] == 5
    assert facts(["one two", "three", None], "text")["quantiles"][-1] == 2


def test_a_column_without_values_has_counts_alone() -> None:
    frame = pl.DataFrame({"x": pl.Series([None, None], dtype=pl.Float64)})
    assert profile(frame, Schema((Column("x", "number"),)))["columns"]["x"] == {
        "kind": "number",
        "missing": 2,
        "not_finite": 0,
    }
