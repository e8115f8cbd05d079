"""A small trained-looking model of each task, over columns of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.head import OutputHead
from tabstudio.model.networks import NetworkSpec, build
from tabstudio.model.predictor import Model
from tabstudio.model.profile import profile
from tabstudio.options import NetworkConfig
from tabstudio.table.schema import Column, Schema, Target

TARGETS = {
    "binary": Target("ill", "binary", ("no", "yes"), "yes"),
    "multiclass": Target("grade", "multiclass", (1, 2, 3)),
    "regression": Target("price", "regression"),
}


@pytest.fixture(scope="session")
def rows() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    count = 300
    return pl.DataFrame(
        {
            "age": rng.integers(18, 90, count),
            "weight": pl.Series(rng.normal(70, 12, count)).set(pl.Series(np.arange(count) % 11 == 0), None),
            "smoker": rng.random(count) < 0.3,
            "city": rng.choice(["Rome", "Oslo", "Lima"], count),
        }
    )


@pytest.fixture(scope="session")
def make_model(rows: pl.DataFrame) -> Callable[..., Model]:
    def make(task: str = "binary", network: str = "tabular", members: int = 3, **options: Any) -> Model:
        columns = (
            *(Column("age", "number", dtype="Int64"), Column("weight", "number", dtype="Float64")),
            *(Column("smoker", "boolean", dtype="Boolean"), Column("city", "category")),
            Column(TARGETS[task].name, "category", "target"),
        )
        schema = Schema(columns, options.pop("target", TARGETS[task]))
        encoder = Encoder.fit(rows, schema, "robust")
        config = NetworkConfig(network, (24, 16), 0.1, "silu")
        outputs = schema.target.outputs
        spec = NetworkSpec(network, encoder.numbers, encoder.cardinalities, outputs, config)
        pack = build(spec, list(range(members)))
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weights in pack.parameters():
                weights.add_(torch.randn(weights.shape, generator=generator) * 0.3)
        head = OutputHead(schema.target, **options)
        return Model(schema, encoder, pack, head, profile=profile(rows, schema), config={"epochs": 3})

    return make


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    return make_model(temperature=1.3, threshold=0.4)
