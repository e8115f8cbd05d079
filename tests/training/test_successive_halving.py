"""Races of trials: each is the training it stands for, the worse half leaves, a bad one fails alone."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tabstudio.errors import ConfigError
from tabstudio.model.encoder import EncodedRows
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.table.schema import Target
from tabstudio.training import packing as sharing
from tabstudio.training import successive_halving as racing
from tabstudio.training.data import TrainingRows
from tabstudio.training.successive_halving import Trial, successive_halving
from tabstudio.training.trainer import train_members

BINARY = Target("y", "binary", ("a", "b"), "b")
ROWS, LEVELS = 120, (3, 20)


def table(folds: int = 3) -> TrainingRows:
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((ROWS, 4)).astype(np.float32)
    codes = np.column_stack([rng.integers(0, n, ROWS) for n in LEVELS])
    labels = (3 * numbers[:, 0] + numbers[:, 1] * numbers[:, 2] > 0).astype(np.int64)
    inputs = EncodedRows(numbers, codes, {}, {})
    fold = np.arange(ROWS) % folds if folds else np.full(ROWS, -1)
    return TrainingRows(inputs, labels, fold.astype(np.int16), BINARY, LEVELS)


def trial(number: int, network: str = "tabular", **options: Any) -> Trial:
    net = {name: options.pop(name) for name in ("hidden", "dropout", "embedding") if name in options}
    chosen = {"epochs": 8, "batch_size": 32} | options
    return Trial(number, NetworkConfig(network, **({"hidden": (16, 8)} | net)), TrainingConfig(**chosen))  # type: ignore[arg-type]


@pytest.mark.parametrize("network", ["tabular", "mlp"])
def test_a_trial_is_the_training_with_its_options(network: str) -> None:
    rows = table()
    trials = [
        trial(0, network),
        trial(1, network, learning_rate=0.02, weight_decay=0.1, dropout=0.4, label_smoothing=0.05),
        trial(2, network, hidden=(5, 7), patience=2, learning_rate=0.1),
        trial(3, network, hidden=(12,), learning_rate=0.01),
        trial(4, network, batch_size=0, embedding=4),
        trial(5, network, members=6),
        trial(6, network, hidden=(6, 8)),
    ]
    for outcome in successive_halving(rows, trials, rungs=()):
        alone = train_members(
            TrainingRows(rows.inputs, rows.labels, rows.fold, BINARY, LEVELS),
            outcome.trial.network,
            outcome.trial.training,
        )
        assert outcome.ending == "finished"
        assert outcome.finalist is not None
        assert outcome.plan == alone.plan
        np.testing.assert_allclose(outcome.finalist.out_of_fold, alone.out_of_fold, rtol=1e-2, atol=2e-3)
        for step, epoch in zip(outcome.steps, alone.history, strict=True):
            assert step.val_loss == pytest.approx(epoch.val_loss.mean(), rel=1e-3)
        best = np.min([epoch.val_loss for epoch in alone.history], axis=0)
        assert outcome.loss == pytest.approx(best.mean(), rel=1e-3)


def test_the_worse_half_leaves_at_every_rung() -> None:
    rates = [1e-5, 0.04, 1e-4, 0.03, 2e-5, 0.02, 3e-5, 0.01]
    outcomes = successive_halving(table(), [trial(i, learning_rate=rate) for i, rate in enumerate(rates)])
    lengths = [len(outcome.steps) for outcome in outcomes]
    assert [outcome.trial.number for outcome in outcomes] == list(range(8))
    assert sorted(lengths) == [2, 2, 2, 2, 4, 4, 8, 8]
    assert all(lengths[i] == 2 for i in (0, 2, 4, 6))
    for outcome in outcomes:
        assert (outcome.ending == "finished") == (outcome.finalist is not None) == (len(outcome.steps) == 8)
        assert outcome.ending in ("finished", "dropped")


def test_those_that_leave_change_nothing_for_the_winner() -> None:
    trials = [trial(i, learning_rate=rate) for i, rate in enumerate([1e-5, 0.04, 1e-4, 2e-5])]
    halved, whole = successive_halving(table(), trials)[1], successive_halving(table(), trials, rungs=())[1]
    assert halved.finalist is not None
    assert whole.finalist is not None
    np.testing.assert_allclose(halved.finalist.out_of_fold, whole.finalist.out_of_fold, rtol=1e-2, atol=2e-3)


def test_a_trial_that_explodes_fails_alone() -> None:
    trials = [trial(0), trial(1, learning_rate=1e38), trial(2, hidden=(4,), learning_rate=1e38)]
    outcomes = successive_halving(table(), trials, rungs=())
    assert [outcome.ending for outcome in outcomes] == ["finished", "not finite", "not finite"]
    assert outcomes[1].loss == math.inf
    assert outcomes[1].finalist is None
    alone = successive_halving(table(), trials[:1], rungs=())[0]
    assert outcomes[0].loss == pytest.approx(alone.loss, rel=1e-3)


def test_a_deadline_ends_trials_as_they_are() -> None:
    outcomes = successive_halving(
        table(), [trial(0, epochs=500), trial(1, epochs=500)], deadline=time.monotonic()
    )
    assert [outcome.ending for outcome in outcomes] == ["out of time"] * 2
    assert [len(outcome.steps) for outcome in outcomes] == [1, 1]
    assert outcomes[0].finalist is not None
    assert np.isfinite(outcomes[0].finalist.out_of_fold).all()


def test_packs_are_parted_to_stay_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [trial(i, learning_rate=0.01 * (i + 1)) for i in range(4)]
    together = successive_halving(table(), trials, rungs=())
    monkeypatch.setattr(sharing, "CACHE", 1)
    assert len(racing._heats(table(), trials)) == 4
    for a, b in zip(together, successive_halving(table(), trials, rungs=()), strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-3)


def test_trials_without_rows_to_compare_them_on_are_refused() -> None:
    with pytest.raises(ConfigError, match="none are held out"):
        successive_halving(table(folds=0), [trial(0)])


def test_a_single_fold_is_enough() -> None:
    rows = table(2)
    rows = replace(rows, fold=np.where(rows.fold == 0, 0, -1).astype(np.int16))
    outcome = successive_halving(rows, [trial(0)], rungs=())[0]
    assert outcome.finalist is not None
    assert len(outcome.finalist.pack) == 1
    assert np.isnan(outcome.finalist.out_of_fold).any(axis=1).sum() == ROWS / 2
