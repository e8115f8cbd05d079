"""Every supported transformer, taken over as data, gives scikit-learn's own figures to the last bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from tabstudio.errors import InputError, ModelError
from tabstudio.model.preprocessing import Preprocessing, taken
from tabstudio.table import conform
from tabstudio.table.schema import Schema

ROWS = 200


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Numbers with gaps and ties, a constant, text with gaps and rare levels, numbered categories, truth."""
    rng = np.random.default_rng(11)
    rows = pd.DataFrame(
        {
            "size": rng.lognormal(2, 1, ROWS),
            "weight": rng.normal(70, 12, ROWS),
            "visits": rng.integers(0, 5, ROWS),
            "constant": 3.0,
            "city": rng.choice(["Rome", "Oslo", "New York", "Lima"], ROWS, p=[0.5, 0.3, 0.17, 0.03]),
            "sex": rng.choice(["f", "m"], ROWS),
            "smoker": rng.random(ROWS) < 0.3,
        }
    )
    rows.loc[::11, "weight"] = np.nan
    rows.loc[::13, "city"] = None
    return rows


NUMBERS = ["size", "weight", "visits", "constant"]
FULL = ["size", "visits", "constant"]


def kept(transformer: Any, rows: pd.DataFrame | np.ndarray, columns: list[str] | None = None):
    """The preprocessing after a trip through JSON, and the schema of its raw columns."""
    preprocessing, features = taken(transformer, columns)
    data = json.loads(json.dumps(preprocessing.to_json()).replace("NaN", "null"))
    return Preprocessing.from_json(data), Schema(features)


def same(transformer: Any, rows: pd.DataFrame) -> None:
    preprocessing, schema = kept(transformer, rows)
    theirs = transformer.transform(rows)
    theirs = np.asarray(theirs.toarray() if hasattr(theirs, "toarray") else theirs, dtype=np.float64)
    ours = preprocessing.transform(conform(rows, schema))
    assert ours.dtype == np.float64
    np.testing.assert_array_equal(ours, theirs)
    assert preprocessing.width == theirs.shape[1]


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        MinMaxScaler(),
        MinMaxScaler((-1, 2), clip=True),
        MaxAbsScaler(),
        RobustScaler(),
        RobustScaler(with_centering=False, quantile_range=(10, 90)),
        PowerTransformer(),
        PowerTransformer(standardize=False),
        QuantileTransformer(n_quantiles=50),
        QuantileTransformer(n_quantiles=50, output_distribution="normal"),
        SimpleImputer(),
        SimpleImputer(strategy="median", add_indicator=True),
        SimpleImputer(strategy="constant", fill_value=-1),
        make_pipeline(SimpleImputer(), StandardScaler(), "passthrough"),
        make_pipeline(SimpleImputer(), VarianceThreshold(), MinMaxScaler()),
        FeatureUnion([("a", StandardScaler()), ("b", MinMaxScaler()), ("c", "drop")]),
    ],
    ids=repr,
)
def test_numbers_with_gaps_equal_scikit_learns(transformer, frame):
    half = frame[NUMBERS].iloc[: ROWS // 2]
    same(transformer.fit(half), frame[NUMBERS])


@pytest.mark.parametrize(
    "transformer",
    [
        Normalizer(),
        Normalizer("l1"),
        Normalizer("max"),
        Binarizer(threshold=2),
        PowerTransformer("box-cox", standardize=False),
        FunctionTransformer(np.log1p),
        FunctionTransformer(),
        make_pipeline(FunctionTransformer(np.sqrt), RobustScaler()),
    ],
    ids=repr,
)
def test_whole_numbers_equal_scikit_learns(transformer, frame):
    rows = frame[["size", "weight"]].dropna()
    same(transformer.fit(rows), rows)


def test_selection_by_score_equals_scikit_learns(frame):
    rows, labels = frame[FULL], frame["smoker"]
    with np.errstate(invalid="ignore", divide="ignore"), pytest.warns(UserWarning, match="constant"):
        selector = SelectKBest(k=2).fit(rows, labels)
    same(selector, rows)


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(drop="first", handle_unknown="error"),
        OneHotEncoder(drop="if_binary", sparse_output=False),
        OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist"),
        OneHotEncoder(max_categories=2, drop="first", handle_unknown="infrequent_if_exist"),
        OrdinalEncoder(),
        OrdinalEncoder(encoded_missing_value=-2),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=20),
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
        make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OrdinalEncoder()),
    ],
    ids=repr,
)
def test_text_with_gaps_equals_scikit_learns(encoder, frame):
    rows = frame[["city", "sex"]].astype(object).where(frame[["city", "sex"]].notna(), np.nan)
    same(encoder.fit(rows), rows)


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(min_frequency=60, handle_unknown="infrequent_if_exist"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
    ],
    ids=repr,
)
def test_unseen_levels_equal_scikit_learns_and_are_counted(encoder, frame):
    rows = frame[["sex", "visits"]]
    encoder.fit(rows)
    new = rows.copy()
    new.loc[:4, "sex"] = "x"
    new.loc[10, "visits"] = 99
    same(encoder, new)
    preprocessing, schema = kept(encoder, rows)
    unseen: dict[str, int] = {}
    preprocessing.transform(conform(new, schema), unseen)
    assert unseen == {"sex": 5, "visits": 1}


