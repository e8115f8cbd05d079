"""MLflow loads the bundle as any of its models, with pickle forbidden."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tabstudio.errors import ConfigError, ModelError
from tabstudio.model.predictor import Model
from tabstudio.model.pyfunc import _load_pyfunc

MLMODEL = """\
flavors:
  python_function:
    data: bundle
    loader_module: tabstudio.model.pyfunc
    python_version: {python}
signature:
  inputs: >-
    [{{"type": "long", "name": "age", "required": true}},
     {{"type": "double", "name": "weight", "required": false}},
     {{"type": "boolean", "name": "smoker", "required": true}},
     {{"type": "string", "name": "city", "required": true}}]
  outputs: null
  params: null
"""

SCRIPT = """\
import sys, warnings
warnings.simplefilter("ignore")
import mlflow, pandas as pd
rows = pd.read_parquet("rows.parquet")
mlflow.pyfunc.load_model("mlflow_model").predict(rows).to_parquet("out.parquet")
"""


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    model.save(tmp_path / "mlflow_model" / "bundle")
    version = ".".join(str(part) for part in sys.version_info[:3])
    (tmp_path / "mlflow_model" / "MLmodel").write_text(MLMODEL.format(python=version))
    return tmp_path / "mlflow_model"


def test_mlflow_loads_and_predicts_with_pickle_forbidden(
    model: Model, rows: pl.DataFrame, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    rows.write_parquet("rows.parquet")
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet("out.parquet").equals(model.predict_frame(rows))


def test_pandas_rows_give_a_pandas_frame_of_the_same_figures(
    model: Model, rows: pl.DataFrame, folder: Path
) -> None:
    answer = _load_pyfunc(str(folder / "bundle")).predict(rows.to_pandas())
    assert type(answer).__module__.startswith("pandas")
    assert pl.from_pandas(answer).equals(model.predict_frame(rows))


def test_parameters_are_refused_since_there_are_none(rows: pl.DataFrame, folder: Path) -> None:
    with pytest.raises(ConfigError, match="leave params out"):
        _load_pyfunc(str(folder / "bundle")).predict(rows.to_pandas(), {"temperature": 2})


def test_a_changed_bundle_is_refused_with_the_files_name(folder: Path) -> None:
    with (folder / "bundle" / "schema.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ModelError, match=r"schema\.json was changed"):
        _load_pyfunc(str(folder / "bundle"))
