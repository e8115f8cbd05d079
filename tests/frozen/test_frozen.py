"""What an older version has written still loads, and says what it said then.

Everything is opened as its user opens it: by the functions of the package, the command line, HTTP and MLflow.
What has no such way in is imported by `deliver` and `evaluation`: where modules move, only these two follow.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tabstudio

SET = Path(__file__).parent / "v0_1_0"
THEN = "/tmp/frozen"
"""The folder in which the set was made; some files hold it, and are told where they lie now."""
BUNDLES = sorted(path.name for path in (SET / "bundles").iterdir())
CLOSE = 1e-6
"""Products of matrices are summed in another order on other processors and thread counts: float32."""
KNOWN = 30
"""So many of the first rows have no value that MLflow's own check of types refuses."""
SECONDS = 120
QUIET = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def deliver(home: Path, uri: str) -> Any:
    from tabstudio.tracking import deliver

    return deliver(home, tracking_uri=uri)


def evaluation(run_id: str) -> Any:
    from tabstudio.registry.mlflow_client import RegistryClient
    from tabstudio.studio.services.runs.run_evaluation import read_evaluation

    return read_evaluation(RegistryClient(), run_id)


def bundle(name: str) -> Path:
    folder = SET / "bundles" / name
    return folder / "model" if (folder / "model").is_dir() else folder / "mlflow" / "bundle"


def rows(name: str) -> Path:
    own = SET / "bundles" / name / "rows.csv"
    return own if own.exists() else SET / "rows.csv"


def answers(name: str) -> dict[str, Any]:
    return json.loads((SET / "bundles" / name / "answers.json").read_text(encoding="utf-8"))


def own_network(inputs: int, outputs: int) -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))


def loaded(name: str) -> Any:
    return tabstudio.load(str(bundle(name)), **({"network": own_network} if name == "own-network" else {}))


def assert_as_then(then: dict[str, Any], labels: Any, probabilities: Any = None) -> None:
    """The same labels, and the same figures within `CLOSE`."""
    if "probabilities" not in then:
        scale = np.abs(then["labels"]).max()
        np.testing.assert_allclose(np.asarray(labels, float), then["labels"], rtol=0, atol=CLOSE * scale)
        return
    assert np.asarray(labels).tolist() == then["labels"]
    np.testing.assert_allclose(np.asarray(probabilities), then["probabilities"], rtol=0, atol=CLOSE)


# models


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_loads_and_predicts_what_it_predicted(name):
    model = loaded(name)
    probabilities = None if model.target.task == "regression" else model.predict_proba(rows(name))
    assert_as_then(answers(name), model.predict(rows(name)), probabilities)


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_written_again_with_the_same_content(name, tmp_path):
    again = loaded(name).save(tmp_path / "again")
    there = {path.name for path in bundle(name).iterdir()} - {"manifest.json"}
    if name == "own-network":  # it holds the name of the factory, which is this file's now
        there.remove("network.json")
    for file in sorted(there):
        assert (again / file).read_bytes() == (bundle(name) / file).read_bytes(), file


@pytest.mark.parametrize("name", ["binary", "prepared"])
def test_mlflow_loads_its_folder_by_itself(name, monkeypatch):
    import mlflow
    import pandas as pd

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow speaks of versions of libraries, which have gone on since
        model = mlflow.pyfunc.load_model(str(SET / "bundles" / name / "mlflow"))
        raw = pd.read_csv(rows(name)).head(KNOWN)
        if name == "binary":  # MLflow's own check wants numbers and dates as such
            raw["weight"] = raw["weight"].str.removesuffix(" kg").str.replace(",", ".").astype(float)
            raw["zone"] = raw["zone"].astype("int64")
            raw["born"] = pd.to_datetime(raw["born"])
        answered = model.predict(raw)
    then = {key: part[:KNOWN] for key, part in answers(name).items()}
    assert_as_then(then, answered.iloc[:, 0], answered.iloc[:, 1:].to_numpy(float))


def test_a_changed_byte_of_a_stored_bundle_is_refused(tmp_path):
    folder = shutil.copytree(bundle("binary"), tmp_path / "changed")
    text = (folder / "encoder.json").read_text(encoding="utf-8")
    (folder / "encoder.json").write_text(text.replace("0", "1", 1), encoding="utf-8")
    with pytest.raises(tabstudio.ModelError, match=r"encoder\.json was changed"):
        tabstudio.load(str(folder))


def test_two_stored_bundles_are_compared_on_the_rows_that_they_keep():
    found = tabstudio.compare(bundle("tabm"), bundle("distilled"))
    assert found["roc_auc"].difference is not None
    assert "tabm" in tabstudio.card(bundle("tabm")).text


