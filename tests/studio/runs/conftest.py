"""A local MLflow store with a sweep, a plain run and names that hold markup."""

from __future__ import annotations

import pytest

from tabstudio.registry.mlflow_client import RegistryClient
from tabstudio.studio.services.runs.run_store import RunStore
from tabstudio.tracking.sqlite_template import opened


@pytest.fixture
def client(tmp_path, monkeypatch) -> RegistryClient:
    """A client of an empty local store in a folder of its own."""
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    opened(uri, lambda: MlflowClient(uri, uri))
    return RegistryClient(uri, uri)


@pytest.fixture
def runs(client) -> RunStore:
    """The runs of that store, as the studio finds them."""
    return RunStore(client)


@pytest.fixture
def log(client):
    """Log a run as plain MLflow does; returns its id."""
    made = iter(range(1000))

    def logged(name, experiment="first", status="FINISHED", parent="", params=None, metrics=None):
        mlflow = client.mlflow
        found = mlflow.get_experiment_by_name(experiment)
        number = found.experiment_id if found else mlflow.create_experiment(experiment)
        tags = {"mlflow.parentRunId": parent} if parent else {}
        run = mlflow.create_run(number, start_time=1_000_000 + 1000 * next(made), tags=tags, run_name=name)
        for key, value in (params or {}).items():
            mlflow.log_param(run.info.run_id, key, value)
        for key, values in (metrics or {}).items():
            for step, value in enumerate(values if isinstance(values, list) else [values]):
                mlflow.log_metric(run.info.run_id, key, value, step=step)
        if status != "RUNNING":
            mlflow.set_terminated(run.info.run_id, status, end_time=2_000_000)
        return run.info.run_id

    return logged
