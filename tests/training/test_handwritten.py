"""The pack against loops that are written out by hand, as people write them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tabstudio.model.encoder import EncodedRows
from tabstudio.model.networks import NetworkSpec, build
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.table.schema import Target
from tabstudio.training.data import TrainingRows, assemble, held_out
from tabstudio.training.loop import train_epochs
from tabstudio.training.plan import make_plan
from tabstudio.training.trainer import train_members

TARGET = Target("diagnosis", "binary", ("benign", "malignant"), "malignant")
TUTORIAL = NetworkConfig("mlp", (30, 15), 0.3, "relu", "minmax")


class Network(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(inputs, 30), nn.Linear(30, 15), nn.Linear(15, 1)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dropout(torch.relu(self.first(x)))
        return self.third(self.dropout(torch.relu(self.second(x))))


def table(rows: int = 300, numbers: int = 8) -> tuple[EncodedRows, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((rows, numbers), dtype=np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + 0.2 * rng.standard_normal(rows) > 0.8).astype(np.int64)
    return EncodedRows(x, np.zeros((rows, 0), dtype=np.int64), {}, {}), y


def test_the_tutorials_losses_equal_those_of_the_handwritten_loop() -> None:
    inputs, labels = table()
    tested = np.arange(300) % 4 == 0
    learned = train_members(
        TrainingRows(inputs, labels, np.where(tested, 0, -1).astype(np.int16), TARGET),
        TUTORIAL,
        TrainingConfig(
            epochs=50, batch_size=0, learning_rate=1e-4, weight_decay=0.0, patience=0, members=1, seed=7
        ),
    )

    x, y = torch.from_numpy(inputs.numbers), torch.from_numpy(labels).float().view(-1, 1)
    train = torch.from_numpy(~tested)
    torch.manual_seed(7)
    model = Network(8)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    expected = []
    for _ in range(50):
        model.train()
        optimizer.zero_grad()
        loss = criterion(model(x[train]), y[train])
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            expected.append((loss.item(), criterion(model(x[~train]), y[~train]).item()))

    got = [(float(e.train_loss[0]), float(e.val_loss[0])) for e in learned.history]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    with torch.no_grad():
        raw = learned.pack(*map(torch.from_numpy, (inputs.numbers, inputs.codes)))[0]
        np.testing.assert_allclose(raw, model(x), rtol=0, atol=1e-6)


def test_a_pack_equals_separate_handwritten_trainings() -> None:
    inputs, labels = table()
    fold = (np.arange(300) % 3).astype(np.int16)
    config = TrainingConfig(
        epochs=5, batch_size=64, learning_rate=1e-3, weight_decay=0.01, patience=0, seed=3
    )
    plan = make_plan(config, TUTORIAL, "binary", rows=300, folds=3)
    data = assemble(inputs, labels, held_out(fold, 3), TARGET)
    pack = build(NetworkSpec("mlp", 8, (), 1, TUTORIAL), plan.seeds)
    history = list(train_epochs(pack, data, plan))

    y = torch.from_numpy(labels).float().view(-1, 1)
    for m, seed in enumerate(plan.seeds):
        order = torch.Generator().manual_seed(plan.seed)
        torch.manual_seed(seed)
        model = Network(8)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
        weight = torch.from_numpy(fold != m).float().view(-1, 1)
        for epoch in history:
            total = 0.0
            for rows in torch.randperm(300, generator=order).split(64):
                optimizer.zero_grad()
                losses = nn.functional.binary_cross_entropy_with_logits(
                    model(torch.from_numpy(inputs.numbers)[rows]), y[rows], reduction="none"
                )
                loss = (losses * weight[rows]).sum() / weight[rows].sum()
                loss.backward()
                optimizer.step()
                total += loss.item() * weight[rows].sum().item()
            assert epoch.train_loss[m] == pytest.approx(total / weight.sum().item(), abs=1e-6)
        with torch.no_grad():
            model.eval()
            raw = pack(*map(torch.from_numpy, (inputs.numbers, inputs.codes)))[m]
            np.testing.assert_allclose(raw, model(torch.from_numpy(inputs.numbers)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "tabular"])
def test_a_member_does_not_depend_on_those_beside_it(name: str) -> None:
    rows = 96
    rng = np.random.default_rng(1)
    numbers = torch.from_numpy(rng.standard_normal((rows, 5)).astype(np.float32))
    codes = torch.from_numpy(np.column_stack([rng.integers(0, 3, rows), rng.integers(0, 20, rows)]))
    labels = rng.standard_normal(rows)
    network = NetworkConfig(name, (32, 16), 0.2)  # type: ignore[arg-type]
    config = TrainingConfig(epochs=4, batch_size=32, members=3, patience=0, seed=11)
    target = Target("value", "regression")
    plan = make_plan(config, network, "regression", rows=rows, folds=0)
    inputs = EncodedRows(numbers.numpy(), codes.numpy(), {}, {})
    data = assemble(inputs, labels, np.zeros((3, rows), dtype=bool), target)
    together = build(NetworkSpec(name, 5, (3, 20), 1, network), plan.seeds)
    history = list(train_epochs(together, data, plan))

    for m in range(3):
        alone = build(NetworkSpec(name, 5, (3, 20), 1, network), plan.seeds[m : m + 1])
        own = list(train_epochs(alone, data.members_at([m]), plan.members_at([m])))
        for a, b in zip(history, own, strict=True):
            assert a.train_loss[m] == pytest.approx(b.train_loss[0], rel=1e-4)
        with torch.no_grad():
            np.testing.assert_allclose(
                together(numbers, codes)[m], alone(numbers, codes)[0], rtol=0, atol=1e-3
            )
