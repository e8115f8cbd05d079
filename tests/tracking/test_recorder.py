import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import psutil
import pytest

from tabstudio.errors import ConfigError, TrackingError
from tabstudio.tracking import Recorder, deliver

from .conftest import SCHEMA

# MLflow uses what the SQLAlchemy that it asks for has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def client(uri):
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


def points(uri, run_id, key):
    return [(m.step, m.value) for m in client(uri).get_metric_history(run_id, key)]


@pytest.fixture(scope="module")
def whole(empty_mlflow, tmp_path_factory):
    """One run with everything in a folder of its own: what `wait` gave, MLflow's view, the folder."""
    folder = tmp_path_factory.mktemp("whole")
    uri = f"sqlite:///{folder}/mlflow.db"
    (folder / "mlflow.db").write_bytes(empty_mlflow.read_bytes())
    (folder / "bundle").mkdir()
    (folder / "bundle" / "manifest.json").write_text("{}")
    before = Path.cwd()
    os.chdir(folder)
    example = pl.DataFrame(
        {
            "id": [1, 2],
            "colour": ["red", None],
            "count": [1, 2],
            "mean radius": [0.5, math.nan],
            "gaps": [None, 3],
        }
    )
    with Recorder() as recorder:
        with recorder.start("cancer", "first", tags={"team": "blue"}, source="tabstudio train x.csv") as run:
            run.params(
                {"split": {"folds": 5, "group": None}, "long": "x" * 7000, **{f"p{i}": i for i in range(150)}}
            )
            for step in range(50):
                run.metrics({"train_loss": 1 / (step + 1), "val (%)": 2.0}, step=step)
            run.metrics({"nan": math.nan, "inf": math.inf})
            run.dataset("cancer.csv", "ab" * 32, SCHEMA, 569, "data/cancer.csv", "training")
            run.artifact(b"png", "pictures/roc.png")
            run.artifact(folder / "bundle", "whole folder")
            run.note("# The card")
            run.metrics({"test_accuracy": 0.9})
            run.model(
                folder / "bundle",
                SCHEMA,
                example,
                registered_name="breast-cancer",
                metrics={"test_accuracy": 0.9},
                card="# The card",
                tags={"recipe": "default"},
            )
        delivery = recorder.wait(180)
    os.chdir(before)
    return delivery, client(uri), folder


def test_the_delivery_says_where_everything_is(whole):
    delivery, _, folder = whole
    assert delivery.complete
    assert delivery.error == ""
    assert delivery.model_uri == "models:/breast-cancer/1"
    assert delivery.version == "1"
    assert delivery.hint == f"mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db"
    assert any("'val (%)' is called 'val ___'" in note for note in delivery.notes)
    assert any("parameter long: 7000 characters" in note for note in delivery.notes)


def test_the_spool_is_empty_after_the_delivery(whole):
    _, _, folder = whole
    assert list((folder / ".tabstudio" / "runs").iterdir()) == []


def test_params_metrics_tags_and_note_stand_in_mlflow(whole):
    delivery, mlflow, _ = whole
    run = mlflow.get_run(delivery.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "first"
    assert run.data.params["split.folds"] == "5"
    assert run.data.params["p149"] == "149"
    assert run.data.params["long"].endswith("(shortened, 7000 in all)")
    assert run.data.tags["team"] == "blue"
    assert run.data.tags["mlflow.source.name"] == "tabstudio train x.csv"
    assert run.data.tags["mlflow.note.content"] == "# The card"
    assert "characters were shortened" in run.data.tags["tabstudio.notes"]
    history = mlflow.get_metric_history(delivery.run_id, "train_loss")
    assert [(m.step, m.value) for m in history] == [(step, 1 / (step + 1)) for step in range(50)]
    assert math.isnan(run.data.metrics["nan"])
    assert run.data.metrics["inf"] > 1e300


def test_system_metrics_have_the_names_that_mlflow_gives_them(whole):
    delivery, mlflow, _ = whole
    assert mlflow.get_run(delivery.run_id).data.metrics["system/system_memory_usage_percentage"] > 0


def test_the_dataset_is_an_input_with_its_whole_fingerprint(whole):
    delivery, mlflow, _ = whole
    (used,) = mlflow.get_run(delivery.run_id).inputs.dataset_inputs
    assert used.dataset.digest == ("ab" * 32)[:36]
    assert json.loads(used.dataset.profile) == {"num_rows": 569, "fingerprint": "ab" * 32}
    assert json.loads(used.dataset.schema)["mlflow_colspec"][0]["name"] == "mean radius"
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "training")]


