"""TABSTUDIO_DELIVERY=later: everything waits in the spool, and `tabstudio sync` brings it."""

import subprocess
import sys

import pytest

from tabstudio.cli.app import run
from tabstudio.errors import ConfigError
from tabstudio.recipes import train
from tabstudio.tracking import Recorder, deliver

from .conftest import SCHEMA

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def later(monkeypatch):
    monkeypatch.setenv("TABSTUDIO_DELIVERY", "later")


@pytest.fixture
def no_process(monkeypatch):
    """Fail where a Python process is started; matplotlib may ask for the system's fonts."""
    start = subprocess.Popen

    class Refused(start):
        def __init__(self, command, *rest, **named):
            assert command[0] != sys.executable, command
            super().__init__(command, *rest, **named)

    monkeypatch.setattr(subprocess, "Popen", Refused)


def test_nothing_is_started_and_the_delivery_names_the_command(later, no_process, database, tmp_path):
    with Recorder(tracking_uri=database) as recorder:
        with recorder.start("e", "r") as run:
            run.metrics({"loss": 1.0})
        delivery = recorder.wait(60)
    assert (delivery.complete, delivery.postponed, delivery.pending) == (False, True, 2)
    assert delivery.run_id == ""
    assert "tabstudio sync" in delivery.error
    assert delivery.hint == "tabstudio sync"
    assert recorder.problem == ""
    assert len(list((tmp_path / ".tabstudio" / "runs").iterdir())) == 1


def test_sync_brings_all_of_it(later, database, bundle, monkeypatch):
    from mlflow import MlflowClient

    with monkeypatch.context() as patched, Recorder(tracking_uri=database) as recorder:
        patched.setattr(subprocess, "Popen", None)
        with recorder.start("e", "parent") as parent:
            parent.model(bundle, SCHEMA, registered_name="cancer")
            with recorder.start(run_name="child", parent=parent) as child:
                child.metrics({"loss": 0.5}, step=3)
        held = recorder.start("e", "held", held=True)
        recorder.send(held, experiment="elsewhere")
        held.finish()
    brought = deliver()
    assert brought.complete
    client = MlflowClient(database, database)
    found = {
        experiment.name: sorted(
            run.info.run_name for run in client.search_runs([experiment.experiment_id]) if run.info.status
        )
        for experiment in client.search_experiments()
    }
    assert found == {"Default": [], "e": ["child", "parent"], "elsewhere": ["held"]}
    assert client.get_model_version("cancer", "1").run_id == brought.deliveries[0].run_id
    assert brought.deliveries[0].model_uri == "models:/cancer/1"
    assert deliver().deliveries == ()


def test_a_training_ends_well_and_says_what_waits(later, no_process, cancer_csv, capsys):
    told = ["--epochs", "2", "--no-references", "--resamples", "20", "--hidden", "8", "--folds", "2"]
    assert run(["train", str(cancer_csv), "--target", "diagnosis", *told]) == 0
    printed = capsys.readouterr().out
    assert "TABSTUDIO_DELIVERY=later" in printed
    assert "tabstudio sync" in printed


def test_a_sweep_ends_well_and_says_what_waits(later, no_process, cancer_csv, capsys):
    told = ["--epochs", "2", "--trials", "2", "--hidden", "8"]
    assert run(["sweep", str(cancer_csv), "--target", "diagnosis", *told]) == 0
    assert "TABSTUDIO_DELIVERY=later" in capsys.readouterr().out


def test_mlflow_is_not_imported(database):
    code = """
from tabstudio.tracking import Recorder
import psutil, sys
with Recorder() as recorder:
    with recorder.start("e") as run:
        run.metrics({"loss": 1.0})
    recorder.wait(60)
assert psutil.Process().children() == []
assert "mlflow" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={"TABSTUDIO_DELIVERY": "later"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_another_word_is_refused(monkeypatch, cancer_csv):
    monkeypatch.setenv("TABSTUDIO_DELIVERY", "soon")
    with pytest.raises(ConfigError, match="TABSTUDIO_DELIVERY: expected now or later, got 'soon'"):
        train(cancer_csv, "diagnosis")
