"""Scripts that talk to MLflow themselves, run as processes, with a real MLflow."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import pytest

from tabstudio.tracking import deliver

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

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


SCRIPTS: dict[str, tuple[str, int]] = {}


def script(text, code=0):
    """Register the script of a test, which the loop's definition is put before, and its exit code."""

    def registered(test):
        SCRIPTS[test.__name__] = text, code
        return test

    return registered


def executed(folder, empty_mlflow, text, code, **environment):
    """Run a script in a new folder with an MLflow database of its own."""
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(empty_mlflow.read_bytes())
    lines = "import tabstudio\ntabstudio.autolog(log_models=False)\n" + LOOP + textwrap.dedent(text)
    (folder / "script.py").write_text(lines)
    command = [sys.executable, "script.py"]
    settings = os.environ | environment
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=240)
    assert done.returncode == code, done.stderr


def looked_up(folder):
    """A client and all runs of a folder's database, oldest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return client, client.search_runs(ids, order_by=["attributes.start_time"])


@pytest.fixture(scope="module")
def scripts(request, empty_mlflow, tmp_path_factory):
    """The folders of the scripts of all chosen tests; what they left in one spool is brought at once."""
    folder = tmp_path_factory.mktemp("scripts")
    chosen = {item.name for item in request.session.items if item.path == request.path}
    waiting = {"TABSTUDIO_HOME": str(folder / "spool"), "TABSTUDIO_DELIVERY": "later"}
    for name, (text, code) in SCRIPTS.items():
        if name in chosen:
            executed(folder / name, empty_mlflow, text, code, **waiting)
    brought = deliver(folder / "spool")
    assert brought.complete, brought
    return folder


@pytest.fixture
def ran(scripts, request):
    """What `looked_up` tells of the test's own script."""
    return looked_up(scripts / request.node.name)


def history(client, run, key):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]


def test_ours_goes_into_the_scripts_run_and_never_in_its_way(empty_mlflow, tmp_path):
    text = """
    import mlflow
    mlflow.pytorch.autolog()
    mlflow.set_experiment("mine")
    with mlflow.start_run(run_name="theirs"):
        mlflow.log_param("optimizer", "chosen by hand")
        for epoch, loss, val_loss in train():
            mlflow.log_metric("train_loss", loss, step=epoch)
        mlflow.log_params({"model": "mine", "optimizer.lr": 7})
    """
    executed(tmp_path / "mine", empty_mlflow, text, 0, TABSTUDIO_DELIVERY="now")
    ends = time.monotonic() + 60
    while list((tmp_path / "mine" / ".tabstudio" / "runs").iterdir()):
        assert time.monotonic() < ends
        time.sleep(0.1)
    client, runs = looked_up(tmp_path / "mine")
    (run,) = runs
    assert run.info.run_name == "theirs"
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == "mine"
    assert [step for step, _ in history(client, run, "train_loss")] == [0, 1, 2]
    assert [step for step, _ in history(client, run, "val_loss")] == [1, 2, 3]
    params = run.data.params
    assert (params["optimizer"], params["model"], params["optimizer.lr"]) == ("chosen by hand", "mine", "7")
    assert params["loss"] == "MSELoss"


@script(
    """
    import mlflow
    for epoch, loss, _ in train():
        pass
    mlflow.log_metric("final", loss)
    """
)
def test_a_metric_that_is_logged_without_a_run_of_its_own_starts_one_that_ours_goes_into(ran):
    client, runs = ran
    (run,) = runs
    assert "final" in run.data.metrics
    assert len(history(client, run, "train_loss")) == 3


@script(
    """
    import mlflow
    mlflow.set_experiment("set by hand")
    list(train())
    """
)
def test_an_experiment_that_was_set_gets_our_run_where_the_script_starts_none(ran):
    client, runs = ran
    (run,) = runs
    assert client.get_experiment(run.info.experiment_id).name == "set by hand"
    assert run.info.status == "FINISHED"
    assert len(history(client, run, "val_loss")) == 3


@script(
    """
    import mlflow
    with mlflow.start_run(run_name="parent"):
        for epochs in (2, 3):
            with mlflow.start_run(run_name=f"child {epochs}", nested=True):
                list(train(epochs))
    """
)
def test_nested_runs_each_get_their_training(ran):
    client, runs = ran
    points = {run.info.run_name: len(history(client, run, "train_loss")) for run in runs}
    assert points == {"parent": 0, "child 2": 2, "child 3": 3}


@script(
    """
    import mlflow
    with mlflow.start_run():
        list(train(2))
        list(train(3))
    """
)
def test_several_trainings_in_one_run_of_the_script_have_names_of_their_own(ran):
    client, runs = ran
    (run,) = runs
    assert [len(history(client, run, name)) for name in ("train_loss", "train_loss_2")] == [2, 3]


@script(
    """
    import mlflow
    mlflow.start_run()
    for epoch, loss, _ in train():
        pass
    raise ValueError("the user's own error")
    """,
    code=1,
)
def test_the_scripts_run_is_failed_where_the_script_fails(ran):
    client, runs = ran
    (run,) = runs
    assert run.info.status == "FAILED"
    assert [f.path for f in client.list_artifacts(run.info.run_id, "error")] == ["error/error.txt"]
    assert len(history(client, run, "train_loss")) == 3


@script(
    """
    import mlflow, os, signal
    mlflow.start_run()
    for epoch, loss, _ in train(5):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
    """,
    code=-9,
)
def test_a_killed_script_leaves_its_run_killed_with_all_that_was_seen(ran):
    client, runs = ran
    (run,) = runs
    assert run.info.status == "KILLED"
    assert len(history(client, run, "train_loss")) >= 4