def test_artifacts_and_environment_stand_in_mlflow(whole):
    delivery, mlflow, _ = whole

    def names(path=None):
        return {info.path for info in mlflow.list_artifacts(delivery.run_id, path)}

    assert names("pictures") == {"pictures/roc.png"}
    assert names("whole folder") == {"whole folder/manifest.json"}
    assert names("environment") == {"environment/requirements.txt", "environment/environment.json"}


def test_the_model_has_signature_example_requirements_and_its_metrics(whole):
    from mlflow.models import Model

    delivery, mlflow, _ = whole
    (output,) = mlflow.get_run(delivery.run_id).outputs.model_outputs
    logged = mlflow.get_logged_model(output.model_id)
    assert str(logged.status) == "READY"
    assert [(m.key, m.value, m.dataset_name) for m in logged.metrics] == [
        ("test_accuracy", 0.9, "cancer.csv")
    ]
    assert logged.params["split.folds"] == "5"
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": "breast-cancer", "version": "1"}]
    place = Path(logged.artifact_location.removeprefix("file://"))
    model = Model.load(str(place))
    assert model.signature.inputs.input_names() == ["mean radius", "count", "gaps", "colour"]
    assert [t.name for t in model.signature.inputs.input_types()] == ["double", "long", "double", "string"]
    assert model.signature.outputs.input_names() == [
        "prediction",
        "probability_benign",
        "probability_malignant",
    ]
    example = json.loads((place / "input_example.json").read_text())
    assert example["data"] == [[0.5, 1, None, "red"], [None, 2, 3, None]]
    requirements = (place / "requirements.txt").read_text().split()
    assert requirements[0].startswith("tabstudio==")
    assert any(line.startswith("torch==") for line in requirements)


def test_a_metric_of_the_model_is_the_very_point_of_the_run(whole):
    delivery, mlflow, _ = whole
    assert len(mlflow.get_metric_history(delivery.run_id, "test_accuracy")) == 1


def test_the_version_has_the_card_and_the_tags(whole):
    delivery, mlflow, _ = whole
    version = mlflow.get_model_version("breast-cancer", "1")
    assert version.description == "# The card"
    assert version.tags["recipe"] == "default"
    assert version.run_id == delivery.run_id


@pytest.mark.delivers
def test_ctrl_c_and_errors_end_the_run_and_reach_the_caller(database):
    from tabstudio.errors import TrainingError

    ends = {}
    with Recorder(tracking_uri=database) as recorder:
        for error in (KeyboardInterrupt(), ValueError("a bug"), TrainingError("the loss is NaN")):
            with pytest.raises(type(error)), recorder.start("e") as run:  # noqa: PT012
                run.metrics({"loss": 1.0})
                raise error
            ends[type(error).__name__] = recorder.wait(180)
    mlflow = client(database)
    status = {name: mlflow.get_run(end.run_id).info.status for name, end in ends.items()}
    assert status == {"KeyboardInterrupt": "KILLED", "ValueError": "FAILED", "TrainingError": "FAILED"}
    texts = [
        Path(mlflow.download_artifacts(ends[name].run_id, "error/error.txt")).read_text()
        for name in ("ValueError", "TrainingError")
    ]
    assert "Traceback" in texts[0]
    assert texts[1] == "the loss is NaN"


def test_nothing_can_be_recorded_after_the_end(database):
    with Recorder(tracking_uri=database) as recorder:
        run = recorder.start()
        run.finish()
        run.finish("FAILED")
        assert run.status == "FINISHED"
        with pytest.raises(TrackingError, match="has ended"):
            run.metrics({"a": 1})
        with pytest.raises(TrackingError, match="has ended"):
            run.params({"a": 1})
        recorder.wait(180)


def test_a_name_that_leads_out_of_the_run_is_refused(database, bundle):
    with Recorder(tracking_uri=database) as recorder, recorder.start() as run:
        for name in ("../x", "/etc/passwd", ""):
            with pytest.raises(TrackingError, match="relative name"):
                run.artifact(b"", name)
        with pytest.raises(ConfigError, match="registered model's name"):
            run.model(bundle, SCHEMA, registered_name="a/b")


@pytest.mark.delivers
def test_what_mlflow_refuses_does_not_hold_up_the_rest(database):
    with Recorder(tracking_uri=database) as recorder:
        with recorder.start("e") as run:
            run.params({"lr": 0.1})
            run.params({"lr": 0.2, "other": 1})
            run.metrics({"loss": 1.0})
        delivery = recorder.wait(180)
    assert delivery.complete
    assert client(database).get_run(delivery.run_id).data.params == {"lr": "0.1", "other": "1"}
    assert any("lr" in note for note in delivery.notes)


TRAINING = """
import os, sys, time
from tabstudio.tracking import Recorder
recorder = Recorder(spool={spool!r}, tracking_uri={uri!r})
run = recorder.start("killed", "run")
for step in range(10**9):
    run.metrics({{"loss": step / 7}}, step=step)
    os.write(1, b"%d\\n" % step)
    time.sleep(0.0005)
"""


