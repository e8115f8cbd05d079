"""Splits keep what must stay together, deal classes evenly, and are the same for the same seed."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from tabstudio.errors import ConfigError, DataError
from tabstudio.options import SplitConfig
from tabstudio.table import Split, Table, read, split
from tabstudio.table.stratification import deal, join_units


def make(rows: int = 600, seed: int = 0, classes: int = 2, **more) -> Table:
    rng = np.random.default_rng(seed)
    data = {"x": rng.normal(size=rows), "k": rng.integers(0, 5, rows)}
    data["y"] = np.array([f"c{c}" for c in rng.choice(classes, rows, p=_shares(classes))])
    return read(data | more, target="y")


def _shares(classes: int) -> np.ndarray:
    shares = np.arange(1, classes + 1, dtype=float)
    return shares / shares.sum()


def parts(table: Table, cut: Split) -> np.ndarray:
    """-2 for the test, the fold for training rows, -9 for rows in neither."""
    part = np.full(len(table), -9)
    part[cut.train] = cut.fold
    part[cut.test] = -2
    return part


def assert_together(unit: np.ndarray, part: np.ndarray) -> None:
    for u in np.unique(unit):
        assert len(set(part[unit == u])) == 1, f"unit {u} is torn apart: {part[unit == u]}"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("classes", [2, 4])
def test_every_row_stands_once_and_classes_are_even(seed, classes):
    table = make(seed=seed, classes=classes)
    cut = split(table, SplitConfig(seed=seed))
    assert sorted([*cut.train, *cut.test]) == list(range(len(table)))
    assert cut.train.dtype == cut.test.dtype == np.int64
    assert cut.fold.dtype == np.int16
    assert set(cut.fold) == set(range(5))
    labels = table.labels()
    for c in range(classes):
        count = (labels == c).sum()
        assert abs((labels[cut.test] == c).sum() - 0.25 * count) <= 1
        held = np.bincount(cut.fold[labels[cut.train] == c], minlength=5)
        assert held.max() - held.min() <= 1


def test_the_same_seed_gives_the_same_split_and_another_another():
    table = make()
    first, again, other = (split(table, SplitConfig(seed=s)) for s in (3, 3, 4))
    assert np.array_equal(first.test, again.test)
    assert np.array_equal(first.fold, again.fold)
    assert not np.array_equal(first.test, other.test)


@pytest.mark.parametrize("seed", range(6))
def test_identical_rows_are_never_torn_apart(seed):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 150, 600)
    table = read({"x": kind * 1.5, "z": kind % 7, "y": rng.integers(0, 2, 600)}, target="y")
    cut = split(table, SplitConfig(seed=seed))
    assert_together(kind, parts(table, cut))
    assert abs(len(cut.test) / 600 - 0.25) < 0.03
    labels = table.labels()
    assert abs(labels[cut.test].mean() - labels.mean()) < 0.05


@pytest.mark.parametrize("seed", range(6))
def test_groups_are_never_torn_apart_even_through_identical_rows(seed):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 60, 500)
    table = read({"x": rng.normal(size=500), "who": group, "y": rng.integers(0, 2, 500)}, target="y")
    table = table.with_role("who", "group", "as told")
    x = table.frame["x"].to_list()
    x[1] = x[0]
    table = Table(table.frame.with_columns(pl.Series("x", x)), table.schema, table.source)
    group[group == group[1]] = group[0]
    cut = split(table, SplitConfig(group="who", seed=seed))
    assert_together(group, parts(table, cut))
    assert abs(len(cut.test) / 500 - 0.25) < 0.05
    assert "who" in cut.how


def test_rows_without_a_group_stand_alone():
    table = make(200, who=pl.Series([None if i < 100 else i % 10 for i in range(200)]))
    cut = split(table.with_role("who", "group", "as told"), SplitConfig(group="who"))
    assert any("stand alone" in note.reason for note in cut.notes)
    assert sorted([*cut.train, *cut.test]) == list(range(200))


def test_a_regression_is_stratified_by_quantiles():
    rng = np.random.default_rng(0)
    table = read({"x": rng.normal(size=1000), "y": rng.lognormal(sigma=2, size=1000)}, target="y")
    cut = split(table)
    values = table.labels()
    for q in (0.1, 0.5, 0.9):
        share = (values[cut.test] <= np.quantile(values, q)).mean()
        assert abs(share - q) < 0.02
    assert "quantiles" in cut.how


def test_rare_classes_stay_in_training_and_are_named():
    labels = ["a"] * 100 + ["b"] * 100 + ["rare"] * 3 + ["single"]
    table = read({"x": np.arange(204) * 1.5, "y": labels}, target="y")
    cut = split(table)
    rare = np.arange(200, 204)
    assert set(rare) <= set(cut.train)
    assert (cut.fold[np.isin(cut.train, rare)] == -1).all()
    assert any("rare (3)" in note.value and "single (1)" in note.value for note in cut.notes)


@pytest.mark.parametrize(("small", "folds"), [(6, 5), (5, 4), (4, 3), (3, 2)])
def test_small_classes_get_fewer_folds_with_a_note(small, folds):
    table = read({"x": np.arange(40 + small) * 1.5, "y": ["a"] * 40 + ["b"] * small}, target="y")
    cut = split(table)
    assert cut.folds == folds
    labels = table.labels()
    assert set(cut.fold[labels[cut.train] == 1]) == set(range(folds))
    assert (labels[cut.test] == 1).any()
    assert (folds == 5) or any(note.subject == "folds" for note in cut.notes)


def test_too_few_rows_of_a_class_are_refused():
    table = read({"x": np.arange(12) * 1.5, "y": ["a"] * 10 + ["b"] * 2}, target="y")
    with pytest.raises(DataError, match="'b' 2"):
        split(table)


def test_few_different_rows_are_split_all_the_same_with_a_note():
    table = read({"k": ["p", "q"] * 50, "y": [0, 1, 1, 0, 1] * 20}, target="y")
    cut = split(table)
    assert len(cut.test) == 25
    assert any("only 2 different rows" in note.reason for note in cut.notes)


def test_one_fold_holds_out_a_fifth():
    cut = split(make(), SplitConfig(folds=1))
    assert set(cut.fold) == {-1, 0}
    assert abs((cut.fold == 0).mean() - 0.2) < 0.01


def test_no_test_part_when_none_is_wanted():
    cut = split(make(), SplitConfig(test_size=0.0))
    assert len(cut.test) == 0
    assert len(cut.train) == 600


def timed(rows: int = 400, seed: int = 0, **more) -> Table:
    rng = np.random.default_rng(seed)
    days = [dt.date(2020, 1, 1) + dt.timedelta(days=int(d)) for d in rng.integers(0, 300, rows)]
    return make(rows, seed, when=pl.Series(days), **more).with_role("when", "time", "as told")


@pytest.mark.parametrize("seed", range(4))
def test_later_rows_are_tested_and_folds_are_spans(seed):
    table = timed(seed=seed)
    cut = split(table, SplitConfig(time="when"))
    when = table.frame["when"].to_numpy()
    assert when[cut.train].max() < when[cut.test].min()
    assert abs(len(cut.test) / len(table) - 0.25) < 0.02
    spans = [when[cut.train][cut.fold == f] for f in range(5)]
    for earlier, later in pairwise(spans):
        assert earlier.max() < later.min()


def test_earlier_copies_of_tested_rows_are_left_out():
    table = read(
        {"x": [1.5] * 2 + [float(i) for i in range(2, 40)], "t": [0, 39, *range(1, 39)], "y": [0, 1] * 20},
        target="y",
    ).with_role("t", "time", "as told")
    cut = split(table, SplitConfig(time="t"))
    assert 1 in cut.test
    assert 0 not in cut.train
    assert any("earlier copies" in note.reason for note in cut.notes)


def test_time_and_group_together_test_later_rows_of_new_groups():
    rng = np.random.default_rng(0)
    start = rng.integers(0, 300, 80)
    who = np.repeat(np.arange(80), 5)
    t = start[who] + np.tile(np.arange(0, 100, 20), 80)
    table = make(400, who=who, t=t).with_role("who", "group", "as told").with_role("t", "time", "as told")
    cut = split(table, SplitConfig(time="t", group="who"))
    assert t[cut.train].max() < t[cut.test].min()
    assert not set(who[cut.train]) & set(who[cut.test])
    assert_together(who[cut.train], cut.fold)
    left = len(table) - len(cut.train) - len(cut.test)
    assert left > 0
    assert any(f"{left} left out" in note.value for note in cut.notes)


def test_a_time_that_is_missing_or_no_time_is_refused():
    with pytest.raises(ConfigError, match="dates or numbers"):
        split(make(), SplitConfig(time="y"))
    table = make(20, t=pl.Series([None, *range(19)]))
    with pytest.raises(DataError, match="row 1"):
        split(table, SplitConfig(time="t"))


def test_a_given_split_is_taken_as_it_is():
    words = ["Train", "test", "VALID", "train"] * 50
    table = make(200, part=words)
    cut = split(table, SplitConfig(column="part"))
    assert np.array_equal(cut.test, np.arange(1, 200, 4))
    assert np.array_equal(cut.train[cut.fold == 0], np.arange(2, 200, 4))
    assert cut.folds == 1
    without = make(200, part=["training", "holdout"] * 100)
    cut = split(without, SplitConfig(column="part"))
    assert np.array_equal(cut.test, np.arange(1, 200, 2))
    assert set(cut.fold) == set(range(5))


def test_a_given_split_with_other_words_names_the_rows():
    table = make(20, part=["train", "test", "what", "train"] * 5)
    with pytest.raises(DataError, match="row 3: 'what'"):
        split(table, SplitConfig(column="part"))


def test_unknown_columns_are_named():
    with pytest.raises(ConfigError, match="no column 'grp'"):
        split(make(), SplitConfig(group="grp"))


def test_joined_units_are_connected_components():
    assert join_units(np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3])).tolist() == [0, 0, 0, 1, 2]
    chain = join_units(
        np.repeat(np.arange(50), 2), np.concatenate([[0], np.repeat(np.arange(49), 2) + 1, [50]])
    )
    assert set(chain) == {0}


@pytest.mark.parametrize("seed", range(10))
def test_units_of_all_sizes_are_dealt_near_their_shares(seed):
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(200), rng.geometric(0.2, 200))
    stratum = rng.integers(0, 3, len(unit))
    part = deal(unit, stratum, [0.7, 0.3], rng)
    assert_together(unit, part)
    assert abs((part == 1).mean() - 0.3) < 0.02
    for s in range(3):
        assert abs((part[stratum == s] == 1).mean() - 0.3) < 0.05
