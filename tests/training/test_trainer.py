"""Trainings of every kind of table, and every way in which one can end."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

from tabstudio.errors import ConfigError, TrainingError
from tabstudio.model.encoder import EncodedRows
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.table.schema import Target
from tabstudio.training.data import TrainingRows
from tabstudio.training.plan import make_plan
from tabstudio.training.trainer import train_members

BINARY = Target("y", "binary", ("a", "b"), "b")
MULTICLASS = Target("y", "multiclass", ("a", "b", "c"))
REGRESSION = Target("y", "regression")
TABULAR, MLP = NetworkConfig("tabular", (16, 8)), NetworkConfig("mlp", (16, 8))
LEVELS = (3, 30)


def rows(n: int, numbers: int = 2, columns: int = 2) -> EncodedRows:
    rng = np.random.default_rng(n)
    codes = [rng.integers(0, LEVELS[i], n) for i in range(columns)]
    return EncodedRows(
        rng.standard_normal((n, numbers)).astype(np.float32),
        np.column_stack(codes) if codes else np.zeros((n, 0), dtype=np.int64),
        {},
        {},
    )


def folds(n: int, count: int) -> np.ndarray:
    return (np.arange(n) % count if count else np.full(n, -1)).astype(np.int16)


@pytest.mark.parametrize("network", [TABULAR, MLP])
@pytest.mark.parametrize("target", [BINARY, MULTICLASS, REGRESSION])
@pytest.mark.parametrize(("numbers", "columns"), [(1, 0), (0, 1), (0, 2), (3, 2), (1, 1)])
def test_tables_of_every_shape_are_learned(
    network: NetworkConfig, target: Target, numbers: int, columns: int
) -> None:
    labels = np.arange(8) % max(len(target.classes), 2)
    learned = train_members(
        TrainingRows(
            rows(8, numbers, columns),
            labels.astype(float) if target is REGRESSION else labels,
            folds(8, 2),
            target,
            LEVELS[:columns],
        ),
        network,
        TrainingConfig(epochs=2),
    )
    assert learned.out_of_fold.shape == (8, target.outputs)
    assert np.isfinite(learned.out_of_fold).all()
    assert learned.stopped == "epochs"
    assert not learned.pack.training


def test_a_table_with_a_pattern_is_learned() -> None:
    inputs = rows(400)
    labels = (inputs.numbers[:, 0] * inputs.numbers[:, 1] > 0).astype(np.int64)
    learned = train_members(
        TrainingRows(inputs, labels, folds(400, 4), BINARY, LEVELS),
        NetworkConfig("tabular", (64, 64)),
        TrainingConfig(epochs=40),
    )
    assert ((learned.out_of_fold[:, 0] > 0) == labels).mean() > 0.85


def test_rows_of_no_fold_are_always_trained_on_and_have_no_held_out_prediction() -> None:
    fold = folds(40, 2)
    fold[:10] = -1
    learned = train_members(
        TrainingRows(rows(40), np.arange(40) % 2, fold, BINARY, LEVELS), MLP, TrainingConfig(epochs=1)
    )
    np.testing.assert_array_equal(np.isnan(learned.out_of_fold[:, 0]), np.arange(40) < 10)


def test_out_of_fold_outputs_are_those_of_the_members_that_held_the_row_out() -> None:
    inputs, fold = rows(30), folds(30, 3)
    config = TrainingConfig(epochs=3, members=6)
    learned = train_members(TrainingRows(inputs, np.arange(30) % 2, fold, BINARY, LEVELS), TABULAR, config)
    with torch.inference_mode():
        raw = learned.pack(*map(torch.from_numpy, (inputs.numbers, inputs.codes))).numpy()
    expected = np.stack([(raw[f, i] + raw[f + 3, i]) / 2 for i, f in enumerate(fold)])
    np.testing.assert_allclose(learned.out_of_fold, expected, atol=1e-5)


def test_labels_of_held_out_rows_do_not_touch_the_member_that_holds_them_out() -> None:
    inputs, fold = rows(40), folds(40, 2)
    labels = np.arange(40) % 2
    config = TrainingConfig(epochs=3, patience=0)
    first = train_members(TrainingRows(inputs, labels, fold, BINARY, LEVELS), TABULAR, config)
    changed = np.where(fold == 0, 1 - labels, labels)
    second = train_members(TrainingRows(inputs, changed, fold, BINARY, LEVELS), TABULAR, config)
    for a, b in zip(first.pack.parameters(), second.pack.parameters(), strict=True):
        assert torch.equal(a[0], b[0])


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("network", [TABULAR, MLP, lambda i, o: nn.Linear(i, o)])
def test_the_same_seed_gives_the_same_bits(network: NetworkConfig, precision: str) -> None:
    config = TrainingConfig(epochs=3, batch_size=16, precision=precision, seed=4)  # type: ignore[arg-type]
    runs = [
        train_members(
            TrainingRows(rows(50), np.arange(50) % 2, folds(50, 2), BINARY, LEVELS), network, config
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(runs[0].out_of_fold, runs[1].out_of_fold)


def test_balance_raises_the_rare_class() -> None:
    labels = (np.arange(200) % 20 == 0).astype(np.int64)
    config = {"epochs": 30, "learning_rate": 0.01}
    raw = [
        train_members(
            TrainingRows(rows(200), labels, folds(200, 2), BINARY, LEVELS),
            MLP,
            TrainingConfig(balance=balance, **config),
        ).out_of_fold.mean()
        for balance in (False, True)
    ]
    assert raw[1] > raw[0] + 0.5


def test_the_best_epoch_of_each_member_is_kept() -> None:
    inputs, fold = rows(60), folds(60, 2)
    labels = np.random.default_rng(0).integers(0, 2, 60)
    config = TrainingConfig(epochs=40, patience=5, learning_rate=0.05)
    learned = train_members(TrainingRows(inputs, labels, fold, BINARY, LEVELS), MLP, config)
    assert learned.stopped == "patience"
    losses = np.stack([epoch.val_loss for epoch in learned.history])
    p = 1 / (1 + np.exp(-learned.out_of_fold[:, 0].astype(float)))
    got = -np.log(np.where(labels == 1, p, 1 - p))
    for m in range(2):
        assert got[fold == m].mean() == pytest.approx(losses[:, m].min(), rel=1e-4)


def test_a_loss_that_is_not_finite_ends_the_training_and_says_where() -> None:
    inputs = rows(40)
    inputs.numbers[3, 0] = np.inf
    with pytest.raises(TrainingError, match=r"epoch 1: .*not finite.*learning rate of 0\.001.*no checkpoint"):
        train_members(
            TrainingRows(inputs, np.arange(40) % 2, folds(40, 0), BINARY, LEVELS),
            MLP,
            TrainingConfig(epochs=3),
        )


def test_weights_that_explode_in_the_last_step_give_no_model() -> None:
    config = TrainingConfig(epochs=1, batch_size=0, learning_rate=1e39)
    with pytest.raises(TrainingError, match=r"epoch 1: .*are not finite"):
        train_members(TrainingRows(rows(40), np.arange(40) % 2, folds(40, 0), BINARY, LEVELS), MLP, config)


def test_an_interrupted_training_keeps_what_is_best_so_far() -> None:
    def interrupt(epoch: object, plan: object) -> None:
        if epoch.number == 3:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    config = TrainingConfig(epochs=10)
    learned = train_members(
        TrainingRows(rows(40), np.arange(40) % 2, folds(40, 2), BINARY, LEVELS),
        TABULAR,
        config,
        on_epoch=interrupt,
    )
    assert learned.stopped == "interrupted"
    assert len(learned.history) == 3
    assert np.isfinite(learned.out_of_fold).all()


def test_minutes_bound_the_training() -> None:
    config = TrainingConfig(epochs=1_000_000, minutes=0.005, patience=1_000_000, members=2)
    started = time.perf_counter()
    learned = train_members(
        TrainingRows(rows(40), np.arange(40) % 2, folds(40, 2), BINARY, LEVELS), MLP, config
    )
    assert time.perf_counter() - started < 5.0
    assert len(learned.history) < 1_000_000
    assert learned.stopped in ("epochs", "minutes")
    assert learned.history[-1].learning_rate.shape == (2,)


def test_a_network_of_ones_own_sees_numbers_and_one_hot_codes() -> None:
    widths: list[tuple[int, int]] = []

    def factory(inputs: int, outputs: int) -> nn.Module:
        widths.append((inputs, outputs))
        return nn.Sequential(nn.Linear(inputs, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, outputs))

    before = torch.get_rng_state()
    learned = train_members(
        TrainingRows(rows(30), np.arange(30) % 3, folds(30, 3), MULTICLASS, LEVELS),
        factory,
        TrainingConfig(epochs=2),
    )
    assert widths == [(2 + 3 + 30, 3)] * 3
    assert learned.out_of_fold.shape == (30, 3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda i, o: nn.Linear(i, o + 1), r"must map \(rows, inputs\) to \(rows, 1\)"),
        (lambda *_: "network", "must return a torch.nn.Module"),
        (lambda *_: nn.Identity(), "no parameters"),
    ],
)
def test_a_factory_that_does_not_fit_is_refused(factory: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_members(
            TrainingRows(rows(20), np.arange(20) % 2, folds(20, 2), BINARY, LEVELS),
            factory,
            TrainingConfig(epochs=1),
        )


def test_codes_without_cardinalities_are_refused() -> None:
    with pytest.raises(ConfigError, match="hand over cardinalities"):
        train_members(TrainingRows(rows(20), np.arange(20) % 2, folds(20, 2), BINARY), MLP, TrainingConfig())


def test_a_plan_gives_its_reasons_and_refuses_what_does_not_fit() -> None:
    plan = make_plan(TrainingConfig(), TABULAR, "binary", rows=1000, folds=5)
    assert plan.members == 5
    assert {"members", "epochs", "batch_size", "learning_rate", "patience", "device", "precision"} <= set(
        plan.reasons
    )
    with pytest.raises(ConfigError, match="at least one member per fold"):
        make_plan(TrainingConfig(members=2), TABULAR, "binary", rows=1000, folds=5)
    with pytest.raises(ConfigError, match="'cuba' is not usable here"):
        make_plan(TrainingConfig(device="cuba"), TABULAR, "binary", rows=1000, folds=5)
