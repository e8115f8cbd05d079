"""Runs are filtered, sorted, counted and grouped alike in MLflow's tables and through its API."""

from __future__ import annotations

import math

import pytest

from tabstudio.errors import ConfigError, TrackingError
from tabstudio.studio.services.runs.run_query import RunQuery
from tabstudio.studio.services.runs.run_search import ApiRunSearch, SqlRunSearch, search_of

WAYS = pytest.mark.parametrize("way", [SqlRunSearch, ApiRunSearch])


@pytest.fixture
def found(runs, client, monkeypatch):
    """Names of the rows that a query finds, and their number, one way or the other."""

    def names(way, offset=0, limit=25, **query):
        chosen = search_of(client.mlflow) if way is SqlRunSearch else ApiRunSearch(client.mlflow)
        assert type(chosen) is way
        monkeypatch.setitem(runs.__dict__, "_finder", chosen)
        page = runs.page(RunQuery(**query), offset, limit)
        return [row.name for row in page.rows], page.total

    return names


@WAYS
def test_filters_hold_together(way, found, log):
    log("one", params={"network": "mlp"}, metrics={"auc": 0.95})
    log("two", params={"network": "mlp"}, metrics={"auc": 0.85})
    log("three", params={"network": "tabm"}, metrics={"auc": 0.99})
    log("Done one", experiment="second", status="FAILED")
    assert found(way, filter="metrics.auc > 0.9 and params.network = 'mlp'") == (["one"], 1)
    assert found(way, name="ONE") == (["Done one", "one"], 2)
    assert found(way, name="one", status="FAILED") == (["Done one"], 1)
    assert found(way, name="'") == ([], 0)


@WAYS
def test_an_experiment_is_picked_by_its_id(way, found, log, runs):
    log("one")
    log("two", experiment="second")
    numbers = {name: number for number, name in runs.experiments().items()}
    assert found(way, experiments=(numbers["second"],)) == (["two"], 1)
    assert found(way, experiments=("12345",)) == ([], 0)


@WAYS
def test_metrics_sort_by_value_and_what_is_missing_comes_last(way, found, log):
    for name, value in (("low", 0.1), ("none", None), ("high", 10.0), ("nan", math.nan), ("mid", 2.0)):
        log(name, metrics={} if value is None else {"a b/c": value})
    assert found(way, order="metrics.a b/c")[0] == ["high", "mid", "low", "nan", "none"]
    assert found(way, order="metrics.a b/c", descending=False)[0] == ["low", "mid", "high", "nan", "none"]


def test_parameters_sort_as_numbers_where_they_are_numbers(found, log):
    for name, value in (("ten", "10"), ("nine", "9"), ("small", "1e-3"), ("word", "auto"), ("none", None)):
        log(name, params={} if value is None else {"rate": value})
    assert found(SqlRunSearch, order="params.rate", descending=False)[0] == [
        *("small", "nine", "ten"),
        *("word", "none"),
    ]
    assert found(SqlRunSearch, order="params.rate")[0] == ["ten", "nine", "small", "word", "none"]


@WAYS
def test_pages_follow_each_other_and_know_how_many_there_are(way, found, log):
    names = [log(f"run {number}") and f"run {number}" for number in range(7)]
    shown = [found(way, offset, 3, order="started", descending=False) for offset in (0, 3, 6, 9)]
    assert [total for _, total in shown] == [7] * 4
    assert [name for page, _ in shown for name in page] == names


@WAYS
def test_a_sweep_folds_its_trials(way, found, log, runs):
    sweep = log("sweep")
    log("plain")
    for number in range(3):
        log(f"trial {number}", parent=sweep)
    assert found(way, grouped=True, order="name", descending=False) == (["plain", "sweep"], 2)
    page = runs.page(RunQuery(grouped=True, order="name", descending=False), children=True)
    assert [row.children for row in page.rows] == [0, 3]
    assert found(way, parent=sweep)[1] == 3


def test_columns_are_what_the_runs_have_the_most_frequent_first(runs, log):
    log("one", params={"b": 1}, metrics={"x": 1, "y": 1})
    log("two", params={"a": 1}, metrics={"y": 1})
    assert runs.columns(RunQuery()) == type(runs.columns(RunQuery()))(("y", "x"), ("a", "b"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (RunQuery(filter="metrics.auc >"), "filter 'metrics.auc >': Invalid clause"),
        (RunQuery(filter="metrics.auc = 'x'"), "write for example metrics.test_roc_auc > 0.9"),
        (RunQuery(filter="nonsense"), "filter 'nonsense'"),
        (RunQuery(status="DONE"), "status 'DONE': one of RUNNING"),
        (RunQuery(order="weight"), "order 'weight': one of name"),
    ],
)
def test_a_query_without_sense_is_told_in_one_sentence(runs, query, said):
    with pytest.raises(ConfigError) as caught:
        runs.page(query)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_that_is_not_there_is_named(runs):
    with pytest.raises(TrackingError, match="look at run 0123"):
        runs.rows(["0123"])
