"""The encoder: equal to scikit-learn's scalers where they do the same, and sound where they stop."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from tabstudio.errors import DataError
from tabstudio.model.column_encoders import RARE, NumberColumn, Scale
from tabstudio.model.encoder import BLOCK, Encoder
from tabstudio.model.inference.encoding import FIRST, MISSING, UNSEEN
from tabstudio.model.text_topics import TEXTS_PER_TOPIC, TextColumn
from tabstudio.table.schema import Column, Schema


def schema_of(**kinds: str) -> Schema:
    return Schema(tuple(Column(name, kind) for name, kind in kinds.items()))


def numbers(
    values: list, scaling: str = "robust", kind: str = "number", rows: list | None = None
) -> np.ndarray:
    encoder = Encoder.fit(pl.DataFrame({"x": values}), schema_of(x=kind), scaling)
    frame = pl.DataFrame({"x": values if rows is None else rows}, schema={"x": pl.Series(values).dtype})
    return encoder.encode(frame).numbers


@pytest.fixture
def matrix() -> np.ndarray:
    rng = np.random.default_rng(3)
    scales = 10.0 ** np.arange(-4, 6)
    values = rng.normal(size=(700, 10)) * scales + scales * rng.normal(size=10) * 5
    values[:, 4] = 7.25
    return values


def sklearn_scaler(scaling: str):
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    return {"minmax": MinMaxScaler, "standard": StandardScaler, "robust": RobustScaler}[scaling]()


@pytest.mark.parametrize("scaling", ["minmax", "standard", "robust"])
def test_scaling_equals_scikit_learns(matrix: np.ndarray, scaling: str) -> None:
    train, test = matrix[:500], matrix[500:]
    names = [f"x{i}" for i in range(10)]
    encoder = Encoder.fit(
        pl.DataFrame(train, schema=names), schema_of(**dict.fromkeys(names, "number")), scaling
    )
    expected = sklearn_scaler(scaling).fit(train).transform(test)
    ours = encoder.encode(pl.DataFrame(test, schema=names)).numbers
    if scaling == "robust":
        expected = expected / np.sqrt(1 + (expected / 3) ** 2)
    if scaling == "minmax":
        np.testing.assert_array_equal(ours, expected.astype(np.float32))
    else:
        np.testing.assert_allclose(ours, expected, rtol=2e-6, atol=1e-6)


def test_minmax_of_the_cancer_table_has_the_same_bits() -> None:
    from sklearn.datasets import load_breast_cancer

    values = load_breast_cancer().data
    names = [f"x{i}" for i in range(values.shape[1])]
    encoder = Encoder.fit(
        pl.DataFrame(values[:426], schema=names), schema_of(**dict.fromkeys(names, "number")), "minmax"
    )
    expected = sklearn_scaler("minmax").fit(values[:426]).transform(values).astype(np.float32)
    np.testing.assert_array_equal(encoder.encode(pl.DataFrame(values, schema=names)).numbers, expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0] * 9 + [8.0], 2.0 / np.sqrt(1 + 4 / 9)), ([5.0] * 10, 0.0)],
    ids=["quartiles-equal", "one-value"],
)
def test_robust_scaling_falls_back_to_the_range(values: list[float], expected: float) -> None:
    assert numbers(values)[-1, 0] == pytest.approx(expected)


def test_a_heavy_tail_is_told_apart_and_an_outlier_is_not_followed() -> None:
    """Populations and incomes: the largest are not all alike. A few wild values are faults."""
    skewed = np.exp(np.random.default_rng(0).normal(0, 4, 1000))
    largest = numbers(skewed.tolist(), rows=[1e3, 1e5, 1e7])[:, 0]
    low, middle, high = np.quantile(skewed, (0.25, 0.5, 0.75))
    expected = np.arcsinh((np.array([1e3, 1e5, 1e7]) - middle) / (high - low))
    np.testing.assert_allclose(largest, expected, rtol=1e-6)
    assert np.diff(largest).min() > 4
    assert not NumberColumn.fit(pl.Series("x", skewed), "minmax").scale.log
    wild = [*np.linspace(0, 1, 997).tolist(), 1e6, 1e7, 1e8]
    assert numbers(wild)[:, 0].max() < 3.001


def test_missing_number_is_the_median_with_a_flag_only_where_training_had_gaps() -> None:
    encoder = Encoder.fit(
        pl.DataFrame({"gap": [1.0, None, 3.0, 8.0], "full": [1.0, 2.0, 3.0, 8.0]}),
        schema_of(gap="number", full="number"),
        "minmax",
    )
    inputs = encoder.encode(
        pl.DataFrame(
            {"gap": [None, 8.0], "full": [None, 8.0]}, schema={"gap": pl.Float64, "full": pl.Float64}
        )
    )
    assert encoder.names == ("gap", "gap is missing", "full")
    np.testing.assert_allclose(inputs.numbers, [[2 / 7, 1, 1.5 / 7], [1, 0, 1]], rtol=1e-6)
    assert inputs.gaps == {"full": 1}


@pytest.mark.parametrize("scaling", ["robust", "minmax", "standard"])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_count_as_missing_and_are_said(scaling: str, odd: float) -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0, 4.0, odd]})
    encoder = Encoder.fit(frame, schema_of(x="number"), scaling)
    filled = encoder.encode(pl.DataFrame({"x": [2.0, odd]})).numbers
    assert filled[0, 0] == filled[1, 0]
    assert filled[:, 1].tolist() == [0, 1]
    assert encoder.notes == ("column x: 1 values that are not finite are treated as missing",)


@pytest.mark.parametrize("scaling", ["robust", "minmax", "standard"])
@pytest.mark.parametrize(
    "values", [[1.0, 2.0, 4.0], [-1.7e308, 0.0, 1.7e308], [2**62, 2**62 + 4096, 2**62 + 8192]]
)
def test_every_finite_number_is_encoded_to_a_finite_one(scaling: str, values: list[float]) -> None:
    huge = 2**63 - 1 if isinstance(values[0], int) else 1.7e308
    encoded = numbers(values, scaling, rows=[*values, huge, -huge])
    assert np.isfinite(encoded).all()
    if scaling == "robust" and values[0] == 1.0:
        np.testing.assert_allclose(encoded[-2:, 0], [3, -3], rtol=1e-6)


def test_integers_with_and_without_gaps_are_scaled_alike() -> None:
    without, with_gap = numbers([2, 4, 6], "minmax"), numbers([2, 4, 6, None], "minmax")
    assert without[:, 0].tolist() == with_gap[:3, 0].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("scaling", ["robust", "minmax", "standard"])
def test_booleans_are_zero_and_one_and_a_gap_is_the_majority(scaling: str) -> None:
    encoded = numbers([True, True, False, None], scaling, "boolean")
    assert encoded.tolist() == [[1, 0], [1, 0], [0, 0], [1, 1]]


def test_categories_have_codes_rare_ones_share_one_and_unseen_ones_are_counted() -> None:
    values = ["a"] * RARE + ["b"] * RARE + ["once", None]
    encoder = Encoder.fit(pl.DataFrame({"x": values}), schema_of(x="category"), "robust")
    inputs = encoder.encode(pl.DataFrame({"x": ["b", "a", "once", "new", None, "new"]}))
    assert encoder.cardinalities == (4,)
    assert inputs.codes[:, 0].tolist() == [FIRST + 1, FIRST, UNSEEN, UNSEEN, MISSING, UNSEEN]
    assert inputs.unseen == {"x": 2}
    assert inputs.gaps == {}


def test_an_unseen_level_takes_the_commonest_code_where_no_rare_level_trained_one() -> None:
    encoder = Encoder.fit(pl.DataFrame({"x": ["a", "a", "b", "b", "b"]}), schema_of(x="category"), "robust")
    inputs = encoder.encode(pl.DataFrame({"x": ["new", None, "a"]}))
    assert inputs.codes[:, 0].tolist() == [FIRST + 1, FIRST + 1, FIRST]
    assert (inputs.unseen, inputs.gaps) == ({"x": 1}, {"x": 1})


def test_a_category_of_very_many_levels_is_hashed_the_same_on_every_machine() -> None:
    levels = [f"level {i}" for i in range(10_001)]
    encoder = Encoder.fit(pl.DataFrame({"x": levels}), schema_of(x="category"), "robust")
    inputs = encoder.encode(pl.DataFrame({"x": ["level 0", "never seen", None]}))
    assert inputs.codes[:, 0].tolist()[:2] == [0x01B95312 % 4096 + FIRST, 0x8BDC35C1 % 4096 + FIRST]
    assert inputs.unseen == {}
    assert inputs.gaps == {"x": 1}
    assert "hashed into 4096 buckets" in encoder.notes[0]


def test_dates_become_days_and_circles() -> None:
    frame = pl.DataFrame({"d": [date(2020, 1, 1), date(2020, 1, 11), None]})
    encoder = Encoder.fit(frame, schema_of(d="date"), "minmax")
    encoded = encoder.encode(frame).numbers
    assert encoder.names == (
        *("d", "d is missing", "d sine of year", "d cosine of year", "d sine of week", "d cosine of week"),
    )
    angle = 2 * np.pi * 2 / 7
    np.testing.assert_allclose(encoded[0], [0, 0, 0, 1, np.sin(angle), np.cos(angle)], atol=1e-6)
    np.testing.assert_allclose(encoded[2], [0.5, 1, 0, 0, 0, 0], atol=1e-6)


def test_hours_are_used_where_training_had_them() -> None:
    frame = pl.DataFrame({"d": [datetime(2020, 1, 1, 6), datetime(2020, 1, 2)]})
    encoder = Encoder.fit(frame, schema_of(d="date"), "minmax")
    assert encoder.names[-2:] == ("d sine of day", "d cosine of day")
    np.testing.assert_allclose(encoder.encode(frame).numbers[0, -2:], [1, 0], atol=1e-6)


def test_texts_become_words_whose_order_and_case_do_not_matter() -> None:
    texts = ["Blue car, blue sky", "sky BLUE blue car", "something else", "", None]
    frame = pl.DataFrame({"t": texts + [None] * 55})
    encoder = Encoder.fit(frame, schema_of(t="text"), "minmax")
    encoded = encoder.encode(frame).numbers
    # the words of more than one text: CRC-32 of "sky" ends in 4EF, of "car" in 69D, of "blue" in AB4
    (column,) = encoder.writers
    assert isinstance(column, TextColumn)
    assert column.buckets == (0x4EF, 0x69D, 0xAB4)
    assert encoder.names == ("t", "t is missing", "t topic 0", "t topic 1", "t topic 2")
    assert encoded[0].tolist() == encoded[1].tolist() != encoded[2].tolist()
    single = encoder.encode(pl.DataFrame({"t": ["SKY", "something new"]})).numbers
    assert single[0, 2] > 0
    assert single[0, 3:].tolist() == [0, 0]
    assert single[1, 2:].tolist() == [0, 0, 0]
    assert encoder.topics == (2, 3, 4)


def test_the_most_varied_topic_is_of_unit_size() -> None:
    """Rare words stand far out, and are pressed into bounds."""
    texts = ["red", "blue", "red", "blue", "green"] * 20 + ["rare word"] * 2
    encoder = Encoder.fit(pl.DataFrame({"t": texts}), schema_of(t="text"), "robust")
    topics = encoder.encode(pl.DataFrame({"t": texts})).numbers[:, list(encoder.topics)]
    assert 0.8 < topics.std(axis=0).max() < 1.0
    assert np.abs(topics).max() < 3


def test_topics_tell_texts_apart_that_share_no_word() -> None:
    rng = np.random.default_rng(0)
    fields = [[f"{field}{word}" for word in range(200)] for field in ("sea", "law", "art")]
    about = rng.integers(0, 3, 600)
    frame = pl.DataFrame({"t": [" ".join(rng.choice(fields[field], 12)) for field in about]})
    encoder = Encoder.fit(frame, schema_of(t="text"), "robust")
    topics = encoder.encode(frame).numbers[:, 1:]
    assert topics.shape == (600, 600 // TEXTS_PER_TOPIC)
    nearest = np.square(topics[:, None, :3] - topics[None, :200, :3]).sum(2)
    nearest[np.arange(200), np.arange(200)] = np.inf
    assert (about[nearest.argmin(axis=1)] == about).mean() > 0.95


def mixed_frame(rows: int) -> tuple[pl.DataFrame, Schema]:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "number": rng.normal(size=rows),
            "count": rng.integers(0, 1000, rows),
            "flag": rng.random(rows) < 0.5,
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "day": np.datetime64("2020-01-01T00:00:00", "us")
            + rng.integers(0, 10**13, rows).astype("m8[us]"),
            "text": rng.choice(["a red car", "the blue sky", "one two three four"], rows),
        }
    ).with_columns(pl.when(pl.int_range(rows) % 7 == 3).then(None).otherwise(pl.all()).name.keep())
    kinds = ("number", "number", "boolean", "category", "date", "text")
    return frame, Schema(tuple(Column(n, k) for n, k in zip(frame.columns, kinds, strict=True)))


def test_a_row_is_encoded_to_the_same_bits_alone_and_among_others() -> None:
    frame, schema = mixed_frame(BLOCK + 100)
    encoder = Encoder.fit(frame, schema, "robust")
    whole = encoder.encode(frame)
    for start, stop in ((0, 1), (BLOCK - 3, BLOCK + 5), (BLOCK + 99, BLOCK + 100)):
        part = encoder.encode(frame[start:stop])
        assert part.numbers.tolist() == whole.numbers[start:stop].tolist()
        assert part.codes.tolist() == whole.codes[start:stop].tolist()
    assert np.isfinite(whole.numbers).all()


@pytest.mark.parametrize("text", [None, "", "--"])
def test_a_single_text_without_a_word_is_encoded(text: str | None) -> None:
    frame = pl.DataFrame({"note": ["a fine day", "a bad day", "a day"]})
    encoder = Encoder.fit(frame, Schema((Column("note", "text"),)), "robust")
    inputs = encoder.encode(pl.DataFrame({"note": [text]}, schema={"note": pl.String}))
    assert inputs.numbers.shape == (1, encoder.numbers)
    assert np.isfinite(inputs.numbers).all()


def test_json_round_trip_encodes_to_the_same_bits() -> None:
    frame, schema = mixed_frame(500)
    encoder = Encoder.fit(frame, schema, "robust")
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert again == encoder
    assert again.encode(frame).numbers.tolist() == encoder.encode(frame).numbers.tolist()


def test_no_rows_are_encoded_to_no_rows() -> None:
    frame, schema = mixed_frame(50)
    encoder = Encoder.fit(frame, schema, "robust")
    inputs = encoder.encode(frame.clear())
    assert inputs.numbers.shape == (0, encoder.numbers)
    assert inputs.codes.shape == (0, 1)


@pytest.mark.parametrize("kind", ["number", "boolean", "category", "date", "text"])
def test_a_column_without_a_value_contributes_nothing(kind: str) -> None:
    dtype = {"number": pl.Float64, "boolean": pl.Boolean, "date": pl.Date}.get(kind, pl.String)
    frame = pl.DataFrame({"empty": pl.Series([None, None], dtype=dtype), "x": [1.0, 2.0]})
    encoder = Encoder.fit(frame, schema_of(empty=kind, x="number"), "robust")
    assert (encoder.names, encoder.cardinalities) == (("x",), ())
    assert encoder.notes == ("column empty: no training row has a value, so it contributes nothing",)


def test_no_feature_at_all_is_an_error_with_a_way_out() -> None:
    schema = Schema((Column("key", "number", "id"), Column("empty", "number")))
    frame = pl.DataFrame({"key": [1, 2], "empty": pl.Series([None, None], dtype=pl.Float64)})
    with pytest.raises(DataError, match=r"key \(id\), empty \(all missing\).*--keep COLUMN"):
        Encoder.fit(frame, schema, "robust")


def test_encoding_imports_neither_scikit_learn_nor_scipy() -> None:
    code = (
        "import sys, polars as pl; from tabstudio.model.encoder import Encoder;"
        "from tabstudio.table.schema import Column, Schema; f = pl.DataFrame({'x': [1.0, 2.0]});"
        "Encoder.fit(f, Schema((Column('x', 'number'),)), 'robust').encode(f);"
        "print([m for m in ('sklearn', 'scipy', 'pandas', 'torch._dynamo') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_number_far_away_is_the_same_beside_any_other() -> None:
    column = NumberColumn("x", Scale(factor=1.0), fill=0.0, gaps=False)
    for beside in (0.0, float("nan"), 1e300):
        out = np.empty((2, 1), dtype=np.float32)
        column.write(pl.Series([1e10, beside]), out)
        assert out[0, 0] == np.float32(1e9)
