"""Rows encoded by lookups equal rows encoded through a frame, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabstudio.model.code_columns import CodedColumn
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.row_encoder import RowEncoder
from tabstudio.model.predictor import Model
from tabstudio.model.profile import profile
from tabstudio.model.text_topics import TextColumn
from tabstudio.options import ReadConfig
from tabstudio.serving.contract import Contract
from tabstudio.table import conform, read

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ROW = st.fixed_dictionaries(
    {
        "age": st.none() | st.integers(-(2**60), 2**60) | FINITE,
        "weight: kg": st.none() | FINITE,
        "smoker": st.none() | st.booleans(),
        "city": st.none() | st.sampled_from(["Rome", " Oslo ", "Lima", "", "?", "Mars", "NA"]),
        "ward": st.none() | st.sampled_from(["1", "2", "x", "7"]),
        "seen": st.none() | st.dates().map(lambda day: day.strftime("%d.%m.") + f"{day.year:04d}"),
        "at": st.none() | st.sampled_from(["2020-03-01 00:30", "1999-12-31 23:59", ""]),
        "note": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30),
    }
)


@pytest.mark.parametrize("scaling", ["robust", "minmax", "standard"])
def test_numbers_and_codes_are_those_of_the_encoder(
    make_model: Callable[..., Model], frame: pl.DataFrame, scaling: str
) -> None:
    model = make_model(scaling=scaling)
    contract = Contract(model.schema, model.encoder)
    quick = RowEncoder(model.schema, model.encoder, model.profile)

    @settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(ROW, min_size=1, max_size=4))
    def check(rows: list[dict[str, Any]]) -> None:
        taken = contract.take(rows, 10)
        numbers, codes, warnings = quick.encode(taken.raw, taken.parsed)
        for place, row in enumerate(rows):  # one by one: mixed columns of a frame are another matter
            expected = model.encoder.encode(conform([row], model.schema))
            np.testing.assert_array_equal(numbers[place], expected.numbers[0])
            np.testing.assert_array_equal(codes[place], expected.codes[0])
            told = {(w["column"], w["code"]) for w in warnings.get(place, [])}
            assert {column for column, code in told if code == "unseen_category"} == set(expected.unseen)
            assert set(expected.gaps) <= {column for column, code in told if code == "imputed"}

    check()


def test_a_row_does_not_depend_on_the_rows_beside_it(model: Model, rows: list[dict[str, Any]]) -> None:
    quick = RowEncoder(model.schema, model.encoder, model.profile)
    contract = Contract(model.schema, model.encoder)
    wild = {**rows[0], "age": 1e300, "weight: kg": None}
    taken = contract.take([*rows[:50], wild], 100)
    numbers, codes, _ = quick.encode(taken.raw, taken.parsed)
    for place in (0, 11, 49, 50):
        alone = contract.take([[*rows[:50], wild][place]], 1)
        own_numbers, own_codes, _ = quick.encode(alone.raw, alone.parsed)
        np.testing.assert_array_equal(numbers[place], own_numbers[0])
        np.testing.assert_array_equal(codes[place], own_codes[0])


def test_numbers_that_are_codes_enter_by_code_as_well() -> None:
    rng = np.random.default_rng(0)
    codes = rng.choice(np.arange(0, 200, 10), 4000)
    ill = np.where(rng.random(4000) < np.where(codes % 20 == 0, 0.95, 0.05), "yes", "no")
    table = read(pl.DataFrame({"zip": codes, "age": rng.normal(size=4000), "ill": ill}), target="ill")
    encoder = Encoder.fit(table.frame, table.schema, "robust", table.labels())
    assert any(isinstance(coder, CodedColumn) for coder in encoder.coders)
    quick = RowEncoder(table.schema, encoder, profile(table.frame, table.schema))
    contract = Contract(table.schema, encoder)
    rows = [{"zip": value, "age": 0.5} for value in (0, 10.0, 190, 15, 1e300, None)]
    taken = contract.take(rows, 10)
    _, found, warnings = quick.encode(taken.raw, taken.parsed)
    np.testing.assert_array_equal(found, encoder.encode(conform(rows, table.schema)).codes)
    assert [w["code"] for w in warnings[5]] == ["imputed"]


def test_what_is_odd_about_a_row_is_told(model: Model, rows: list[dict[str, Any]]) -> None:
    quick = RowEncoder(model.schema, model.encoder, model.profile)
    contract = Contract(model.schema, model.encoder)
    odd = {**rows[1], "age": 200, "city": "Mars", "smoker": None}
    taken = contract.take([rows[1], odd], 10)
    _, _, warnings = quick.encode(taken.raw, taken.parsed)
    assert list(warnings) == [1]
    assert sorted((w["column"], w["code"]) for w in warnings[1]) == [
        ("age", "out_of_range"),
        ("city", "unseen_category"),
        ("smoker", "imputed"),
    ]


def test_categories_are_read_in_pieces_as_the_encoder_reads_them() -> None:
    rng = np.random.default_rng(0)
    ill = rng.random(300) < 0.5
    cabins = [f"{'CD'[int(one)]}{i}" if i % 7 else None for i, one in enumerate(ill)]
    frame = pl.DataFrame({"age": rng.normal(size=300), "cabin": cabins, "ill": np.where(ill, "yes", "no")})
    table = read(frame, target="ill", config=ReadConfig(keep=("cabin",)))
    encoder = Encoder.fit(table.frame, table.schema, "robust", table.labels())
    assert any(isinstance(writer, TextColumn) and writer.pieces for writer in encoder.writers)
    contract = Contract(table.schema, encoder)
    rows = [{"age": 1.0, "cabin": cabin} for cabin in (cabins[1], f" {cabins[1]} ", "d 9999", "", None, "Z")]
    taken = contract.take(rows, 10)
    numbers, codes, warnings = RowEncoder(table.schema, encoder, {}).encode(taken.raw, taken.parsed)
    expected = encoder.encode(conform(rows, table.schema))
    np.testing.assert_array_equal(numbers, expected.numbers)
    np.testing.assert_array_equal(codes, expected.codes)
    assert {row: [w["code"] for w in told] for row, told in warnings.items()} == {
        2: ["unseen_category"],
        5: ["unseen_category"],
    }


def test_heavy_tails_are_scaled_as_the_encoder_scales_them() -> None:
    rng = np.random.default_rng(0)
    columns = {"income": np.exp(rng.normal(0, 4, 500)), "age": rng.normal(size=500)}
    frame = pl.DataFrame({**columns, "ill": rng.choice(["yes", "no"], 500)})
    table = read(frame, target="ill")
    encoder = Encoder.fit(table.frame, table.schema, "robust")
    assert [column.scale.log for column in encoder.writers] == [True, False]
    rows = [
        *table.frame.drop("ill").to_dicts(),
        {"income": 1e300, "age": 1e300},
        {"income": None, "age": 0.0},
    ]
    taken = Contract(table.schema, encoder).take(rows, 1000)
    numbers, _, _ = RowEncoder(table.schema, encoder, {}).encode(taken.raw, taken.parsed)
    np.testing.assert_array_equal(numbers, encoder.encode(conform(rows, table.schema)).numbers)
