"""Clients of others, and `mlflow models serve` beside us: what exists keeps working."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from tabstudio.model.predictor import Model
from tabstudio.tracking.mlflow_model import write
from tabstudio.tracking.signature import input_columns, output_columns

from .conftest import server

Rows = list[dict[str, Any]]
COLUMNS = ["age", "weight: kg", "smoker", "city", "ward"]


@pytest.fixture(scope="module")
def model(make_model: Callable[..., Model]) -> Model:
    return make_model(temperature=1.3, threshold=0.4, columns=COLUMNS)


@pytest.fixture(scope="module")
def rows(frame: pl.DataFrame) -> Rows:
    return frame.select(COLUMNS).to_dicts()


@pytest.fixture(scope="module")
def mlflow_model(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as MLflow stores it."""
    folder = tmp_path_factory.mktemp("model") / "m"
    folder.mkdir()
    model.save(folder / "bundle")
    inputs, outputs = input_columns(model.schema), output_columns(model.target)
    event = {"inputs": inputs, "outputs": outputs, "example": None, "card": ""}
    write(folder, event, "0" * 32, "m-" + "0" * 32, "model")
    return folder


@pytest.fixture(scope="module")
def ours(mlflow_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(f"ills={mlflow_model}", log=tmp_path_factory.mktemp("ours") / "log") as (url, _):
        yield url


@pytest.fixture(scope="module")
def theirs(mlflow_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = ["models", "serve", "-m", str(mlflow_model), "--env-manager", "local", "--port", str(port)]
    with (tmp_path_factory.mktemp("theirs") / "log").open("w") as log:
        command = [sys.executable, "-m", "mlflow", *words]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow calls `uvicorn`
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "PATH": path}
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{url}/ping").is_success:
                    break
            time.sleep(0.1)
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def forms(rows: Rows) -> dict[str, tuple[bytes, str]]:
    """The same rows in every form that MLflow reads."""
    names = list(rows[0])
    values = [list(row.values()) for row in rows]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([names, *values])
    documents = {
        "split": {"dataframe_split": {"columns": names, "data": values}},
        "split with index": {
            "dataframe_split": {"index": list(range(len(rows))), "columns": names, "data": values}
        },
        "split in another order": {
            "dataframe_split": {"columns": names[::-1], "data": [row[::-1] for row in values]}
        },
        "split with more": {
            "dataframe_split": {"columns": [*names, "x"], "data": [[*row, 1] for row in values]}
        },
        "records": {"dataframe_records": rows},
        "instances": {"instances": rows},
        "inputs": {"inputs": {name: [row[name] for row in rows] for name in names}},
        "inputs by row": {"inputs": rows},
        "numbers as text": {"dataframe_records": [{**row, "age": str(row["age"])} for row in rows]},
        "fractions": {"dataframe_records": [{**row, "age": row["age"] + 0.7} for row in rows]},
        "truth as numbers": {"dataframe_records": [{**row, "age": True} for row in rows]},
    }
    made = {name: (json.dumps(one).encode(), "application/json") for name, one in documents.items()}
    return {**made, "csv": (text.getvalue().encode(), "text/csv")}


def test_invocations_are_answered_as_mlflow_answers_them(ours: str, theirs: str, rows: Rows) -> None:
    whole = [row for row in rows if None not in row.values()][:20]
    compared = 0
    for name, (body, kind) in forms(whole).items():
        headers = {"content-type": kind}
        expected = httpx.post(f"{theirs}/invocations", content=body, headers=headers, timeout=60)
        found = httpx.post(f"{ours}/invocations", content=body, headers=headers)
        assert found.status_code == 200, (name, found.text)
        if expected.status_code != 200:  # we read further than MLflow, never less far
            continue
        compared += 1
        assert_same(found.json()["predictions"], expected.json()["predictions"], name)
    assert compared >= 8


def test_gaps_are_answered_as_mlflow_answers_them(ours: str, theirs: str, rows: Rows) -> None:
    gaps = [row for row in rows if row["weight: kg"] is None or row["city"] is None][:20]
    body = json.dumps({"dataframe_records": gaps}).encode()
    headers = {"content-type": "application/json"}
    expected = httpx.post(f"{theirs}/invocations", content=body, headers=headers, timeout=60)
    found = httpx.post(f"{ours}/invocations", content=body, headers=headers)
    assert expected.status_code == 200, expected.text
    assert_same(found.json()["predictions"], expected.json()["predictions"], "gaps")


def assert_same(found: Rows, expected: Rows, name: str) -> None:
    assert [row["prediction"] for row in found] == [row["prediction"] for row in expected], name
    assert list(found[0]) == list(expected[0])
    for column in list(found[0])[1:]:
        np.testing.assert_allclose(
            [row[column] for row in found], [row[column] for row in expected], atol=1e-6, err_msg=name
        )


def test_the_small_paths_are_mlflows(ours: str, theirs: str) -> None:
    for path in ("/ping", "/health", "/version"):
        expected, found = httpx.get(theirs + path), httpx.get(ours + path)
        assert (found.status_code, found.text) == (expected.status_code, expected.text)


def test_mlflows_own_client_is_answered(ours: str, model: Model, rows: Rows) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    host, port = ours.removeprefix("http://").split(":")
    client = ScoringServerClient(host, int(port))
    client.wait_server_ready(timeout=5, scoring_server_proc=_Alive())
    import pandas as pd

    found = client.invoke(pd.DataFrame(rows[1:5])).get_predictions()
    assert found["prediction"].tolist() == model.predict(rows[1:5]).tolist()


class _Alive:
    """A server process that MLflow's client believes to be its own."""

    def poll(self) -> None:
        return None


@pytest.mark.parametrize("binary", [False, True])
def test_tritons_client_is_answered(ours: str, model: Model, rows: Rows, binary: bool) -> None:
    http = pytest.importorskip("tritonclient.http")
    client = http.InferenceServerClient(ours.removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("ills")
    about = client.get_model_metadata("ills")
    assert [one["name"] for one in about["inputs"]] == COLUMNS
    whole = [row for row in rows if None not in row.values()][:7]
    inputs = []
    for one in about["inputs"]:
        dtype = {"FP64": np.float64, "BOOL": bool, "BYTES": object}[one["datatype"]]
        values = np.array([row[one["name"]] for row in whole], dtype=dtype)
        tensor = http.InferInput(one["name"], values.shape, one["datatype"])
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    wanted = [http.InferRequestedOutput(o["name"], binary_data=binary) for o in about["outputs"]]
    answer = client.infer("ills", inputs, outputs=wanted, request_id="t1")
    labels = [word.decode() if isinstance(word, bytes) else word for word in answer.as_numpy("prediction")]
    assert labels == model.predict(whole).tolist()
    found = np.stack([answer.as_numpy("probability_no"), answer.as_numpy("probability_yes")], axis=1)
    np.testing.assert_allclose(found, model.predict_proba(whole), atol=1e-6)
    with pytest.raises(http.InferenceServerException, match="no model 'other'"):
        client.infer("other", inputs)
    client.close()


def test_the_examples_of_the_protocol_are_answered(ours: str, model: Model, rows: Rows) -> None:
    """One tensor by position, nested and flat, as the specification's examples write it."""
    numbers = [[row["age"], row["weight: kg"] or 70.0, 0, 1, 2] for row in rows[:2]]
    for data in (numbers, [value for row in numbers for value in row]):
        body = {"inputs": [{"name": "input-0", "shape": [2, 5], "datatype": "FP64", "data": data}]}
        answer = httpx.post(f"{ours}/v2/models/ills/infer", json=body)
        assert answer.status_code == 422  # truth and cities are no numbers: told by row and column
        assert {f["column"] for f in answer.json()["faults"]} == {"smoker", "city"}
