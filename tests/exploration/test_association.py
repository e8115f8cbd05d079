"""Every association equals the textbook's number on the rows where both columns have a value."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tabstudio.exploration import associations as association
from tabstudio.exploration.associations import associations, measure, measure_of
from tabstudio.exploration.column_arrays import Vectors
from tabstudio.table.schema import Target


def _value(vectors: Vectors, one: str, other: str) -> float:
    return float(measure(vectors, (one,), (other,))[0, 0])


def test_pearson_equals_pandas_over_pairwise_complete_rows(gapped, gapped_vectors):
    names = ("a", "b", "c", "flag")
    expected = gapped.select(names).to_pandas().astype(float).corr().to_numpy()
    np.testing.assert_allclose(measure(gapped_vectors, names, names), expected, atol=1e-9)


def test_blocks_do_not_change_pearson(gapped, gapped_vectors, monkeypatch):
    names = ("a", "b", "c")
    whole = measure(gapped_vectors, names, names)
    monkeypatch.setattr("tabstudio.exploration.column_arrays.BLOCK", 7)
    np.testing.assert_allclose(measure(gapped_vectors, names, names), whole, atol=1e-9)


def test_pearson_survives_a_large_offset(make_table):
    x = np.random.default_rng(0).normal(size=300)
    vectors = Vectors(make_table(pl.DataFrame({"x": x, "y": 1e9 + x})))
    assert _value(vectors, "x", "y") == pytest.approx(1.0, abs=1e-6)


def test_cramers_v_is_bergsmas(gapped, gapped_vectors):
    from scipy.stats import chi2_contingency

    both = gapped.drop_nulls(["colour", "size"])
    counts = both.pivot("size", index="colour", values="a", aggregate_function="len").fill_null(0)
    counts = counts.drop("colour").to_numpy()
    n, (r, k) = counts.sum(), counts.shape
    phi2 = chi2_contingency(counts, correction=False).statistic / n
    reduced = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    room = min(r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)) - 1
    assert _value(gapped_vectors, "colour", "size") == pytest.approx(np.sqrt(reduced / room))


def test_cramers_v_of_a_column_with_itself_renamed_is_one(make_table):
    words = ["a", "b", "c", "c"] * 25
    vectors = Vectors(make_table(pl.DataFrame({"x": words, "y": [w * 2 for w in words]})))
    assert _value(vectors, "x", "y") == pytest.approx(1.0)


def test_correlation_ratio_by_hand(gapped, gapped_vectors):
    both = gapped.drop_nulls(["colour", "b"])
    groups = [g["b"].to_numpy() for _, g in both.group_by("colour")]
    y = both["b"].to_numpy()
    within = sum(((g - g.mean()) ** 2).sum() for g in groups)
    total = ((y - y.mean()) ** 2).sum()
    expected = np.sqrt(1 - within / total * (len(y) - 1) / (len(y) - len(groups)))
    assert _value(gapped_vectors, "b", "colour") == pytest.approx(expected, rel=1e-6)


def test_many_levels_alone_do_not_explain_a_number(make_table):
    rng = np.random.default_rng(0)
    levels = [f"level {i}" for i in rng.permutation(np.arange(600) // 2)]
    vectors = Vectors(make_table(pl.DataFrame({"level": levels, "y": rng.normal(size=600)})))
    assert _value(vectors, "level", "y") < 0.25


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a", "b", "Pearson's r"),
        ("a", "flag", "Pearson's r"),
        ("a", "colour", "correlation ratio"),
        ("colour", "size", "Cramér's V"),
        ("flag", "size", "Cramér's V"),
    ],
)
def test_measure_suits_the_kinds(gapped_vectors, one, other, expected):
    assert measure_of(gapped_vectors, one, other) == measure_of(gapped_vectors, other, one) == expected


def test_constants_and_empty_overlaps_say_nothing(make_table):
    frame = pl.DataFrame(
        {"x": [1.0, 2.0, None, None], "y": [None, None, 3.0, 4.0], "k": [5.0] * 4, "w": ["u"] * 4}
    )
    vectors = Vectors(make_table(frame))
    matrix = measure(vectors, ("x", "k", "w"), ("y", "x"))
    assert np.isnan(matrix[0, 0])
    assert np.isnan(matrix[1:]).all()


def test_infinities_count_as_missing(make_table, gapped):
    spoiled = gapped.with_columns(
        pl.when(pl.col("a") > 2).then(float("inf")).otherwise(pl.col("a")).alias("a")
    )
    clean = gapped.with_columns(pl.when(pl.col("a") <= 2).then(pl.col("a")).alias("a"))
    got, expected = (measure(Vectors(make_table(f)), ("a",), ("b", "colour")) for f in (spoiled, clean))
    np.testing.assert_allclose(got, expected)


def test_binary_target_has_a_sign_and_comes_first(make_table, gapped):
    frame = gapped.with_columns(pl.Series("y", np.where(gapped["a"] > 0, "bad", "good")))
    target = Target("y", "binary", ("bad", "good"), positive="bad")
    found = associations(Vectors(make_table(frame, target)))
    assert found.names[0] == "y"
    expected = np.corrcoef(gapped["a"], gapped["a"] > 0)[0, 1]
    table = dict(found.with_target.select("column", "association").iter_rows())
    assert table["a"] == pytest.approx(expected)
    assert found.matrix[0, found.names.index("a")] == pytest.approx(expected)
    sizes = [abs(v) for v in found.with_target["association"]]
    assert sizes == sorted(sizes, reverse=True)


def test_wide_tables_keep_the_strongest(make_table, monkeypatch):
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({f"x{i}": rng.normal(size=50) for i in range(60)} | {"y": rng.normal(size=50)})
    vectors = Vectors(make_table(frame, Target("y", "regression")))
    found = associations(vectors)
    assert len(found.names) == association.SHOWN
    assert found.left_out == 21
    assert found.names[1:] == tuple(found.with_target["column"][: association.SHOWN - 1])
    expected = np.abs(np.corrcoef(frame.to_numpy().T)[-1, :-1]).max()
    assert abs(found.matrix[0, 1]) == pytest.approx(expected)
