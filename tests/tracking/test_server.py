"""A server that is away, comes back, is killed in the middle, answers 500 or not at all."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tabstudio.tracking import Recorder, deliver

from .conftest import SCHEMA

pytestmark = [pytest.mark.delivers, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def client(uri):
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


def record(recorder, bundle, name, between=None):
    """Record one run whole, with something happening between its two halves."""
    with recorder.start("server", name) as run:
        run.params({"lr": 0.1})
        for step in range(500):
            run.metrics({"loss": 1 / (step + 1)}, step=step)
        if between:
            between()
        for step in range(500, 1000):
            run.metrics({"loss": 1 / (step + 1)}, step=step)
        run.artifact(b"picture", "pictures/roc.png")
        run.metrics({"test_accuracy": 0.9})
        run.model(bundle, SCHEMA, registered_name=name, metrics={"test_accuracy": 0.9}, card="# Card")


def assert_whole(uri, run_id, name):
    mlflow = client(uri)
    run = mlflow.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lr": "0.1"}
    assert [m.step for m in mlflow.get_metric_history(run_id, "loss")] == list(range(1000))
    assert [f.path for f in mlflow.list_artifacts(run_id, "pictures")] == ["pictures/roc.png"]
    assert len(run.outputs.model_outputs) == 1
    assert len(mlflow.search_model_versions(f"name = '{name}'")) == 1
    runs = mlflow.search_runs([run.info.experiment_id], f"attributes.run_name = '{name}'")
    assert len(runs) == 1


def test_a_server_that_is_killed_and_comes_back_gets_everything_once(server, bundle, tmp_path):
    spool = tmp_path / "spool"

    with Recorder(spool, server.uri) as recorder:
        record(recorder, bundle, "down-at-start")
        delivery = recorder.wait(180)
    assert not delivery.complete
    assert delivery.pending == 1005
    assert server.uri in delivery.error
    assert "nothing answers there" in delivery.error
    assert "tabstudio sync" in delivery.error
    assert "Traceback" not in str(delivery)
    again = deliver(spool)
    assert not again.complete
    assert again.deliveries[0].pending == 1005

    server.start()
    brought = deliver(spool)
    assert brought.complete, brought
    assert_whole(server.uri, brought.deliveries[0].run_id, "down-at-start")
    assert deliver(spool).deliveries == ()

    def kill_while_delivering():
        for _ in range(1800):
            experiment = client(server.uri).get_experiment_by_name("server")
            found = client(server.uri).search_runs(
                [experiment.experiment_id], "attributes.run_name = 'killed'"
            )
            if found and found[0].data.metrics:
                break
            time.sleep(0.1)
        server.kill()

    with Recorder(spool, server.uri) as recorder:
        record(recorder, bundle, "killed", kill_while_delivering)
        delivery = recorder.wait(180)
        assert not delivery.complete
        assert 0 < delivery.pending < 1005
    server.start()
    # The next start brings what was left.
    with Recorder(spool, server.uri) as recorder:
        with recorder.start("server", "next"):
            pass
        assert recorder.wait(180).complete
        assert not recorder.problem
    for _ in range(1800):
        if not list((spool / "runs").iterdir()):
            break
        time.sleep(0.1)
    assert_whole(server.uri, delivery.run_id, "killed")


@pytest.fixture
def broken():
    """A server that answers 500 to everything, or hangs when told to."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests += 1
            if self.server.hangs:
                self.server.over.wait(60)
            self.send_response(500)
            self.end_headers()
            self.wfile.write(b"Internal Server Error")

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.requests, httpd.hangs, httpd.over = 0, False, threading.Event()
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield httpd
    httpd.over.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.mark.parametrize("hangs", [False, True])
def test_a_broken_server_holds_nothing_up_and_nothing_is_lost(broken, hangs, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    broken.hangs = hangs
    uri = f"http://127.0.0.1:{broken.server_port}"
    with Recorder(tmp_path, uri) as recorder:
        with recorder.start() as run:
            run.metrics({"loss": 1.0})
        delivery = recorder.wait(180)
    assert delivery.pending == 2
    assert uri in delivery.error
    assert ("in time" if hangs else "500") in delivery.error
    assert 0 < broken.requests < 20
