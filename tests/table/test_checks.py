"""What is found in a table, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tabstudio.table import check, read
from tabstudio.table.leakage import _auc, measure_columns


def kinds(found, severity=None):
    return {(f.kind, name) for f in found for name in f.columns or ("",) if severity in (None, f.severity)}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    return {"x": rng.normal(size=2000) + y, "word": rng.choice(["a", "b", "c"], 2000), "y": y}


def test_a_sound_table_has_no_finding(data):
    assert check(read(data, target="y")) == ()


@pytest.mark.parametrize("form", ["same", "number", "word", "gap", "date"])
def test_a_column_that_tells_the_label_is_a_danger(form, data):
    y, rng = data["y"], np.random.default_rng(1)
    leaks = {
        "same": y * 3,
        "number": y * 10 + rng.random(2000),
        "word": np.where(y == 1, "left", "stayed"),
        "gap": [None if v else "2020" for v in y],
        "date": [f"20{20 + v}-01-{1 + i % 28:02d}" for i, v in enumerate(y)],
    }
    found = check(read(data | {"leak": leaks[form]}, target="y"))
    assert ("leak", "leak") in kinds(found, "danger")
    assert found[0].kind == "leak"
    assert "--drop leak" in found[0].remedy
    assert ("leak", "x") not in kinds(found)


def test_names_that_repeat_are_no_leak(data):
    """A category of hundreds of levels fits the label in sample; on rows not seen it does not."""
    names = np.random.default_rng(1).integers(0, 900, 2000).astype(str)
    table = read(data | {"name": [f"n{name}" for name in names]}, target="y")
    assert ("leak", "name") not in kinds(check(table))
    assert ("cardinality", "name") in kinds(check(table))


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_regression_target_in_disguise_is_found(noise):
    rng = np.random.default_rng(0)
    y = rng.lognormal(size=3000)
    table = read(
        {"leak": y * 2 + 1 + noise * rng.normal(size=3000), "x": rng.normal(size=3000), "y": y}, target="y"
    )
    assert (("leak", "leak") in kinds(check(table), "danger")) == (noise == 0.0)


def test_the_auc_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 500), rng.integers(0, 20, 500)
    assert _auc(score, y) == pytest.approx(roc_auc_score(y, score), abs=1e-12)


def test_ids_constants_copies_gaps_and_classes_are_found():
    rng = np.random.default_rng(0)
    rows = 400
    x = rng.normal(size=rows)
    x[300:] = x[200:300]
    data = {
        "id": np.arange(rows),
        "x": x,
        "one": ["same"] * rows,
        "gaps": [None if i % 4 else float(i) for i in range(rows)],
        "y": ["rare"] * 5 + ["a"] * 195 + ["b"] * 200,
    }
    data["gaps"][200:] = [None] * 200
    found = kinds(check(read(data, target="y")))
    assert {
        ("id", "id"),
        ("constant", "one"),
        ("duplicates", ""),
        ("missing", "gaps"),
        ("rare classes", "y"),
    } <= found


@pytest.mark.parametrize("name", ["id", "patientId", "Customer ID", "household", "pat.key"])
def test_ids_that_recur_are_groups_that_a_split_should_keep(name):
    rng = np.random.default_rng(0)
    data = {name: np.arange(200) % 50 * 7, "x": rng.normal(size=200), "y": rng.integers(0, 2, 200)}
    (finding,) = [found for found in check(read(data, target="y")) if found.kind == "groups"]
    assert (finding.severity, finding.columns) == ("warning", (name,))
    assert f"--group {name!r}" in finding.remedy
    told = read(data, target="y").with_role(name, "group", "as told")
    assert not [found for found in check(told) if found.kind == "groups"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rooms", np.arange(200) % 50),
        ("id", np.arange(200) % 5),
        ("key", np.arange(200) % 50 / 8),
        ("id", np.arange(200)),
        ("paid", np.arange(200) % 50),
    ],
    ids=["no-id", "few-values", "fractions", "every-row", "ends-alike"],
)
def test_columns_that_are_no_groups(name, values):
    data = {name: values, "x": np.random.default_rng(0).normal(size=200), "y": np.arange(200) % 2}
    assert not [found for found in check(read(data, target="y")) if found.kind == "groups"]


def test_contradictions_and_imbalance_are_found():
    data = {"x": [1.5, 1.5, *range(98)], "y": [1, 0, 1, *[0] * 97]}
    found = kinds(check(read(data, target="y")))
    assert {("contradictions", "y"), ("imbalance", "y")} <= found


@pytest.mark.parametrize(
    ("name", "target", "leaks"),
    [
        ("breast_cancer.csv", "target", set()),
        ("mushroom.csv", "type", {("odor", "warning")}),
        (
            "compas_two_years.csv.gz",
            "two_year_recid",
            {("is_recid", "warning"), ("r_charge_degree", "warning"), ("r_offense_date", "warning")},
        ),
    ],
)
def test_leaks_of_real_tables(name, target, leaks, real_tables):
    found = check(read(real_tables / name, target=target))
    assert {(f.columns[0], f.severity) for f in found if f.kind == "leak"} == leaks


def test_large_tables_are_measured_on_a_sample():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 50_000)
    table = read({"x": rng.normal(size=50_000), "leak": y + 0.1 * rng.random(50_000), "y": y}, target="y")
    strength = measure_columns(table)
    assert strength["leak"].auc > 0.999
    assert strength["x"].auc < 0.55
