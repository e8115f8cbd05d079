"""Every real table reads with no flag, as its index says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tabstudio.table import conform, read, split

NAMES = [
    "breast_cancer",
    "titanic",
    "adult",
    "telco_churn",
    "german_credit",
    "credit_default",
    "pima_diabetes",
    "mushroom",
    "magic_telescope",
    "car_evaluation",
    "letter_recognition",
    "wine_quality_white",
    "nsl_kdd_20pct",
    "compas_two_years",
    "stroke",
    "online_shoppers",
    "lending_club",
    "california_housing",
    "king_county_houses",
    "insurance_charges",
    "abalone",
]


@pytest.fixture(scope="module")
def index(real_tables: Path) -> dict[str, dict[str, str]]:
    with (real_tables / "INDEX.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_the_index_holds_these_tables(index):
    assert sorted(index) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_reads_as_the_index_says(name, index, real_tables):
    row = index[name]
    table = read(real_tables / row["file"], target=row["target"])
    assert table.source.rows == int(row["rows"])
    assert len(table) == int(row["rows"]) - int(row["missing_labels"])
    assert len(table.schema) == int(row["columns"])
    assert table.source.separator == row["separator"]
    assert sum(column.missing for column in table.schema) == int(row["missing"])
    target = table.schema.target
    assert target.task == row["task"]
    assert len(target.classes) == int(row["classes"] or 0)
    if target.classes:
        assert np.bincount(table.labels()).min() == int(row["smallest_class"])
    parts = split(table)
    assert sorted([*parts.train, *parts.test]) == list(range(len(table)))
    assert conform(table.frame, table.schema).equals(
        table.frame.select([column.name for column in table.schema.features])
    )
