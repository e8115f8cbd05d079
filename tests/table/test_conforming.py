"""New rows are read as the table was, and every fault is named at once."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tabstudio.errors import InputError
from tabstudio.options import ReadConfig
from tabstudio.table import Schema, conform, read
from tabstudio.table.schema import Column

RAW = {
    "price": ["1,5", "2,25", "none", "3,0"],
    "rooms": ["1", "2", "3", ""],
    "colour": ["red", "?", "blue", "red"],
    "built": ["13.10.2014", "14.10.2014", "", "15.10.2014"],
    "sold": ["TRUE", "false", "", "True"],
    "label": ["a", "b", "a", "b"],
}
EXPECTED = {
    "price": [1.5, 2.25, None, 3.0],
    "rooms": [1, 2, 3, None],
    "colour": ["red", None, "blue", "red"],
    "built": [dt.date(2014, 10, 13), dt.date(2014, 10, 14), None, dt.date(2014, 10, 15)],
    "sold": [True, False, None, True],
}


@pytest.fixture
def schema() -> Schema:
    schema = read(RAW, target="label").schema
    return Schema.from_json(schema.to_json())


@pytest.mark.parametrize(
    "form", ["columns", "rows", "polars", "pandas", "object", "arrow", "reordered", "spaced names", "array"]
)
def test_raw_rows_are_read_as_the_file_was(form, schema):
    features = {name: RAW[name] for name in EXPECTED}
    forms = {
        "columns": lambda: RAW,
        "rows": lambda: pl.DataFrame(RAW).to_dicts(),
        "polars": lambda: pl.DataFrame(RAW),
        "pandas": lambda: pd.DataFrame(RAW),
        "object": lambda: pd.DataFrame(RAW, dtype=object),
        "arrow": lambda: pl.DataFrame(RAW).to_arrow(),
        "reordered": lambda: dict(reversed(RAW.items())) | {"more": [1, 2, 3, 4]},
        "spaced names": lambda: {f" {name} ": values for name, values in RAW.items()},
        "array": lambda: np.array(list(features.values()), dtype=object).T,
    }
    frame = conform(forms[form](), schema)
    assert frame.to_dict(as_series=False) == EXPECTED
    assert frame.schema == {
        "price": pl.Float64,
        "rooms": pl.Int64,
        "colour": pl.String,
        "built": pl.Date,
        "sold": pl.Boolean,
    }


@pytest.mark.parametrize("form", ["polars", "pandas", "nullable", "rows"])
def test_typed_rows_are_taken_as_they_are(form, schema):
    frame = pl.DataFrame(EXPECTED)
    forms = {
        "polars": lambda: frame,
        "pandas": frame.to_pandas,
        "nullable": lambda: frame.to_pandas().convert_dtypes(),
        "rows": frame.to_dicts,
    }
    assert conform(forms[form](), schema).to_dict(as_series=False) == EXPECTED


def test_one_row_as_a_mapping(schema):
    row = {"price": 2, "rooms": 3, "colour": "violet", "built": "13.10.2014", "sold": True}
    assert conform(row, schema).rows() == [(2.0, 3, "violet", dt.date(2014, 10, 13), True)]


def test_pandas_categories_and_nullable_integers(schema):
    frame = pd.DataFrame(
        {
            "price": pd.array([1, None], dtype="Int8"),
            "rooms": [1.0, np.nan],
            "colour": pd.Categorical(["red", None]),
            "built": pd.to_datetime(["2014-10-13", None]),
            "sold": pd.array([True, None], dtype="boolean"),
        }
    )
    assert conform(frame, schema).rows() == [(1.0, 1, "red", dt.date(2014, 10, 13), True), (None,) * 5]


def test_missing_columns_and_wrong_values_are_one_error(schema):
    rows = {"rooms": ["1", "two", "3"], "colour": ["red"] * 3, "built": ["x", "13.10.2014", "y"]}
    with pytest.raises(InputError) as caught:
        conform(rows, schema)
    message = str(caught.value)
    assert "2 columns are missing: 'price', 'sold'" in message
    assert "column 'rooms': a number was expected, got 'two' in row 2" in message
    assert "column 'built': a date written %d.%m.%Y was expected, got 'x' in row 1, 'y' in row 3" in message


def test_many_wrong_values_are_counted(schema):
    rows = dict(EXPECTED) | {"rooms": ["x"] * 4}
    rows = {name: values * 10 for name, values in rows.items()}
    with pytest.raises(InputError, match="and 35 more"):
        conform(rows, schema)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("price", [dt.date(2020, 1, 1)] * 4),
        ("built", [1.5] * 4),
        ("sold", [2, 0, 1, 1]),
        ("colour", [[1], [2], [3], [4]]),
    ],
)
def test_other_types_are_refused(column, values, schema):
    with pytest.raises(InputError, match=f"column '{column}'"):
        conform(EXPECTED | {column: values}, schema)


def test_arrays_need_the_width_of_the_features(schema):
    with pytest.raises(InputError, match=r"shape \(rows, 5\) was expected, got \(3, 4\)"):
        conform(np.zeros((3, 4)), schema)


@pytest.mark.parametrize("data", [7, "rows", [], np.zeros(3)])
def test_what_is_no_table_is_refused(data, schema):
    with pytest.raises(InputError):
        conform(data, schema)


def test_fractions_in_a_column_of_integers_are_kept(schema):
    assert conform(EXPECTED | {"rooms": [1.5, 2.0, 3.0, 4.0]}, schema)["rooms"].to_list() == [
        1.5,
        2.0,
        3.0,
        4.0,
    ]


def test_codes_read_the_same_from_every_source():
    config = ReadConfig(kinds={"zip": "category"})
    schema = read({"zip": [10001, 94103, None], "y": [1, 2, 3]}, config=config).schema
    for values in (["10001", "94103"], [10001, 94103], [10001.0, 94103.0]):
        assert conform({"zip": values, "y": [1, 2]}, schema)["zip"].to_list() == ["10001", "94103"]


def test_missing_words_that_were_told_are_used_again():
    schema = read({"a": ["1", "-9"], "b": ["x", "NA"]}, config=ReadConfig(missing=("-9",))).schema
    assert conform({"a": ["-9", "2"], "b": ["NA", "y"]}, schema).rows() == [(None, "NA"), (2, "y")]


def test_no_rows_of_the_right_columns_give_no_rows(schema):
    empty = pl.DataFrame(schema=dict.fromkeys(EXPECTED, pl.String))
    assert conform(empty, schema).shape == (0, 5)


@pytest.mark.parametrize("value", [1e300, -1e300, 9.3e18])
def test_a_float_beyond_the_integers_is_not_lost(value):
    schema = Schema((Column("rooms", "number", dtype="Int64"),))
    assert conform([{"rooms": value}], schema)["rooms"].to_list() == [value]


def test_dates_of_a_typed_table_are_read_from_text():
    schema = Schema((Column("built", "date", dtype="Date"),))
    assert conform([{"built": "2014-10-13"}], schema)["built"].to_list() == [dt.date(2014, 10, 13)]