# a place where a team has worked


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A copy of the studio's folder, its addresses set to where it lies."""
    source = SET / "studio"
    shutil.copytree(source / "mlruns", tmp_path / "mlruns")
    shutil.copytree(source / "home", tmp_path / ".tabstudio")
    shutil.copy(source / "tabstudio.toml", tmp_path)
    unpack(source / "mlflow.db.gz", tmp_path / "mlflow.db")
    unpack(source / "tabstudio.db.gz", tmp_path / "tabstudio.db")
    log = tmp_path / ".tabstudio" / "predictions" / "log.db"
    unpack(log.with_suffix(".db.gz"), log)
    log.with_suffix(".db.gz").unlink()
    for name in ("mlflow.db", "tabstudio.db"):
        move(tmp_path / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unpack(source: Path, target: Path) -> None:
    target.write_bytes(gzip.decompress(source.read_bytes()))


def move(database: Path, to: Path) -> None:
    """Tell every text of a database where the folder lies now; hashes stand over none of them."""
    with closing(sqlite3.connect(database)) as opened, opened:
        tables = opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for column in [row[1] for row in opened.execute(f"PRAGMA table_info({table})")]:
                there = f"typeof({column}) = 'text' AND instr({column}, ?)"
                change = f"UPDATE {table} SET {column} = replace({column}, ?, ?) WHERE {there}"
                opened.execute(change, (THEN, str(to), THEN))


def history() -> list[dict[str, Any]]:
    return json.loads((SET / "studio" / "history.json").read_text(encoding="utf-8"))


def secrets() -> dict[str, str]:
    return json.loads((SET / "studio" / "secrets.json").read_text(encoding="utf-8"))


def told(registry: tabstudio.Registry) -> list[dict[str, Any]]:
    return [row.to_json() for row in registry.history("cancer")]


def test_the_history_is_whole_and_word_for_word_what_it_was(place):
    with tabstudio.Registry() as registry:
        assert registry.verify("cancer").whole
        assert told(registry) == history()
        stages = {str(version.number): version.stage for version in registry.versions("cancer")}
        assert stages == json.loads((SET / "studio" / "stages.json").read_text())
        (asked,) = registry.open_requests("cancer")
        assert (asked.asked.version, asked.asked.reason) == (2, "once more")


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_the_tables_of_an_older_migration_are_brought_up_to_date(place, revision):
    (place / "tabstudio.db").unlink()
    unpack(SET / "studio" / f"tabstudio-{revision}.db.gz", place / "tabstudio.db")
    move(place / "tabstudio.db", place)
    with tabstudio.Registry() as registry:
        assert registry.verify("cancer").whole
        assert told(registry) == history()
    assert len(list(place.glob(f"tabstudio.before-{revision}-*.db"))) == 1


def test_a_row_of_the_stored_history_that_was_edited_is_found(place):
    with closing(sqlite3.connect(place / "tabstudio.db")) as opened, opened:
        opened.execute("UPDATE tabstudio_history SET reason = 'another' WHERE number = 2")
    with tabstudio.Registry() as registry:
        assert not registry.verify("cancer").whole


def test_the_story_goes_on_by_the_stored_rules(place):
    with tabstudio.Registry(actor="carol") as registry:
        registry.approve("cancer", 2, reason="agreed")
    with tabstudio.Registry(actor="ann") as registry:
        registry.promote("cancer", 2, "production", reason="agreed again")
        registry.rollback("cancer", reason="and back")
        assert registry.current("cancer", "production").number == 1
        assert registry.verify("cancer").whole
        model = tabstudio.load(registry.current("cancer", "production").address)
        assert len(model.predict(SET / "few.csv")) == 200


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # SQLAlchemy 2.1 speaks of what is to go
def test_the_outbox_is_sent_to_whoever_listens_now(place):
    taken = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Taking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hooks/models"
        rules = (place / "tabstudio.toml").read_text()
        (place / "tabstudio.toml").write_text(rules.replace("http://127.0.0.1:9/hooks/models", url))
        with closing(sqlite3.connect(place / "tabstudio.db")) as opened, opened:
            opened.execute(
                "UPDATE tabstudio_deliveries SET url = ?, due = '2020-01-01T00:00:00.000000Z'", (url,)
            )
        with tabstudio.Registry() as registry:
            sent = registry.deliver()
        server.shutdown()
    rows = [row for row in history() if row["kind"] in ("promote", "rollback")]
    assert (sent.delivered, sent.waiting, sent.problems) == (len(rows), 0, ())
    by_number = sorted((event["data"] for event in taken), key=lambda row: -row["number"])
    assert by_number == rows


def test_the_prediction_log_is_read_with_its_labels(place):
    found = tabstudio.prediction_log("cancer").collect()
    then = pl.read_csv(SET / "studio" / "predictions.csv", infer_schema=False)
    same = found.select(then.columns)
    assert same.write_csv() == then.write_csv()
    assert found["time"].is_sorted()
    assert found["input_mean area"].str.len_chars().to_list() == [16] * len(found)  # keyed hashes
    assert "input_mean smoothness" not in found.columns
    labels = found.filter(pl.col("label").is_not_null()).select("request_id", "row", "label", "label_caller")
    assert labels.rows()[0] == ("turn-0-0", 1, "malignant", "ward-3")


def command(place: Path, *words: str, **environment: str) -> str:
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "TABSTUDIO_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tabstudio", *words],
        cwd=place,
        env=settings | QUIET | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_stored_service_starts_as_it_was_and_its_log_goes_on(place):
    tokens = {"TABSTUDIO_SERVE_TOKENS": str(place / ".tabstudio" / "serve-tokens")}
    before = tabstudio.prediction_log("cancer").collect()
    url = re.search(r"http://\S+", command(place, "deployments", "start", "cancer", **tokens))[0]
    try:
        patients = pl.read_csv(SET / "few.csv").drop("diagnosis").to_dicts()
        body = json.dumps({"rows": patients[:2]}).encode()
        asked = urllib.request.Request(f"{url}/v1/models/cancer/predict", body)
        asked.add_header("content-type", "application/json")
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            urllib.request.urlopen(asked, timeout=30)
        refused.value.close()
        asked.add_header("authorization", f"Bearer {secrets()['serve_token']}")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            labels = [one["label"] for one in json.load(answer)["predictions"]]
    finally:
        command(place, "deployments", "stop", "cancer", **tokens)
    after = tabstudio.prediction_log("cancer").collect()
    assert len(after) == len(before) + 2
    fresh, first = after.tail(2), before.filter(request_id="turn-0-0")
    assert fresh["prediction"].to_list() == labels == first["prediction"].to_list()
    same = ["probability_benign", "input_mean area", "input_mean radius", "caller"]
    assert fresh.select(same).rows() == first.select(same).rows()  # the key of masked values is the old one


