"""Packs against a serial loop of plain PyTorch over the same members, in model-epochs per second.

    python -m benchmarks.packs [--threads 2] [--rounds 5]

Three shapes: the tutorial's table with one small hidden layer, all rows at once, 64 members; a medium one in
batches, 16 members; a wide one, 8 members, where bf16 joins in if the processor has it. The serial loop is
written as people write it, with the fused Adam. Both train the same rows for the same epochs, interleaved in
one run, so that what else the machine does falls on both alike.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from tabstudio.model.encoder import EncodedRows
from tabstudio.model.networks import NetworkSpec, build
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.table.schema import Target
from tabstudio.training.data import assemble
from tabstudio.training.loop import train_epochs
from tabstudio.training.plan import make_plan

RATE = 1e-3
TARGET = Target("y", "binary", (0, 1), 1)


@dataclass(frozen=True)
class Shape:
    """One comparison. `epochs` are those of the pack, `serial` how many members the serial loop trains."""

    name: str
    rows: int
    numbers: int
    hidden: tuple[int, ...]
    batch: int
    members: int
    epochs: int
    serial: int


SHAPES = (
    Shape("30-15-1, 426 rows, all at once, 64 members", 426, 30, (15,), 0, 64, 100, 16),
    Shape("28-64-64-1, 20,000 rows, batch 512, 16 members", 20_000, 28, (64, 64), 512, 16, 2, 16),
    Shape(
        "28-256-256-256-1, 15,000 rows, batch 1,024, 8 members", 15_000, 28, (256, 256, 256), 1024, 8, 2, 4
    ),
)


def made(shape: Shape) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers (rows, d) and labels (rows,) of 0 and 1."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(shape.rows, shape.numbers, generator=random)
    score = x[:, 0] * x[:, 1] + x[:, 2:].sum(1) * 0.3
    return x, (score + torch.randn(shape.rows, generator=random) > 0).float()


def one_after_the_other(shape: Shape, x: torch.Tensor, y: torch.Tensor) -> float:
    """Model-epochs per second of a plain loop for each member."""
    started = time.perf_counter()
    for member in range(shape.serial):
        torch.manual_seed(member)
        widths = [shape.numbers, *shape.hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
        criterion = nn.BCEWithLogitsLoss()
        for _ in range(shape.epochs):
            steps = torch.randperm(shape.rows).split(shape.batch) if shape.batch else (slice(None),)
            for at in steps:
                optimizer.zero_grad()
                loss = criterion(model(x[at])[:, 0], y[at])
                loss.backward()
                optimizer.step()
    return shape.serial * shape.epochs / (time.perf_counter() - started)


def as_a_pack(shape: Shape, x: torch.Tensor, y: torch.Tensor) -> float:
    """Model-epochs per second of our loop, precision chosen as `tabstudio train` chooses it."""
    network = NetworkConfig("mlp", shape.hidden, 0.0, "relu")
    config = TrainingConfig(
        epochs=shape.epochs, batch_size=shape.batch, learning_rate=RATE, patience=0, members=shape.members
    )
    codes = torch.zeros(shape.rows, 0, dtype=torch.int64)
    nobody = np.zeros((shape.members, shape.rows), dtype=bool)
    started = time.perf_counter()
    plan = make_plan(config, network, "binary", rows=shape.rows, folds=0)
    data = assemble(EncodedRows(x.numpy(), codes.numpy(), {}, {}), y.numpy(), nobody, TARGET)
    pack = build(NetworkSpec("mlp", shape.numbers, (), 1, network), plan.seeds)
    for _ in train_epochs(pack, data, plan):
        pass
    return shape.members * shape.epochs / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for shape in SHAPES:
        x, y = made(shape)
        rounds = [
            (one_after_the_other(shape, x, y), as_a_pack(shape, x, y)) for _ in range(options.rounds + 1)
        ]
        ratios = sorted(pack / serial for serial, pack in rounds[1:])
        serial, pack = (float(np.median(speeds)) for speeds in zip(*rounds[1:], strict=True))
        print(
            f"{shape.name}: {serial:,.0f} model-epochs/s one after the other, {pack:,.0f} as a pack: "
            f"{ratios[len(ratios) // 2]:.1f} times ({ratios[0]:.1f} to {ratios[-1]:.1f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
