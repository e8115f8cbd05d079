"""Every row is counted once, in the right bin of the right group."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tabstudio.exploration.column_arrays import Vectors
from tabstudio.exploration.distribution import groups, histogram, panel
from tabstudio.table.schema import Target

RNG = np.random.default_rng(8)


def test_shares_of_whole_numbers_by_class(make_table):
    frame = pl.DataFrame({"k": [0, 0, 1, 3, 3, 3], "y": ["a", "a", "a", "b", "b", "a"]})
    vectors = Vectors(make_table(frame, Target("y", "binary", ("a", "b"), positive="b")))
    drawn = panel(vectors, "k", groups(vectors))
    np.testing.assert_allclose(drawn.heights, [[0.5, 0.25, 0, 0.25], [0, 0, 0, 1]])
    np.testing.assert_allclose(drawn.edges, [-0.5, 0.5, 1.5, 2.5, 3.5])


@pytest.mark.parametrize(
    "values", [RNG.normal(size=999), RNG.lognormal(0, 3, 999), np.r_[np.zeros(990), 5, 6, 7], [3.5]]
)
def test_no_value_is_lost(make_table, values):
    frame = pl.DataFrame({"x": [*map(float, values), None]})
    vectors = Vectors(make_table(frame))
    drawn = panel(vectors, "x", groups(vectors))
    assert drawn.heights.sum() == pytest.approx(1)
    assert (np.diff(drawn.edges) > 0).all()


def test_histogram_equals_numpy_inside_the_limits(make_table):
    x = RNG.random(5000)
    vectors = Vectors(make_table(pl.DataFrame({"x": x})))
    drawn = histogram(vectors, "x", x, groups(vectors))
    expected, _ = np.histogram(np.clip(x, drawn.edges[0], drawn.edges[-1]), bins=drawn.edges)
    np.testing.assert_allclose(drawn.heights[0], expected / 5000, atol=2 / 5000)


def test_rare_levels_are_named_together(make_table):
    words = [f"w{i}" for i in range(12) for _ in range(12 - i)]
    vectors = Vectors(make_table(pl.DataFrame({"w": words})))
    drawn = panel(vectors, "w", groups(vectors))
    assert drawn.labels == tuple(f"w{i}" for i in range(7))
    assert drawn.rest == "5 others"
    np.testing.assert_allclose(drawn.heights[0], np.arange(12, 5, -1) / 78)


def test_small_classes_are_one_group(make_table):
    labels = [f"k{i}" for i in range(9) for _ in range(20 - i)]
    frame = pl.DataFrame({"x": np.arange(len(labels)) * 1.0, "y": labels})
    vectors = Vectors(make_table(frame, Target("y", "multiclass", tuple(sorted(set(labels))))))
    by = groups(vectors)
    assert by.names == ("k0", "k1", "k2", "k3", "k4", "the other 4 classes")
    assert np.bincount(by.codes).tolist() == [20, 19, 18, 17, 16, 15 + 14 + 13 + 12]


def test_means_of_a_number_target(make_table):
    frame = pl.DataFrame({"w": ["a", "b", "a", None], "x": [1.0, 2.0, 1.0, 2.0], "y": [1.0, 5.0, 3.0, 7.0]})
    vectors = Vectors(make_table(frame, Target("y", "regression")))
    by_level, by_number = (panel(vectors, name, groups(vectors)) for name in ("w", "x"))
    assert by_level.labels == ("a", "b")
    np.testing.assert_allclose(by_level.heights, [[2, 5]])
    np.testing.assert_allclose(by_level.spread, [1, 0])
    np.testing.assert_allclose(by_number.heights, [[2, 6]])
    np.testing.assert_allclose(by_number.edges, [1, 2])


def test_a_number_that_is_mostly_zero_keeps_its_other_values_apart(make_table):
    x = [0.0] * 95 + [float(i) for i in range(1, 41)] * 2
    frame = pl.DataFrame({"x": x + [0.0] * 1900, "y": [float(v > 0) for v in x] + [0.0] * 1900})
    vectors = Vectors(make_table(frame, Target("y", "regression")))
    drawn = panel(vectors, "x", groups(vectors))
    np.testing.assert_allclose(drawn.heights, [[0, 1]])