def test_numbered_categories_and_truth_equal_scikit_learns(frame):
    rows = frame[["visits", "smoker"]]
    same(OneHotEncoder().fit(rows), rows)
    same(OrdinalEncoder().fit(rows), rows)


def test_column_transformer_of_pipelines_equals_scikit_learns(frame):
    transformer = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
                ["weight", "size"],
            ),
            ("levels", OneHotEncoder(handle_unknown="ignore"), ["city", "sex"]),
            ("truth", "passthrough", ["smoker"]),
            ("nothing", "drop", ["constant"]),
        ],
        remainder=MinMaxScaler(),
    )
    same(transformer.fit(frame), frame)


@pytest.mark.parametrize(
    "chosen",
    [slice(0, 2), [True, True, False, False], make_column_selector("size|weight")],
    ids=["slice", "mask", "selector"],
)
def test_columns_may_be_chosen_in_any_way(frame, chosen):
    transformer = ColumnTransformer([("scaled", StandardScaler(), chosen)], remainder="passthrough")
    rows = frame[NUMBERS].fillna(0)
    same(transformer.fit(rows), rows)


def test_array_without_names_takes_the_names_given(frame):
    rows = frame[FULL].to_numpy()
    scaler = MinMaxScaler().fit(rows)
    preprocessing, schema = kept(scaler, rows, FULL)
    np.testing.assert_array_equal(preprocessing.transform(conform(frame, schema)), scaler.transform(rows))


def test_single_precision_rows_stay_single(frame):
    rows = frame[FULL].astype(np.float32)
    scaler = StandardScaler().fit(rows)
    preprocessing, features = taken(scaler, None, single=True)
    ours = preprocessing.transform(conform(rows, Schema(features)))
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, scaler.transform(rows))


def test_strict_encoder_refuses_what_it_does_not_know(frame):
    preprocessing, schema = kept(OrdinalEncoder().fit(frame[["sex"]]), frame)
    with pytest.raises(InputError, match=r"column 'sex': one of 'f', 'm' was expected, got 'x' in 1 rows"):
        preprocessing.encode(conform({"sex": ["f", "x"]}, schema))


def test_a_gap_that_nothing_fills_is_refused_by_row_and_column(frame):
    preprocessing, schema = kept(MinMaxScaler().fit(frame[NUMBERS]), frame)
    with pytest.raises(InputError, match=r"none is in 'weight' of row 2\b"):
        preprocessing.encode(conform(frame[NUMBERS][1:3].assign(weight=[1, None]), schema))


@pytest.mark.parametrize(
    ("transformer", "columns", "message"),
    [
        (lambda rows: KNNImputer().fit(rows), None, "KNNImputer cannot be kept as data; known are"),
        (lambda _: StandardScaler(), FULL, "StandardScaler is not fitted"),
        (lambda rows: FunctionTransformer(lambda x: x + 1).fit(rows), None, "<lambda>' is code"),
        (lambda rows: StandardScaler().fit(rows.to_numpy()), None, r"write columns=list\(frame.columns\)"),
        (lambda rows: StandardScaler().fit(rows.to_numpy()), ["a"], "fitted on 3 columns, 1 are named"),
        (lambda rows: StandardScaler().fit(rows), FULL[::-1], "was fitted on size, visits, constant"),
        (lambda rows: StandardScaler().fit(rows.to_numpy()), ["a", "a", "b"], "every name once"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_way_out(frame, transformer, columns, message):
    with pytest.raises(ModelError, match=message):
        taken(transformer(frame[FULL]), columns)


def test_column_used_as_text_and_as_number_is_refused(frame):
    rows = frame[["sex", "size"]]
    both = ColumnTransformer([("a", OneHotEncoder(), ["sex"]), ("b", StandardScaler(), ["size"])]).fit(rows)
    both.transformers_[1] = ("b", both.transformers_[1][1], ["sex"])
    both._transformer_to_input_indices["b"] = [0]
    with pytest.raises(ModelError, match="'sex' is used as category and as number"):
        taken(both, None)
