"""Every real table trains with nothing but the name of its target."""

from __future__ import annotations

import csv

import pytest

from tabstudio.recipes import train
from tabstudio.tracking import deliver

NAMES = (
    "abalone",
    "adult",
    "breast_cancer",
    "california_housing",
    "car_evaluation",
    "compas_two_years",
    "credit_default",
    "german_credit",
    "insurance_charges",
    "king_county_houses",
    "lending_club",
    "letter_recognition",
    "magic_telescope",
    "mushroom",
    "nsl_kdd_20pct",
    "online_shoppers",
    "pima_diabetes",
    "stroke",
    "telco_churn",
    "titanic",
    "wine_quality_white",
)


@pytest.fixture(scope="module", autouse=True)
def _spool(tmp_path_factory):
    """One spool for all of them, with room for what waits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TABSTUDIO_HOME", str(tmp_path_factory.mktemp("spool")))
        yield


@pytest.mark.parametrize("name", NAMES)
def test_a_real_table_trains_with_no_other_flag(real_tables, name):
    with (real_tables / "INDEX.csv").open() as file:
        entry = next(row for row in csv.DictReader(file) if row["name"] == name)
    result = train(
        real_tables / entry["file"], entry["target"], epochs=1, references=False, register=False, resamples=20
    )
    table = result.exploration.table
    assert table.schema.target.task == entry["task"]
    assert len(table) == int(entry["rows"]) - int(entry["missing_labels"])
    assert result.delivery.pending > 10
    if entry["task"] == "regression":
        assert result.evaluation["r2"].value > 0
    elif entry["task"] == "binary":
        assert result.evaluation["roc_auc"].value > 0.55
    else:
        assert result.evaluation["accuracy"].value >= 0.9 * float(entry["largest_class_share"])


def test_mlflow_takes_all_of_it(real_tables):
    """What the trainings above have left in the spool, names of columns and signatures as they are."""
    brought = deliver()
    assert brought.complete, brought
    assert all(delivery.model_uri for delivery in brought.deliveries)