def test_the_evaluation_of_a_run_is_read(place):
    with tabstudio.Registry() as registry:
        version = registry.version("cancer", 1)
    found = evaluation(version.run_id)
    (file,) = SET.glob(f"studio/mlruns/*/{version.run_id}/artifacts/evaluation/evaluation.json")
    then = json.loads(file.read_text(encoding="utf-8"))
    assert found.test.to_json() == then["test"]
    assert [part.to_json() for part in found.slices] == then["slices"]
    assert json.loads(json.dumps(found.importance.to_json())) == then["importance"]
    assert found.test.metrics["roc_auc"].value == version.metrics["test_roc_auc"].value


@pytest.fixture
def studio(place) -> Iterator[str]:
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "TABSTUDIO_"))}
    log = place / "studio.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tabstudio", "studio", "--port", "0"],
            cwd=place,
            env=settings | QUIET,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    until = time.monotonic() + SECONDS
    found = None
    while found is None and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
        found = re.search(r"the studio is at (http://\S+);", log.read_text())
    try:
        assert found, log.read_text()
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def test_the_studio_knows_people_jobs_runs_and_versions_of_then(studio):
    import httpx

    bearer = {"authorization": f"Bearer {secrets()['token']}"}
    with httpx.Client(base_url=f"{studio}/api/v1", headers=bearer, timeout=60) as vera:
        jobs = vera.get("/jobs").json()["items"]
        assert [(job["state"], job["title"]) for job in jobs] == [
            ("failed", "empty: y of empty.csv"),
            ("done", "cancer: diagnosis of patients.csv"),
        ]
        assert jobs[0]["error"]
        assert (jobs[1]["epochs"], jobs[1]["share"]) == (3, 1.0)
        diary = SET / "studio" / "home" / "jobs" / f"{jobs[1]['id']}.jsonl"
        last = json.loads(diary.read_text(encoding="utf-8").splitlines()[-1])
        assert jobs[1]["result"]["figures"] == last["figures"]
        assert jobs[1]["command"].startswith("tabstudio train data/patients.csv")
        assert vera.get("/models/cancer/verify").json()["whole"] is True
        rows = vera.get("/models/cancer/history", params={"limit": 100}).json()
        assert [row["hash"] for row in rows["items"]] == [row["hash"] for row in history()]
        assert vera.get("/people").status_code == 403
        listed = vera.get("/runs").json()
        assert {run["name"] for run in listed["runs"]} == {"cancer"}
    with httpx.Client(base_url=studio, timeout=60) as carol:
        carol.cookies.set("tabstudio_session", secrets()["session"])
        run_id = listed["runs"][0]["id"]
        page = carol.get(f"/runs/{run_id}")
        assert page.status_code == 200  # without a session it is the way to the login
    with httpx.Client(base_url=studio, timeout=60) as ann:
        entered = {"name": "ann", "password": secrets()["password"]}
        assert ann.post("/login", data=entered).status_code == 303
        wrong = entered | {"password": "another one than that"}
        assert ann.post("/login", data=wrong).status_code != 303


