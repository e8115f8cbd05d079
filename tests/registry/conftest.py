"""A small model over raw columns, registered in an MLflow database of its own."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tabstudio.model.encoder import Encoder
from tabstudio.model.networks import NetworkSpec, build
from tabstudio.model.predictor import Model
from tabstudio.options import NetworkConfig
from tabstudio.table.schema import Column, Schema, Target
from tabstudio.tracking import Delivery, Recorder
from tests.once import shared_once

from .mlflows import Place, copied

ROWS = pl.DataFrame(
    {
        "age": [31, 64, 47, 52] * 10,
        "mean weight": [70.5, None, 81.0, 64.25] * 10,
        "smoker": [True, False, False, True] * 10,
        "city": ["Rome", "Oslo", None, "Lima"] * 10,
    }
)


@dataclass(frozen=True)
class Registered:
    folder: Path
    uri: str
    model: Model
    delivery: Delivery


def small_model() -> Model:
    columns = (
        Column("age", "number", dtype="Int64"),
        Column("mean weight", "number", dtype="Float64", missing=10),
        Column("smoker", "boolean", dtype="Boolean"),
        Column("city", "category", missing=10),
        Column("ill", "category", "target"),
    )
    schema = Schema(columns, Target("ill", "binary", ("no", "yes"), "yes"))
    encoder = Encoder.fit(ROWS, schema, "robust")
    config = NetworkConfig("mlp", (8,), 0.0, "relu")
    spec = NetworkSpec("mlp", encoder.numbers, encoder.cardinalities, schema.target.outputs, config)
    return Model(schema, encoder, build(spec, [0, 1]))


@pytest.fixture(scope="session")
def registered(empty_mlflow: Path) -> Registered:
    """`ill` in two versions, the first one also `@production`; and `other`, which has none."""
    folder, delivery = shared_once("registered", lambda folder: _register(folder, empty_mlflow))
    return Registered(folder, f"sqlite:///{folder}/mlflow.db", small_model(), Delivery(**delivery))


def _register(folder: Path, empty_mlflow: Path) -> dict[str, Any]:
    from mlflow import MlflowClient

    uri = f"sqlite:///{shutil.copy(empty_mlflow, folder)}"
    model = small_model()
    model.save(folder / "saved")
    with pytest.MonkeyPatch.context() as patch, Recorder(tracking_uri=uri) as recorder:
        patch.chdir(folder)
        for _ in range(2):
            with recorder.start("ill") as run:
                run.model(folder / "saved", model.schema, ROWS.head(2), registered_name="ill", card="# Ill")
            delivery = recorder.wait(120)
    client = MlflowClient(uri, uri)
    client.set_registered_model_alias("ill", "production", "1")
    client.create_registered_model("other")
    return asdict(delivery)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path, empty_mlflow: Path) -> Place:
    """A registry of plain MLflow with `ill` in four versions; our tables in SQLite or PostgreSQL."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres")
    made = copied(empty_mlflow, tmp_path, url)
    made.register("ill", 4)
    return made
