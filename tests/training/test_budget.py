"""What a training will take is told before it starts, and telling changes nothing of it."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tabstudio.config import NetworkConfig, TrainingConfig
from tabstudio.model.encode import Inputs
from tabstudio.table.schema import Target
from tabstudio.training.learn import learn

ROWS = 200
INPUTS = Inputs(torch.randn(ROWS, 4), torch.zeros(ROWS, 0, dtype=torch.int64), {}, {})
TARGET = Target("y", "binary", ("a", "b"), "b")


def learned(network: Any, **more: Any) -> Any:
    config = TrainingConfig(epochs=20, batch_size=50, patience=0)
    fold = (np.arange(ROWS) % 3).astype(np.int16)
    return learn(INPUTS, np.arange(ROWS) % 2, fold, TARGET, network, config, **more)


@pytest.mark.parametrize(
    "network",
    [
        NetworkConfig("tabular", (32,)),
        NetworkConfig("mlp", (8,), 0.3),
        lambda i, o: nn.Sequential(nn.Linear(i, 8), nn.Dropout(0.5), nn.Linear(8, o)),
    ],
)
def test_measuring_leaves_the_training_as_it_is(network: Any) -> None:
    told: list[Any] = []
    with_budget, without = learned(network, on_plan=told.append), learned(network)
    np.testing.assert_array_equal(with_budget.out_of_fold, without.out_of_fold)
    assert "budget" in told[0].reasons
    assert with_budget.plan.reasons == told[0].reasons


def test_what_is_told_is_near_the_truth() -> None:
    told: list[float] = []
    started = time.perf_counter()
    network = NetworkConfig("tabular", (64, 64))
    result = learned(network, on_plan=lambda _: told.append(time.perf_counter()))
    seconds = time.perf_counter() - told[0]
    found = re.match(
        r"3 networks, up to 20 epochs of 4 steps: at most about ([\d.]+) s at ([\d.]+) ms a step",
        result.plan.reasons["budget"],
    )
    assert found is not None
    assert seconds / 10 < float(found[1]) < 10 * seconds + 0.2
    assert told[0] - started < seconds