# what was not delivered


def test_a_stored_spool_is_delivered_whole(tmp_path):
    from mlflow import MlflowClient

    home = shutil.copytree(SET / "spool", tmp_path / "home")
    unpack(SET / "studio" / "mlflow.db.gz", tmp_path / "mlflow.db")
    for about in home.glob(
        "runs/*/about.json"
    ):  # as on the machine that wrote it, where its processes are gone
        text = about.read_text().replace('"studio-1"', json.dumps(socket.gethostname()))
        about.write_text(text.replace(THEN, str(tmp_path)))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    brought = deliver(home, uri)
    assert brought.complete, str(brought)
    assert not list((home / "runs").iterdir())
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("frozen")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {
        "whole": "FINISHED",
        "child": "FINISHED",
        "failed": "FAILED",
        "network": "FINISHED",
        "killed": "KILLED",
    }
    assert_whole(client, runs["whole"], tmp_path)
    assert runs["child"].data.tags["mlflow.parentRunId"] == runs["whole"].info.run_id
    assert runs["child"].data.metrics == {"val_loss": 0.75}
    assert runs["killed"].data.metrics == {"train_loss": 1.5}
    assert runs["killed"].data.params["epochs"] == "100"
    assert [file.path for file in client.list_artifacts(runs["failed"].info.run_id, "error")]
    (made,) = runs["network"].outputs.model_outputs
    assert client.get_logged_model(made.model_id).model_type == "pytorch"


def assert_whole(client: Any, run: Any, folder: Path) -> None:
    params = run.data.params
    assert (params["network.name"], params["network.hidden"], params["words"]) == ("mlp", "(8, 4)", "schön")
    assert params["long"].startswith("xxx")
    assert 5900 < len(params["long"]) <= 6000
    assert run.data.metrics["train_loss"] == 0.25
    points = client.get_metric_history(run.info.run_id, "batch loss")
    assert [(point.step, point.value) for point in points] == [(0, 1.0), (1, 0.75), (2, 0.5)]
    assert (run.data.tags["ward"], run.data.tags["colour"]) == ("3", "green")
    assert run.data.tags["mlflow.note.content"].startswith("# A note")
    assert [file.path for file in client.list_artifacts(run.info.run_id, "tables")] == ["tables/small.csv"]
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "patients.csv"
    (version,) = client.search_model_versions("name = 'carried'")
    assert "models:/carried/1" in version.description
    uri = f"sqlite:///{folder}/mlflow.db"
    model = tabstudio.load("models:/carried/1", tracking_uri=uri, registry_uri=uri)
    assert_as_then(
        answers("binary-costs"), model.predict(SET / "rows.csv"), model.predict_proba(SET / "rows.csv")
    )


def test_a_training_goes_on_from_a_stored_checkpoint(tmp_path):
    shutil.copytree(SET / "checkpoints", tmp_path / ".tabstudio" / "checkpoints")
    shutil.copy(SET / "few.csv", tmp_path)
    result = tabstudio.train(
        "few.csv",
        "diagnosis",
        name="few",
        resume=True,
        register=False,
        tracking_uri="http://127.0.0.1:9",  # nobody listens, so nobody is waited for
        epochs=8,
        network="mlp",
        hidden=(8,),
        batch_size=32,
        folds=2,
        references=False,
        resamples=100,
        learning_rate=0.02,
        seed=3,
    )
    assert [epoch.number for epoch in result.fitted.outcome.history] == list(range(1, 9))
    from safetensors import safe_open

    (kept,) = SET.glob("checkpoints/*/training.safetensors")
    with safe_open(kept, framework="np") as file:
        then = json.loads(file.metadata()["state"])["history"]
    for before, now in zip(then, result.fitted.outcome.history, strict=False):
        assert now.train_loss.tolist() == before["train_loss"]
