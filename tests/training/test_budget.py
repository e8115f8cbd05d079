"""What a training will take is told before it starts; where it would be too long, it is made to fit."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tabstudio.model.encoder import EncodedRows
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.table.schema import Target
from tabstudio.training import budget, loop, packing
from tabstudio.training.data import TrainingRows
from tabstudio.training.loop import step as loop_step
from tabstudio.training.trainer import train_members

ROWS = 200
INPUTS = EncodedRows(torch.randn(ROWS, 4).numpy(), np.zeros((ROWS, 0), dtype=np.int64), {}, {})
TARGET = Target("y", "binary", ("a", "b"), "b")
LABELS = np.arange(ROWS) % 2
FOLD = (np.arange(ROWS) % 3).astype(np.int16)
ROWS_OF = TrainingRows(INPUTS, LABELS, FOLD, TARGET, ())


def learned(network: Any, **more: Any) -> Any:
    config = TrainingConfig(epochs=20, batch_size=50, patience=0)
    return train_members(TrainingRows(INPUTS, LABELS, FOLD, TARGET), network, config, **more)


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


@pytest.mark.parametrize("wanted", [6, 9])
def test_members_are_trained_in_rounds_of_one_for_each_fold(wanted: int) -> None:
    config = TrainingConfig(epochs=3, batch_size=50, members=wanted)
    result = train_members(TrainingRows(INPUTS, LABELS, FOLD, TARGET), NetworkConfig("mlp", (8,)), config)
    assert result.rounds.shape == (wanted // 3, ROWS, 1)
    assert result.seeds == result.plan.seeds == tuple(range(wanted))
    assert result.history[-1].val_loss.shape == (wanted,)
    assert result.decided == {}


@pytest.mark.parametrize("cache", [1, 1 << 30])
def test_rounds_are_the_same_in_one_pack_or_one_by_one(cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = NetworkConfig("tabular", (16,))
    config = TrainingConfig(epochs=6, batch_size=50, members=9, patience=3)
    usual = train_members(TrainingRows(INPUTS, LABELS, FOLD, TARGET), network, config)
    monkeypatch.setattr(packing, "CACHE", cache)
    other = train_members(TrainingRows(INPUTS, LABELS, FOLD, TARGET), network, config)
    np.testing.assert_allclose(other.rounds, usual.rounds, rtol=1e-3, atol=1e-3)
    for mine, theirs in zip(other.history[:3], usual.history[:3], strict=True):
        np.testing.assert_allclose(mine.val_loss, theirs.val_loss, rtol=1e-3, atol=1e-4)


def test_minutes_are_filled_with_rounds_which_can_be_learned_again() -> None:
    network, config = (
        NetworkConfig("tabular", (32, 32)),
        TrainingConfig(epochs=30, batch_size=50, minutes=0.05),
    )
    started = time.perf_counter()
    result = train_members(TrainingRows(INPUTS, LABELS, FOLD, TARGET), network, config)
    assert time.perf_counter() - started < 6.0
    assert result.decided["members"] == len(result.pack) == 3 * len(result.rounds)
    assert len(result.rounds) > 1
    again = train_members(
        TrainingRows(INPUTS, LABELS, FOLD, TARGET), network, replace(config, minutes=None, **result.decided)
    )
    np.testing.assert_array_equal(again.rounds, result.rounds)
    assert again.decided == {}


def test_a_training_that_is_too_long_is_made_narrower_and_then_shorter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(budget, "cost", lambda pack, *_: (0.01, 0.004 * pack.spec.hidden(0)))
    wanted = budget.PlannedTraining(TrainingConfig(minutes=0.05), 3, 1, given=False)
    afforded = budget.afford(ROWS_OF, NetworkConfig(), wanted)
    assert afforded.decided == {"hidden": (64, 64, 64), "epochs": 10}
    assert afforded.network.hidden == (64, 64, 64)
    assert afforded.training.epochs == 10
    kept = budget.afford(ROWS_OF, NetworkConfig(hidden=(200,)), wanted)
    assert kept.decided == {"epochs": 3}
    usual = budget.afford(ROWS_OF, NetworkConfig(), replace(wanted, training=TrainingConfig(epochs=9999)))
    assert usual.decided == {}
    assert "9999 epochs of 1 steps: at most about 5.1e+03 s at 10 ms a step" in usual.explanation


def test_a_round_that_time_cuts_off_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network, config = NetworkConfig("tabular", (32,)), TrainingConfig(epochs=10, batch_size=50, members=9)
    monkeypatch.setattr(packing, "CACHE", 1)
    whole = train_members(TrainingRows(INPUTS, LABELS, FOLD, TARGET), network, config)

    def slow(state: Any, *more: Any) -> torch.Tensor:
        time.sleep(0.5 * (state.pack.seeds[0] == 3))
        return loop_step(state, *more)

    monkeypatch.setattr(loop, "step", slow)
    result = train_members(TrainingRows(INPUTS, LABELS, FOLD, TARGET), network, replace(config, minutes=0.03))
    assert result.decided["members"] == len(result.pack) == 3
    assert result.stopped in ("epochs", "patience")
    np.testing.assert_array_equal(result.rounds, whole.rounds[:1])
