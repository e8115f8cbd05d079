"""Two models meet on the same rows, and on none that one of them was trained on."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from tabstudio.errors import ConfigError, DataError, InputError, ModelError
from tabstudio.model.row_evidence import feature_keys
from tabstudio.registry.compared_model import ComparedModel
from tabstudio.registry.paired_predictions import pair
from tabstudio.registry.unseen_rows import unseen_rows


@pytest.fixture
def sides(shelf):
    return [ComparedModel(f"v{number}", shelf.model(number)) for number in (1, 2, 3)]


def table(shelf):
    return pl.read_csv(shelf.csv)


def test_kept_answers_are_those_of_the_models(sides, shelf):
    one, two, _ = sides
    pairs = pair(one, two)
    rows = table(shelf)[pairs.numbers]
    np.testing.assert_array_equal(pairs.first, one.model.predict_proba(rows))
    np.testing.assert_array_equal(pairs.second, two.model.predict_proba(rows))
    truth = rows["diagnosis"].to_list()
    assert [pairs.target.classes[label] for label in pairs.labels] == truth


@pytest.mark.parametrize("order", [(0, 2), (2, 0)])
def test_models_of_different_splits_meet_where_neither_was_trained(sides, shelf, order):
    first, second = (sides[place] for place in order)
    pairs = pair(first, second, columns=("worst area",))
    rows = table(shelf)[pairs.numbers]
    np.testing.assert_array_equal(pairs.first, first.model.predict_proba(rows))
    np.testing.assert_array_equal(pairs.second, second.model.predict_proba(rows))
    for side in (first, second):
        assert not set(pairs.numbers) & trained_on(side, shelf)
    assert pairs.columns["worst area"].to_list() == rows["worst area"].to_list()
    assert 20 < len(pairs) < 60


def trained_on(side, shelf):
    """Rows that are not of the model's test part, by its own numbers."""
    return set(range(569)) - set(side.evidence.numbers.tolist())


def test_rows_of_a_file_are_only_those_that_nobody_knows(sides, shelf, tmp_path):
    one, _, three = sides
    frame = table(shelf)
    new = frame.head(5).with_columns(pl.col("mean radius") + 0.123)
    path = tmp_path / "later.csv"
    pl.concat([frame, new]).write_csv(path)
    pairs = pair(one, three, path)
    assert set(range(569, 574)) <= set(pairs.numbers.tolist())
    known = trained_on(one, shelf) | trained_on(three, shelf)
    assert not set(pairs.numbers.tolist()) & known
    assert len(pairs.notes) == 2


def test_rows_without_a_label_are_left_out_and_counted(sides, shelf, tmp_path):
    frame = table(shelf)[sides[0].evidence.numbers].with_columns(
        diagnosis=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise(pl.col("diagnosis"))
    )
    frame.write_csv(tmp_path / "gaps.csv")
    rows = unseen_rows(tmp_path / "gaps.csv", sides[:1])
    assert len(rows.labels) == len(frame) - 3
    assert "3 rows without a label were left out" in rows.notes


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda f: f.with_columns(diagnosis=pl.lit("odd")), DataError, "holds 'odd'.*benign, malignant"),
        (lambda f: f.drop("diagnosis"), ConfigError, "no column 'diagnosis'"),
        (lambda f: f.drop("worst area"), InputError, "worst area"),
        (lambda f: f.with_columns(diagnosis=pl.lit("")), DataError, "'diagnosis' is empty"),
        (lambda f: f.with_columns(pl.lit("x").alias("worst area")), InputError, "a number was expected"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(sides, shelf, tmp_path, change, error, words):
    path = tmp_path / "wrong.csv"
    change(table(shelf)).write_csv(path)
    with pytest.raises(error, match=words):
        pair(sides[0], sides[1], path)


def test_a_file_of_known_rows_only_is_refused_with_the_count(sides, shelf, tmp_path):
    rows = sorted(trained_on(sides[0], shelf))
    table(shelf)[rows].write_csv(tmp_path / "known.csv")
    with pytest.raises(DataError, match=r"none is left to judge by \(427 rows were left out: v1 was trained"):
        pair(sides[0], sides[1], tmp_path / "known.csv")


def test_columns_of_a_file_are_typed_as_the_model_knows_them(sides, shelf, tmp_path):
    frame = table(shelf).with_columns(ward=pl.lit("north"))
    frame.write_csv(tmp_path / "w.csv")
    pairs = pair(sides[0], sides[1], tmp_path / "w.csv", ("worst area", "ward"))
    assert pairs.columns.dtypes == [pl.Float64, pl.String]
    with pytest.raises(ConfigError, match="no column 'wart': did you mean 'ward'"):
        pair(sides[0], sides[1], tmp_path / "w.csv", ("wart",))


def test_models_of_other_targets_or_classes_are_refused(sides, tmp_path):
    folder = tmp_path / "other"
    from tabstudio.model.predictor import load

    model = load(sides[0].folder)
    schema = model.schema.to_json()
    text = json.dumps(schema).replace("malignant", "malign")
    model.schema = type(model.schema).from_json(json.loads(text))
    other = ComparedModel("other", model.save(folder))
    with pytest.raises(
        ModelError, match="classes of the first is benign, malignant, of the second benign, malign"
    ):
        pair(sides[0], other)


def test_a_model_without_evidence_is_told_as_such(sides, tmp_path):
    from tabstudio.model.predictor import load

    model = load(sides[0].folder)
    model.evidence = None
    bare = ComparedModel("bare", model.save(tmp_path / "bare"))
    with pytest.raises(ModelError, match="bare: it keeps no record of its rows"):
        pair(sides[0], bare)


def test_a_changed_table_is_refused_with_both_fingerprints(shelf, sides, tmp_path):
    changed = tmp_path / "changed.csv"
    table(shelf).head(500).write_csv(changed)
    with pytest.raises(DataError, match=r"569 rows of fingerprint .* were expected, it holds 500 of"):
        sides[0].table(changed)


def test_keys_of_the_evidence_are_those_of_the_table(shelf, sides):
    side = sides[0]
    frame = side.table().frame
    np.testing.assert_array_equal(
        side.evidence.keys, feature_keys(frame[side.evidence.numbers], side.record.schema)
    )


def test_files_without_rows_and_of_different_columns_are_no_fault_of_ours(sides, shelf, tmp_path):
    frame = table(shelf)
    folder = tmp_path / "parts"
    folder.mkdir()
    test = frame[sides[0].evidence.numbers]
    test.head(60).write_parquet(folder / "a.parquet")
    test.tail(60).with_columns(ward=pl.lit("north")).write_parquet(folder / "b.parquet")
    assert len(unseen_rows(folder, sides[:1]).labels) == 120
    frame.head(0).write_parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"none\.parquet"):
        unseen_rows(tmp_path / "none.parquet", sides[:1])
