"""The private names of MLflow are there and do what `_compat` says of them."""

from __future__ import annotations

import mlflow
from mlflow.entities import Metric, Run, RunData, RunInfo

from tabstudio._compat import mlflow as compat


def test_a_client_knows_its_registry():
    client = mlflow.MlflowClient("http://127.0.0.1:9", registry_uri="http://127.0.0.1:8")
    assert compat.registry_uri(client) == "http://127.0.0.1:8"
    assert hasattr(compat.tracking_store(client), "get_run")


def test_the_experiment_of_the_program_is_known(monkeypatch):
    assert compat.active_experiment_id() is None
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", "7")
    assert compat.active_experiment_id() == "7"
    assert "_active_experiment_id" in mlflow.set_experiment.__globals__


def test_the_last_points_of_a_run_have_their_steps():
    data = RunData(metrics=[Metric("loss", 0.5, 1, 3)])
    info = RunInfo("r", "1", "u", "FINISHED", 0, 1, "active")
    assert [(m.key, m.step) for m in compat.latest_metrics(Run(info, data))] == [("loss", 3)]


def test_a_filter_becomes_conditions():
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.utils.search_utils import SearchUtils
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    class Store(SqlAlchemyStore):
        def __init__(self):
            self.engine = create_engine("sqlite://")

    assert compat.is_filter_readable()
    parsed = SearchUtils.parse_search_filter("attributes.status = 'FINISHED' and metrics.loss < 1")
    store = Store()
    with Session(store.engine) as session:
        attributes, tables, datasets = compat.filter_clauses(store, session, parsed)
    assert (len(attributes), len(tables), len(datasets)) == (1, 1, 0)
