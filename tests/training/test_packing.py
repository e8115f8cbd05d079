"""A pack of k is k separate trainings, whoever stands beside a member and whoever leaves.

Weights after a training agree within `CLOSE`: sums are added up in another order, in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tabstudio.model.encoder import EncodedRows
from tabstudio.model.networks import BINNED, Custom, NetworkSpec, Pack, build
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.table.schema import Target
from tabstudio.training import optimizer
from tabstudio.training.data import TrainingTensors, assemble, held_out
from tabstudio.training.loop import LoopState, train_epochs
from tabstudio.training.plan import TrainingPlan, make_plan

CLOSE = {"rtol": 1e-3, "atol": 1e-4}
ROWS, LEVELS, FOLDS = 90, (3, 20), 3
TARGETS = {
    "binary": Target("y", "binary", ("a", "b"), "b"),
    "multiclass": Target("y", "multiclass", ("a", "b", "c")),
    "regression": Target("y", "regression"),
}
VECTORS: dict[str, dict[str, Any]] = {
    "alike": {},
    "optimizer": {"learning_rate": (1e-3, 5e-3, 2e-3), "weight_decay": (0.0, 0.1, 0.1)},
    "regularised": {"dropout": (0.0, 0.5, 0.25), "label_smoothing": (0.0, 0.1, 0.3)},
    "averaged": {"averaging": 7},
}


def own(inputs: int, outputs: int) -> nn.Module:
    # no bias before the normalisation: its gradient would be mere rounding, which Adam blows up to full steps
    return nn.Sequential(
        nn.Linear(inputs, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs)
    )


def network(name: str, outputs: int, seeds: tuple[int, ...], **more: Any) -> Pack:
    if name == "custom":
        return Custom(own, seeds, 4, LEVELS, outputs)
    config = NetworkConfig(name, (12, 12), 0.2)  # type: ignore[arg-type]
    return build(NetworkSpec(name, 4, LEVELS, outputs, config, edges=binned(name), **more), seeds)


def binned(name: str) -> tuple[tuple[float, ...], ...]:
    return ((-1.0, 0.0, 1.0), (), (-2.0, -0.5, 0.0, 0.5), (0.0, 1.0)) if name in BINNED else ()


def setting(
    task: str = "binary", vectors: str = "alike", batch_size: int = 32, **options: Any
) -> tuple[TrainingTensors, TrainingPlan]:
    rng = np.random.default_rng(0)
    numbers = torch.from_numpy(rng.standard_normal((ROWS, 4)).astype(np.float32))
    codes = torch.from_numpy(np.column_stack([rng.integers(0, n, ROWS) for n in LEVELS]))
    target = TARGETS[task]
    classes = len(target.classes)
    labels = rng.integers(0, classes, ROWS) if classes else rng.standard_normal(ROWS)
    held = held_out(np.arange(ROWS) % FOLDS, FOLDS)
    data = assemble(EncodedRows(numbers.numpy(), codes.numpy(), {}, {}), labels, held, target)
    chosen = {"epochs": 6, "patience": 0, "learning_rate": 2e-3, "batch_size": batch_size}
    config = TrainingConfig(**(chosen | options))
    plan = make_plan(config, NetworkConfig("mlp", dropout=0.2), target.task, rows=ROWS, folds=FOLDS)
    return data, replace(plan, **VECTORS[vectors])


def trained(
    pack: Pack,
    data: TrainingTensors,
    plan: TrainingPlan,
    meanwhile: Callable[[LoopState], None] = lambda _: None,
) -> LoopState:
    state = LoopState(pack, data, plan)
    for _ in train_epochs(pack, data, plan, state):
        meanwhile(state)
    state.restore_best()
    return state


def assert_member(pack: Pack, member: int, other: Pack, place: int) -> None:
    for (name, a), b in zip(pack.named_parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(a[member].detach(), b[place].detach(), err_msg=name, **CLOSE)


@pytest.mark.parametrize("small", [0, 10**9])
@pytest.mark.parametrize("vectors", VECTORS)
@pytest.mark.parametrize("name", ["mlp", "tabular", "tabm", "resnet", "custom"])
def test_a_pack_equals_separate_trainings(
    name: str, vectors: str, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizer, "LEAST_ENTRIES", small)  # a call per run of members, or one over all
    data, plan = setting(vectors=vectors)
    together = network(name, 1, plan.seeds)
    history = trained(together, data, plan).history
    for m in range(3):
        alone = network(name, 1, plan.seeds[m : m + 1])
        mine = trained(alone, data.members_at([m]), plan.members_at([m])).history
        assert_member(together, m, alone, 0)
        for a, b in zip(history, mine, strict=True):
            assert a.train_loss[m] == pytest.approx(b.train_loss[0], rel=1e-3)
            assert a.val_loss[m] == pytest.approx(b.val_loss[0], rel=1e-3)


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("batch_size", [0, 32])
def test_every_task_and_batch_is_the_same_in_a_pack(task: str, batch_size: int) -> None:
    data, plan = setting(task, "alike" if task == "regression" else "regularised", batch_size)
    together = network("tabular", TARGETS[task].outputs, plan.seeds)
    trained(together, data, plan)
    alone = network("tabular", TARGETS[task].outputs, plan.seeds[1:2])
    trained(alone, data.members_at([1]), plan.members_at([1]))
    assert_member(together, 1, alone, 0)


@pytest.mark.parametrize("vectors", VECTORS)
@pytest.mark.parametrize("name", ["mlp", "tabular", "tabm", "resnet", "custom"])
def test_members_that_leave_change_nothing_for_the_others(name: str, vectors: str) -> None:
    data, plan = setting(vectors=vectors)
    whole, losing = network(name, 1, plan.seeds), network(name, 1, plan.seeds)

    def drop(state: LoopState) -> None:
        left = {2: [0, 2], 4: [2]}.get(len(state.history))
        if left:
            state.keep(left)

    undisturbed = trained(whole, data, plan)
    state = trained(losing, data, plan, drop)
    assert state.members.tolist() == [2]
    assert len(state.pack) == 1
    assert_member(losing, 2, whole, 2)
    assert state.history[-1].active.tolist() == [False, False, True]
    assert state.history[-1].train_loss[1] == state.history[1].train_loss[1]
    for a, b in zip(state.history, undisturbed.history, strict=True):
        assert a.val_loss[2] == pytest.approx(b.val_loss[2], rel=1e-3)


def test_a_member_that_leaves_keeps_the_weights_it_had() -> None:
    data, plan = setting()
    losing, shorter = network("mlp", 1, plan.seeds), network("mlp", 1, plan.seeds)
    trained(losing, data, plan, lambda state: state.keep([0]) if len(state.history) == 3 else None)
    trained(shorter, data, replace(plan, epochs=3))
    assert_member(losing, 1, shorter, 1)


@pytest.mark.parametrize("parametrised", ["mlp", "tabular"])
def test_a_narrow_member_is_the_narrow_network(parametrised: str) -> None:
    data, plan = setting(vectors="regularised")
    widths = ((12, 12), (5, 3), (9, 12))
    together = network(parametrised, 1, plan.seeds, own_hidden=widths)
    state = trained(
        together, data, plan, lambda state: state.keep([0, 1]) if len(state.history) == 3 else None
    )
    assert state.pack.spec is not None
    for m in (0, 1):
        config = NetworkConfig(parametrised, widths[m], 0.2)  # type: ignore[arg-type]
        spec = NetworkSpec(parametrised, 4, LEVELS, 1, config, edges=binned(parametrised))
        alone = build(spec, plan.seeds[m : m + 1])
        trained(alone, data.members_at([m]), plan.members_at([m]))
        with torch.no_grad():
            together.eval(), alone.eval()
            np.testing.assert_allclose(
                together(data.numbers, data.codes)[m], alone(data.numbers, data.codes)[0], **CLOSE
            )
    narrow = together.members([1]).eval()
    assert narrow.spec is not None
    assert narrow.spec.config.hidden == (5, 3)
    with torch.no_grad():
        np.testing.assert_allclose(
            together(data.numbers, data.codes)[1], narrow(data.numbers, data.codes)[0], **CLOSE
        )


def test_what_is_padded_stays_zero() -> None:
    data, plan = setting(vectors="optimizer")
    pack = network("tabular", 1, plan.seeds, own_hidden=((12, 12), (5, 3), (9, 12)))
    trained(pack, data, plan)
    weights = dict(pack.named_parameters())
    assert not weights["layers.0.weight"][1, :, 5:].any()
    assert not weights["layers.1.weight"][1, 5:].any()
    assert weights["layers.1.weight"][1, :5, :3].all()
    assert not weights["last.weight"][1, 3:].any()


def test_members_without_patience_leave_and_keep_their_best_weights() -> None:
    data, plan = setting(epochs=60, patience=3, learning_rate=0.05)
    compacted, beside = network("mlp", 1, plan.seeds), network("mlp", 1, plan.seeds)
    state = trained(compacted, data, plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tabstudio.training.loop.WORTH_COMPACTING", -1.0)
        other = trained(beside, data, plan)
    assert len(state.members) < 3
    assert len(other.members) == 3
    assert state.stopped == "patience"
    np.testing.assert_allclose(state.best_loss, other.best_loss, rtol=1e-3)
    for m in range(3):
        assert_member(compacted, m, beside, m)
