"""What is followed is seen to change, however old it is and however much came after it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tabstudio.registry.mlflow_client import RegistryClient
from tabstudio.studio.services.runs.run_store import RunStore
from tabstudio.studio.services.topics import NEWEST_RUNS, topic_sources
from tabstudio.tracking.sqlite_template import opened


@pytest.fixture
def studio(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow = opened(uri, lambda: MlflowClient(uri, uri))
    return SimpleNamespace(mlflow=mlflow, runs=RunStore(RegistryClient(uri, uri)))


def test_the_parent_of_a_sweep_that_ends_after_its_many_children_is_noticed(studio):
    look = topic_sources(studio)["runs"].token
    parent = studio.mlflow.create_run("0", start_time=1).info.run_id
    for place in range(NEWEST_RUNS + 1):
        child = studio.mlflow.create_run("0", start_time=1000 + place, tags={"mlflow.parentRunId": parent})
        studio.mlflow.set_terminated(child.info.run_id, end_time=2000 + place)
    before = look("")
    assert look("") == before
    studio.mlflow.set_terminated(parent, end_time=1500)
    assert look("") != before


def test_an_old_run_that_is_delivered_late_is_noticed(studio):
    look = topic_sources(studio)["runs"].token
    for place in range(NEWEST_RUNS + 1):
        studio.mlflow.set_terminated(studio.mlflow.create_run("0", start_time=1000 + place).info.run_id)
    before = look("")
    studio.mlflow.set_terminated(studio.mlflow.create_run("0", start_time=1).info.run_id, end_time=2)
    assert look("") != before
