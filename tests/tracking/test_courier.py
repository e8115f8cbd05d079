"""The delivery, interrupted after every single call: the server did it, and we never learned that."""

from __future__ import annotations

import json
import os
import time
from itertools import count

import pytest

from tabstudio.tracking.run import Run
from tabstudio.tracking.spool import Journal, RunFolder

from .conftest import SCHEMA

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def _mlflow_forgets():
    """The delivering process gives MLflow its address for good, in the environment too."""
    yield
    import mlflow

    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)


def recorded(spool, uri, bundle, name):
    about = {
        "tracking_uri": uri,
        "registry_uri": uri,
        "experiment": "interrupted",
        "run_name": name,
        "source": "test",
        "tags": {},
        "start_time": int(time.time() * 1000),
    }
    run = Run(Journal(spool, about), lambda _: None, "interrupted")
    run.params({"lr": 0.1})
    run.metrics({"loss": 0.5, "test_accuracy": 0.9}, step=1)
    run.dataset("d", "ab" * 32, SCHEMA, 5, "d.csv", "training")
    run.artifact(b"picture", "pictures/roc.png")
    run.model(bundle, SCHEMA, registered_name=name, metrics={"test_accuracy": 0.9}, card="# Card")
    run.finish()
    return spool / "runs" / run.id


def to_the_end(courier):
    while not courier.done:
        courier.step()


def delivered_with_one_lost_answer(path, server, lost):
    """Deliver the run, the answer to call number `lost` getting lost; whether there was such a call."""
    from tabstudio.tracking.courier import Courier
    from tabstudio.tracking.mlflow_store import UnreachableError

    calls = count()
    plain = type(server).__call__

    class Flaky(type(server)):
        def __call__(self, doing, call):
            answer = plain(self, doing, call)
            if next(calls) == lost:
                raise UnreachableError("the answer was lost")
            return answer

    server.__class__ = Flaky
    try:
        while path.exists():
            courier = Courier(RunFolder(path), lambda _: server)
            try:
                to_the_end(courier)
            except UnreachableError:
                continue
    finally:
        server.__class__ = Flaky.__base__
    return next(calls) > lost + 1


def test_whatever_answer_is_lost_everything_stands_in_mlflow_once(database, bundle, tmp_path, monkeypatch):
    from tabstudio.tracking import environment
    from tabstudio.tracking.mlflow_store import MlflowStore

    monkeypatch.setattr(environment, "packages", lambda: ["a==1"])
    server = MlflowStore(database, database, str(tmp_path))
    for lost in count():
        name = f"model-{lost}"
        path = recorded(tmp_path / "spool", database, bundle, name)
        there_was = delivered_with_one_lost_answer(path, server, lost)
        experiment = server.client.get_experiment_by_name("interrupted")
        found = server.client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
        assert len(found) == 1, f"after losing answer {lost}"
        (run,) = found
        assert run.info.status == "FINISHED"
        assert run.data.params == {"lr": "0.1"}
        assert len(server.client.get_metric_history(run.info.run_id, "test_accuracy")) == 1
        assert len(server.client.get_metric_history(run.info.run_id, "loss")) == 1
        assert len(run.inputs.dataset_inputs) == 1
        (output,) = run.outputs.model_outputs
        (version,) = server.client.search_model_versions(f"name = '{name}'")
        model = server.client.get_logged_model(output.model_id)
        assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": name, "version": "1"}]
        assert version.source == f"models:/{output.model_id}"
        assert len(model.metrics) == 1
        if not there_was:
            assert lost > 15
            break
    assert len(server.client.search_logged_models([experiment.experiment_id], max_results=100)) == lost + 1


def test_a_run_that_was_deleted_in_mlflow_waits_and_says_so(database, bundle, tmp_path):
    from tabstudio.tracking.courier import Courier
    from tabstudio.tracking.mlflow_store import MlflowStore, UnreachableError

    server = MlflowStore(database, database, str(tmp_path))
    path = recorded(tmp_path / "spool", database, bundle, "deleted")
    courier = Courier(RunFolder(path), lambda _: server)
    courier.step()
    server.client.delete_run(courier.state.run_id)
    with pytest.raises(UnreachableError, match="was deleted"):
        to_the_end(courier)
    assert RunFolder(path).pending() > 0
    server.client.restore_run(courier.state.run_id)
    to_the_end(courier)
    assert server.client.get_run(courier.state.run_id).info.status == "FINISHED"


def test_a_deleted_experiment_says_how_to_restore_it(database, bundle, tmp_path):
    from tabstudio.tracking.courier import Courier
    from tabstudio.tracking.mlflow_store import MlflowStore, UnreachableError

    server = MlflowStore(database, database, str(tmp_path))
    server.client.delete_experiment(server.client.create_experiment("interrupted"))
    path = recorded(tmp_path / "spool", database, bundle, "lost")
    with pytest.raises(UnreachableError, match="experiments restore"):
        Courier(RunFolder(path), lambda _: server).step()


def test_the_file_store_gets_each_point_once_too(bundle, tmp_path, monkeypatch):
    from tabstudio.tracking.courier import Courier
    from tabstudio.tracking.mlflow_store import MlflowStore

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "store").as_uri()
    server = MlflowStore(uri, uri, str(tmp_path))
    path = recorded(tmp_path / "spool", uri, bundle, "file")
    first = Courier(RunFolder(path), lambda _: server)
    while not first._latest:
        before = (path / "state.json").read_text() if (path / "state.json").exists() else ""
        first.step()
    (path / "state.json").write_text(before)  # killed after the push, before the note
    again = Courier(RunFolder(path), lambda _: server)
    to_the_end(again)
    assert len(server.client.get_metric_history(again.state.run_id, "loss")) == 1