def killed_training(uri, spool, after=1500, delivering=None):
    """Start a training, end it with SIGKILL after so many points; the last step that it acknowledged."""
    code = TRAINING.format(uri=uri, spool=str(spool))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    read = b""
    while read.count(b"\n") < after or (delivering and not delivering()):
        read += os.read(process.stdout.fileno(), 2**16)
    process.send_signal(signal.SIGKILL)
    read += process.stdout.read()
    process.stdout.close()
    process.wait()
    return int(read[: read.rfind(b"\n")].splitlines()[-1])


def ended_run(uri):
    """Wait for the one run of `killed`; a process that outlives its training delivers it."""
    for _ in range(1800):
        experiment = client(uri).get_experiment_by_name("killed")
        runs = client(uri).search_runs([experiment.experiment_id]) if experiment else []
        if runs and runs[0].info.status != "RUNNING":
            return runs
        time.sleep(0.1)
    raise AssertionError(runs)


@pytest.mark.delivers
def test_after_kill_minus_nine_every_point_arrives_once_and_the_run_is_killed(database, tmp_path):
    last = killed_training(database, tmp_path / "spool")
    (run,) = ended_run(database)
    assert run.info.status == "KILLED"
    history = points(database, run.info.run_id, "loss")
    assert [step for step, _ in history] == list(range(len(history)))
    assert len(history) > last


@pytest.mark.delivers
def test_when_the_delivering_process_is_killed_too_sync_brings_each_point_once(database, tmp_path):
    spool = tmp_path / "spool"

    def delivering():
        states = list(spool.glob("runs/*/state.json"))
        return states and json.loads(states[0].read_text())["offset"] > 0

    def kill_deliverers():
        for process in psutil.process_iter(["cmdline"]):
            if str(spool) in (process.info["cmdline"] or []):
                process.kill()
                process.wait()

    last = killed_training(database, spool, delivering=delivering)
    kill_deliverers()
    brought = deliver(spool)
    assert brought.complete
    (run,) = ended_run(database)
    assert run.info.status == "KILLED"
    steps = [step for step, _ in points(database, run.info.run_id, "loss")]
    assert steps == list(range(len(steps)))
    assert len(steps) > last
    assert deliver(spool).deliveries == ()


@pytest.mark.delivers
def test_two_processes_share_a_spool(database, tmp_path):
    code = """
import sys
from tabstudio.tracking import Recorder
with Recorder(spool={spool!r}, tracking_uri={uri!r}) as recorder:
    with recorder.start("shared", sys.argv[1]) as run:
        for step in range(3000):
            run.metrics({{"loss": step}}, step=step)
    delivery = recorder.wait(180)
    assert delivery.complete, delivery
""".format(spool=str(tmp_path / "spool"), uri=database)
    both = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("one", "two")]
    assert [process.wait() for process in both] == [0, 0]
    experiment = client(database).get_experiment_by_name("shared")
    runs = client(database).search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["one", "two"]
    assert [len(points(database, run.info.run_id, "loss")) for run in runs] == [3000, 3000]


@pytest.mark.delivers
@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("sqlite:///no/such/folder/mlflow.db", "does not exist"),
        ("sqlite:///text.db", "not an SQLite database"),
        ("sqlite:///newer.db", "mlflow db upgrade"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_and_nothing_is_lost(uri, reason, empty_mlflow):
    Path("text.db").write_text("this is not a database, whatever its name says")
    Path("newer.db").write_bytes(empty_mlflow.read_bytes())
    with sqlite3.connect("newer.db") as newer:
        newer.execute("UPDATE alembic_version SET version_num = 'from the future'")
    newer.close()
    with Recorder(tracking_uri=uri) as recorder:
        with recorder.start() as run:
            run.metrics({"loss": 1.0})
        delivery = recorder.wait(180)
    assert not delivery.complete
    assert delivery.pending == 2
    assert reason in delivery.error
    assert "tabstudio sync" in delivery.error
    assert "\n" not in str(delivery)


def test_an_address_of_no_known_kind_is_refused_at_once():
    with pytest.raises(ConfigError, match=r"sqlite:///mlflow\.db"):
        Recorder(tracking_uri="htp://127.0.0.1:5000")


def test_waiting_without_a_run_is_an_error(database):
    with Recorder(tracking_uri=database) as recorder, pytest.raises(TrackingError, match="no run"):
        recorder.wait(1)


def test_nothing_of_mlflow_is_imported_where_the_training_runs():
    heavy = {"mlflow", "torch", "polars", "psutil", "numpy", "pandas"}
    code = f"import sys, tabstudio.tracking; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
