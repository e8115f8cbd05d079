"""The main job, whole: what a user gets, and what MLflow holds afterwards."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import tabstudio
from tabstudio.recipes import Reporter, train
from tabstudio.tracking import deliver


class Collected(Reporter):
    def __init__(self):
        self.steps, self.warnings, self.epochs = [], [], []

    def step(self, title, lines=()):
        self.steps.append(title)

    def warn(self, text):
        self.warnings.append(text)

    def epoch(self, epoch, plan):
        self.epochs.append(epoch.number)


@pytest.fixture(scope="module")
def job(cancer_csv, tmp_path_factory):
    """One training on the breast-cancer table, tracked in a database of its own."""
    folder = tmp_path_factory.mktemp("job")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        reporter = Collected()
        result = train(
            cancer_csv,
            "diagnosis",
            name="cancer",
            epochs=12,
            output=folder / "out",
            tracking_uri=uri,
            reporter=reporter,
        )
        yield result, reporter, uri, folder


@pytest.fixture
def client(job):
    from mlflow import MlflowClient

    return MlflowClient(job[2], job[2])


def test_the_model_is_good_and_honestly_measured(job):
    result = job[0]
    assert result.evaluation.rows == len(result.parts.test)
    assert set(result.parts.test).isdisjoint(result.parts.train)
    assert result.evaluation["roc_auc"].value > 0.97
    assert result.evaluation["accuracy"].low < result.evaluation["accuracy"].value
    assert result.evaluation.threshold == result.model.threshold == result.fitted.threshold.value
    assert "REFERENCE" not in repr(result)


def test_references_stand_beside_it(job):
    names = {reference.name for reference in job[0].assessment.references.items}
    assert names == {"class frequencies", "logistic regression", "HistGradientBoosting"}
    assert job[0].assessment.references.verdict.sentence in job[0].text()


def test_the_reporter_hears_every_step(job):
    reporter = job[1]
    assert reporter.epochs == list(range(1, 13))
    assert any("569 rows, 30 features" in step for step in reporter.steps)


def test_the_folder_holds_reports_and_the_model(job):
    result, _, _, folder = job
    for part in (
        "exploration/report.html",
        "evaluation/report.html",
        "evaluation/confusion.png",
        "model/manifest.json",
    ):
        assert (folder / "out" / part).stat().st_size > 100
    frame = result.exploration.table.frame
    again = tabstudio.load(folder / "out" / "model").predict_proba(frame)
    np.testing.assert_array_equal(again, result.model.predict_proba(frame))


def test_mlflow_holds_params_and_curves(job, client):
    run = client.get_run(job[0].delivery.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["epochs"] == "12"
    assert run.data.params["plan.members"] == "5"
    assert run.data.params["positive_class"] == "malignant"
    for name in ("train_loss", "val_loss", "learning_rate"):
        points = client.get_metric_history(run.info.run_id, name)
        assert [point.step for point in points] == list(range(1, 13))
        assert all(math.isfinite(point.value) for point in points)
    assert run.data.metrics["test_roc_auc"] == pytest.approx(job[0].evaluation["roc_auc"].value)
    assert "references/HistGradientBoosting/roc_auc" in run.data.metrics


def test_mlflow_holds_the_data_the_reports_and_the_card(job, client):
    run = client.get_run(job[0].delivery.run_id)
    contexts = {tag.value for entry in run.inputs.dataset_inputs for tag in entry.tags}
    assert contexts == {"training", "testing"}
    profile = json.loads(run.inputs.dataset_inputs[0].dataset.profile)
    assert "fingerprint" in json.dumps(profile)
    kept = {
        f.path
        for folder in ("exploration", "evaluation")
        for f in client.list_artifacts(run.info.run_id, folder)
    }
    assert {"exploration/report.html", "exploration/associations.png", "evaluation/report.html"} <= kept
    assert "How good it is" in run.data.tags["mlflow.note.content"]


def test_the_registered_version_has_signature_and_example(job, monkeypatch):
    import mlflow

    _, _, uri, _ = job
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.set_tracking_uri(uri)
    try:
        model = mlflow.pyfunc.load_model("models:/cancer/1")
        assert "mean radius" in model.metadata.signature.inputs.input_names()
        answers = model.predict(_rows(job).to_pandas())
        assert len(model.input_example) >= 2
    finally:
        mlflow.set_tracking_uri(None)
    assert list(answers["prediction"]) == list(job[0].model.predict(_rows(job)))


def _rows(job):
    names = [column.name for column in job[0].model.schema.features]
    return job[0].exploration.table.frame.select(names).head(4)


def test_it_is_loaded_by_its_address(job):
    _, _, uri, _ = job
    model = tabstudio.load("models:/cancer/1", tracking_uri=uri)
    np.testing.assert_array_equal(model.predict_proba(_rows(job)), job[0].model.predict_proba(_rows(job)))


@pytest.mark.delivers
def test_the_same_seed_gives_the_same_bits_and_another_version(job, cancer_csv):
    first = job[0]
    again = train(cancer_csv, "diagnosis", name="cancer", epochs=12, tracking_uri=job[2], references=False)
    assert again.delivery.version == "2"
    frame = first.exploration.table.frame
    np.testing.assert_array_equal(again.model.predict_proba(frame), first.model.predict_proba(frame))


@pytest.mark.delivers
def test_nothing_is_registered_where_that_is_not_wanted(cancer_csv):
    result = train(cancer_csv, "diagnosis", epochs=2, references=False, register=False, resamples=0)
    assert result.delivery.complete
    assert result.delivery.version == ""
    assert result.delivery.model_uri.startswith("models:/m-")


def test_frames_in_memory_work_the_same(cancer_csv):
    frame = pl.read_csv(cancer_csv)
    results = [
        train(source, "diagnosis", name="c", epochs=2, references=False, resamples=0, folds=2)
        for source in (frame, frame.to_pandas(), frame.to_arrow())
    ]
    assert len({r.exploration.table.fingerprint for r in results}) == 1
    first, *others = [r.model.predict_proba(frame) for r in results]
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.delivers
def test_a_server_that_is_down_costs_nothing_but_a_later_sync(cancer_csv):
    result = train(
        cancer_csv, "diagnosis", epochs=2, references=False, resamples=0, tracking_uri="http://127.0.0.1:9"
    )
    assert not result.delivery.complete
    assert "tabstudio sync" in result.delivery.error
    assert "127.0.0.1:9" in result.delivery.error
    assert result.evaluation["roc_auc"].value > 0.5


def test_a_factory_of_ones_own_is_trained(cancer_csv, tmp_path):
    from torch import nn

    def network(inputs, outputs):
        return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, outputs))

    result = train(
        cancer_csv, "diagnosis", network=network, epochs=40, references=False, output=tmp_path / "out"
    )
    assert result.evaluation["roc_auc"].value > 0.9
    frame = result.exploration.table.frame
    again = tabstudio.load(tmp_path / "out" / "model", network=network)
    np.testing.assert_array_equal(again.predict_proba(frame), result.model.predict_proba(frame))


@pytest.mark.delivers
def test_an_interrupted_training_is_kept_marked_and_not_registered(cancer_csv):
    from mlflow import MlflowClient

    class Impatient(Reporter):
        def epoch(self, epoch, plan):
            if epoch.number == 3:
                raise KeyboardInterrupt

    uri = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    result = train(
        cancer_csv, "diagnosis", name="cut", tracking_uri=uri, references=False, reporter=Impatient()
    )
    assert result.partial
    assert "PARTIAL" in result.text()
    assert result.evaluation["roc_auc"].value > 0.9
    client = MlflowClient(uri, uri)
    assert client.get_run(result.delivery.run_id).info.status == "KILLED"
    assert client.search_registered_models() == []


def test_a_training_that_was_killed_goes_on_to_the_same_bits(cancer_csv):
    """The run that goes on holds the whole curve."""
    from mlflow import MlflowClient

    command = [
        sys.executable,
        "-m",
        "tabstudio",
        "train",
        str(cancer_csv),
        "-t",
        "diagnosis",
        "--name",
        "cut",
    ]
    command += ["--no-references", "--epochs", "40", "--patience", "40", "-o", "never"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not list(Path(".tabstudio/checkpoints").glob("*/training.safetensors")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not Path("never").exists()
    told = {"name": "cut", "references": False, "epochs": 40, "patience": 40}
    resumed = train(cancer_csv, "diagnosis", resume=True, **told)
    whole = train(cancer_csv, "diagnosis", **told)
    frame = whole.exploration.table.frame
    np.testing.assert_array_equal(resumed.model.predict_proba(frame), whole.model.predict_proba(frame))
    killed, gone_on, _ = deliver().deliveries
    uri = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    assert client.get_run(killed.run_id).info.status == "KILLED"
    points = client.get_metric_history(gone_on.run_id, "train_loss")
    assert sorted(point.step for point in points) == list(range(1, len(whole.fitted.outcome.history) + 1))


def test_a_loss_that_is_not_finite_fails_the_run_and_registers_nothing(cancer_csv):
    import torch
    from mlflow import MlflowClient
    from torch import nn

    class Exploding(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.layer = nn.Linear(inputs, outputs)

        def forward(self, x):
            return torch.exp(1e4 * self.layer(x).abs())

    uri = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    with pytest.raises(tabstudio.TrainingError, match="epoch 1"):
        train(cancer_csv, "diagnosis", network=Exploding, tracking_uri=uri, references=False, output="out")
    assert not Path("out").exists()
    assert deliver().complete
    client = MlflowClient(uri, uri)
    ended = [run for run in _runs(client) if run.info.status == "FAILED"]
    assert [f.path for f in client.list_artifacts(ended[0].info.run_id, "error")] == ["error/error.txt"]
    assert client.search_registered_models() == []


def _runs(client):
    experiments = [e.experiment_id for e in client.search_experiments()]
    return client.search_runs(experiments) if experiments else []


def test_the_bundle_tells_how_to_make_it_again(job, cancer_csv):
    from tabstudio.model.bundle import record

    result, _, _, folder = job
    told = record(folder / "out" / "model")
    data, environment = told.report["data"], told.report["environment"]
    assert data["source"] == str(cancer_csv)
    assert data["fingerprint"] == result.exploration.table.fingerprint
    assert (data["rows"], data["train_rows"], data["test_rows"]) == (569, 427, 142)
    assert environment["threads"] == 1
    assert environment["device"] == "cpu"
    assert {"python", "torch", "numpy", "polars", "processor", "commit"} <= set(environment)
    assert tabstudio.configure(**told.config).flat() == result.model.config


def test_the_bundle_knows_its_rows_again(job):
    from tabstudio.model.bundle import record
    from tabstudio.model.row_evidence import feature_keys

    result, _, _, folder = job
    evidence = record(folder / "out" / "model").evidence
    table, parts = result.exploration.table, result.parts
    keys = feature_keys(table.frame, table.schema)
    assert evidence.trained.contains(keys[parts.train]).all()
    assert not evidence.trained.contains(keys[parts.test]).any()
    assert evidence.numbers.tolist() == parts.test.tolist()
    test = table.take(parts.test)
    np.testing.assert_array_equal(evidence.labels, test.labels())
    np.testing.assert_array_equal(evidence.predictions, result.model.predict_proba(test.frame))


def test_slices_are_measured_and_told(tmp_path):
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "x": random.normal(size=300),
            "sex": random.choice(["f", "m"], 300),
            "label": random.choice(["yes", "no"], 300),
        }
    )
    result = train(
        frame, "label", drop=["sex"], slice=["sex"], epochs=2, folds=2, references=False, output="out"
    )
    measured = result.assessment.measured.slices
    assert [part.level for part in measured] in (["f", "m"], ["m", "f"])
    assert sum(part.rows for part in measured) == len(result.parts.test)
    for name in ("model-card.md", "report.html"):
        assert "slice" in (Path("out/evaluation") / name).read_text()
    kept = json.loads(Path("out/evaluation/evaluation.json").read_text())["slices"]
    assert [part["level"] for part in kept] == [part.level for part in measured]


def test_a_slice_of_no_column_is_refused_before_training():
    frame = {"x": list(range(60)), "sex": ["f", "m"] * 30, "label": ["a", "b", "a"] * 20}
    with pytest.raises(tabstudio.ConfigError, match="no column 'sx': did you mean 'sex'"):
        train(frame, "label", slice=["sx"])
