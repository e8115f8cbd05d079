"""Scripts that talk to MLflow themselves, run as processes, with a real MLflow."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

pytestmark = [pytest.mark.delivers, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

LOOP = """
import torch
from torch import nn
def train(epochs=3):
    torch.manual_seed(0)
    x, y = torch.randn(20, 3), torch.randn(20, 1)
    model, criterion = nn.Linear(3, 1), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            val_loss = criterion(model(x), y)
        yield epoch, loss.item(), val_loss.item()
"""


@pytest.fixture
def ran(empty_mlflow, tmp_path):
    """Run a script after the loop's definition; give a client and all runs of its database, oldest first."""

    def run(script, code=0):
        from mlflow import MlflowClient

        (tmp_path / "mlflow.db").write_bytes(empty_mlflow.read_bytes())
        lines = "import tabstudio\ntabstudio.autolog(log_models=False)\n" + LOOP + textwrap.dedent(script)
        (tmp_path / "script.py").write_text(lines)
        done = subprocess.run(
            [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, done.stderr
        client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
        for _ in range(600):
            if not list((tmp_path / ".tabstudio" / "runs").iterdir()):
                break
            time.sleep(0.1)
        ids = [experiment.experiment_id for experiment in client.search_experiments()]
        return client, client.search_runs(ids, order_by=["attributes.start_time"])

    return run


def history(client, run, key):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]


def test_ours_goes_into_the_scripts_run_and_never_in_its_way(ran):
    client, runs = ran("""
    import mlflow
    mlflow.pytorch.autolog()
    mlflow.set_experiment("mine")
    with mlflow.start_run(run_name="theirs"):
        mlflow.log_param("optimizer", "chosen by hand")
        for epoch, loss, val_loss in train():
            mlflow.log_metric("train_loss", loss, step=epoch)
        mlflow.log_params({"model": "mine", "optimizer.lr": 7})
    """)
    (run,) = runs
    assert run.info.run_name == "theirs"
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == "mine"
    assert [step for step, _ in history(client, run, "train_loss")] == [0, 1, 2]
    assert [step for step, _ in history(client, run, "val_loss")] == [1, 2, 3]
    params = run.data.params
    assert (params["optimizer"], params["model"], params["optimizer.lr"]) == ("chosen by hand", "mine", "7")
    assert params["loss"] == "MSELoss"


def test_a_metric_that_is_logged_without_a_run_of_its_own_starts_one_that_ours_goes_into(ran):
    client, runs = ran("""
    import mlflow
    for epoch, loss, _ in train():
        pass
    mlflow.log_metric("final", loss)
    """)
    (run,) = runs
    assert "final" in run.data.metrics
    assert len(history(client, run, "train_loss")) == 3


def test_an_experiment_that_was_set_gets_our_run_where_the_script_starts_none(ran):
    client, runs = ran("""
    import mlflow
    mlflow.set_experiment("set by hand")
    list(train())
    """)
    (run,) = runs
    assert client.get_experiment(run.info.experiment_id).name == "set by hand"
    assert run.info.status == "FINISHED"
    assert len(history(client, run, "val_loss")) == 3


def test_nested_runs_each_get_their_training(ran):
    client, runs = ran("""
    import mlflow
    with mlflow.start_run(run_name="parent"):
        for epochs in (2, 3):
            with mlflow.start_run(run_name=f"child {epochs}", nested=True):
                list(train(epochs))
    """)
    points = {run.info.run_name: len(history(client, run, "train_loss")) for run in runs}
    assert points == {"parent": 0, "child 2": 2, "child 3": 3}


def test_several_trainings_in_one_run_of_the_script_have_names_of_their_own(ran):
    client, runs = ran("""
    import mlflow
    with mlflow.start_run():
        list(train(2))
        list(train(3))
    """)
    (run,) = runs
    assert [len(history(client, run, name)) for name in ("train_loss", "train_loss_2")] == [2, 3]


def test_the_scripts_run_is_failed_where_the_script_fails(ran):
    client, runs = ran(
        """
    import mlflow
    mlflow.start_run()
    for epoch, loss, _ in train():
        pass
    raise ValueError("the user's own error")
    """,
        code=1,
    )
    (run,) = runs
    assert run.info.status == "FAILED"
    assert [f.path for f in client.list_artifacts(run.info.run_id, "error")] == ["error/error.txt"]
    assert len(history(client, run, "train_loss")) == 3


def test_a_killed_script_leaves_its_run_killed_with_all_that_was_seen(ran):
    client, runs = ran(
        """
    import mlflow, os, signal
    mlflow.start_run()
    for epoch, loss, _ in train(5):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
    """,
        code=-9,
    )
    (run,) = runs
    assert run.info.status == "KILLED"
    assert len(history(client, run, "train_loss")) >= 4
