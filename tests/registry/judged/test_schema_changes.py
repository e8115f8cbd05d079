"""What a caller of one model meets with another: what breaks is told from what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tabstudio.registry.schema_changes import changes
from tabstudio.table.schema import Column, Schema, Target

AGE, CITY = Column("age", "number", dtype="Int64"), Column("home city", "category")
OLD = Schema((AGE, CITY, Column("ill", "category", "target")), Target("ill", "binary", ("no", "yes"), "yes"))


def with_columns(*columns):
    return replace(OLD, columns=(*columns, OLD["ill"]))


@pytest.mark.parametrize(
    ("new", "told", "breaking"),
    [
        (with_columns(AGE), "column 'home city' is no longer used", False),
        (with_columns(AGE, CITY, Column("bmi", "number")), "column 'bmi' is newly required", True),
        (with_columns(AGE, replace(CITY, name="home_city")), "'home_city' was 'home city' before", True),
        (with_columns(replace(AGE, kind="category"), CITY), "'age' is a category, it was a number", True),
        (
            with_columns(replace(AGE, format="decimal comma"), CITY),
            "written decimal comma, it was plain",
            True,
        ),
        (replace(OLD, target=replace(OLD.target, classes=("no", "perhaps"))), "classes is no, perhaps", True),
        (
            replace(OLD, target=replace(OLD.target, positive="no")),
            "class of interest is no, it was yes",
            True,
        ),
    ],
)
def test_a_change_is_told_and_weighed(new, told, breaking):
    found = changes(OLD, new)
    assert told in str(found[0])
    assert found[0].breaking is breaking


def test_what_changes_nothing_for_callers_is_no_change():
    assert changes(OLD, OLD) == ()
    assert changes(OLD, with_columns(CITY, replace(AGE, dtype="Float64", missing=3, reason="other"))) == ()
