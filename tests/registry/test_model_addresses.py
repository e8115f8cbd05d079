import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tabstudio.errors import ConfigError, ModelError
from tabstudio.registry import load, resolve

from .conftest import ROWS

# MLflow uses what the SQLAlchemy that it asks for has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize(
    "address",
    ["models:/ill/2", "models:/ill/latest", "models:/ill@production", "runs:/{run}/model", "models:/{model}"],
)
def test_every_address_leads_to_a_bundle_that_predicts(registered, address):
    from mlflow import MlflowClient

    run = MlflowClient(registered.uri).get_run(registered.delivery.run_id)
    model_id = run.outputs.model_outputs[0].model_id
    model = load(address.format(run=run.info.run_id, model=model_id), tracking_uri=registered.uri)
    assert model.predict_frame(ROWS).equals(registered.model.predict_frame(ROWS))


def test_versions_are_told_apart(registered):
    places = {a: resolve(a, tracking_uri=registered.uri) for a in ("models:/ill/1", "models:/ill/2")}
    assert places["models:/ill/1"] != places["models:/ill/2"]
    assert resolve("models:/ill@production", tracking_uri=registered.uri) == places["models:/ill/1"]


def test_a_folder_is_an_address_itself_or_as_an_mlflow_model(registered):
    bundle = resolve("models:/ill/1", tracking_uri=registered.uri)
    assert resolve(bundle) == bundle
    assert resolve(bundle.parent) == bundle


def test_the_environment_says_where_mlflow_is(registered, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registered.uri)
    assert resolve("models:/ill/1").is_dir()


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("models:/il/1", "did you mean ill"),
        ("models:/breast-cancer/1", "there is ill, other"),
        ("models:/ill/7", "its versions are 1, 2, its aliases @production"),
        ("models:/other/1", "its versions are none"),
        ("models:/ill@staging", "no alias @staging"),
        ("models:/m-123", "no logged model"),
        ("models:/a/b/c", "models:/NAME/VERSION"),
        ("models:ill", "models:/NAME/VERSION"),
        ("runs:/{run}/modell", "it has model"),
        ("runs:/123/model", "no run '123'"),
    ],
)
def test_an_address_of_nothing_says_what_there_is(registered, address, hint):
    address = address.format(run=registered.delivery.run_id)
    with pytest.raises(ModelError) as caught:
        resolve(address, tracking_uri=registered.uri)
    assert hint in str(caught.value)
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_model_is_told(tmp_path):
    (tmp_path / "cancer-model").mkdir()
    with pytest.raises(ModelError, match="holds no tabstudio bundle"):
        resolve(tmp_path / "cancer-model")
    with pytest.raises(ModelError, match="beside it there is cancer-model"):
        resolve(tmp_path / "cancer-modle")


def test_looking_for_a_model_makes_no_database(tmp_path):
    with pytest.raises(ModelError, match="there is no registry yet"):
        resolve("models:/ill/1")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_of_store_is_told():
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"):
        resolve("models:/ill/1", tracking_uri="htp://localhost")


def test_a_server_that_is_away_is_told_soon():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(ModelError, match="nothing answers there"):
            resolve("models:/ill/1", tracking_uri=uri)


PYFUNC = """
import sys, warnings
warnings.simplefilter("ignore")
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/ill/2")
model.predict(pd.read_parquet("rows.parquet")).to_parquet("out.parquet")
model.predict(model.input_example).to_parquet("example.parquet")
"""


def test_mlflow_loads_the_version_with_pickle_forbidden_and_predicts_the_same(registered, tmp_path):
    import polars as pl

    ROWS.write_parquet("rows.parquet")
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": registered.uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    done = subprocess.run(
        [sys.executable, "-c", PYFUNC], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = registered.model.predict_frame(ROWS)
    assert pl.read_parquet("out.parquet").equals(expected)
    assert pl.read_parquet("example.parquet").equals(expected.head(2))


def test_mlflow_serves_the_version(registered, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "mlflow"), "models", "serve", "-m", "models:/ill/2"]
    command += ["--env-manager", "local", "--port", str(port), "--workers", "1"]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": registered.uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with Path("serve.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        body = (
            resolve("models:/ill/2", tracking_uri=registered.uri).parent / "serving_input_example.json"
        ).read_bytes()
        answer = asked(f"http://127.0.0.1:{port}/invocations", body, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert answer["predictions"] == registered.model.predict_frame(ROWS.head(2)).to_dicts()


def asked(url, body, process):
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    for _ in range(900):
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.load(reply)
        except OSError:
            assert process.poll() is None, Path("serve.log").read_text()
            time.sleep(0.1)
    raise AssertionError(Path("serve.log").read_text())
