"""Training throughput: our loop against loops written by hand and against other libraries.

    python -m benchmarks.throughput [--rows 1000000] [--threads 2]

A table of 28 numbers, a network of 28-256-256-1, batches of 1024 and 8192. Every system trains the same
number of epochs on the same rows; runs are interleaved, so that what else the machine does falls on all
alike. Printed are rows/s and the ratio to a plain PyTorch loop of index slices in float32. Lightning, skorch
and PyTorch Tabular are measured where they are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tabstudio.model.encoder import EncodedRows
from tabstudio.model.networks import NetworkSpec, build
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.table.schema import Target
from tabstudio.training.data import assemble
from tabstudio.training.loop import LoopState, train_epochs
from tabstudio.training.plan import make_plan

NUMBERS, HIDDEN, RATE = 28, (256, 256), 1e-3
TARGET = Target("y", "binary", (0, 1), 1)


@dataclass(frozen=True)
class Table:
    """Rows to train on and rows to measure the AUC on."""

    x: torch.Tensor
    y: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor


System = Callable[[Table, int, int], tuple[float, torch.Tensor]]
"""(table, batch size, epochs) -> seconds of training and the logits of the test rows."""


def made(rows: int) -> Table:
    """A table with products, thresholds and noise in it, as physics data have."""
    random = torch.Generator().manual_seed(0)
    total = rows + max(rows // 10, 10_000)
    x = torch.randn(total, NUMBERS, generator=random)
    score = x[:, 0] * x[:, 1] + torch.sin(2 * x[:, 2]) + (x[:, 3] > 0.5) * x[:, 4] + 0.3 * x[:, 5:].sum(1)
    y = (score + torch.randn(total, generator=random) > 0).float()
    return Table(x[:rows], y[:rows], x[rows:], y[rows:])


def module() -> nn.Sequential:
    """The network as one writes it by hand."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(NUMBERS, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1)
    )


def by_hand(table: Table, batch: int, epochs: int, autocast: bool = False) -> tuple[float, torch.Tensor]:
    """A plain loop of index slices with `torch.optim.Adam`, in the order of rows that ours takes."""
    model = module()
    random = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    criterion = nn.BCEWithLogitsLoss()
    started = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(table.x), generator=random)
        for at in range(0, len(order), batch):
            rows = order[at : at + batch]
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                raw = model(table.x[rows])
            loss = criterion(raw.float()[:, 0], table.y[rows])
            loss.backward()
            optimizer.step()
    seconds = time.perf_counter() - started
    with torch.inference_mode():
        return seconds, model(table.x_test)[:, 0]


def by_hand_bf16(table: Table, batch: int, epochs: int) -> tuple[float, torch.Tensor]:
    """The same under bf16 autocast."""
    return by_hand(table, batch, epochs, autocast=True)


def ours(precision: str) -> System:
    """Our loop, `float32` or `auto`."""

    def run(table: Table, batch: int, epochs: int) -> tuple[float, torch.Tensor]:
        network = NetworkConfig("mlp", HIDDEN, 0.0, "relu")
        config = TrainingConfig(
            epochs=epochs, batch_size=batch, learning_rate=RATE, patience=0, precision=precision
        )
        plan = make_plan(config, network, "binary", rows=len(table.x), folds=0)
        codes = torch.zeros(len(table.x), 0, dtype=torch.int64)
        nobody = np.zeros((1, len(table.x)), dtype=bool)
        data = assemble(EncodedRows(table.x.numpy(), codes.numpy(), {}, {}), table.y.numpy(), nobody, TARGET)
        pack = build(NetworkSpec("mlp", NUMBERS, (), 1, network), plan.seeds)
        state = LoopState(pack, data, plan)
        started = time.perf_counter()
        for _ in train_epochs(pack, data, plan, state):
            pass
        seconds = time.perf_counter() - started
        with torch.inference_mode():
            return seconds, pack(table.x_test, codes[: len(table.x_test)])[0, :, 0]

    return run


def by_skorch(table: Table, batch: int, epochs: int) -> tuple[float, torch.Tensor]:
    """The `NeuralNetBinaryClassifier` of skorch, without validation and callbacks."""
    from skorch import NeuralNetBinaryClassifier

    net = NeuralNetBinaryClassifier(
        nn.Sequential(module(), nn.Flatten(0)),
        optimizer=torch.optim.Adam,
        lr=RATE,
        batch_size=batch,
        max_epochs=epochs,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
    )
    x, y = table.x.numpy(), table.y.numpy()
    started = time.perf_counter()
    net.fit(x, y)
    seconds = time.perf_counter() - started
    with torch.inference_mode():
        return seconds, net.module_(table.x_test)


def by_lightning(table: Table, batch: int, epochs: int) -> tuple[float, torch.Tensor]:
    """Lightning with a `DataLoader` of a `TensorDataset`, no logger, no checkpoint, no bar."""
    import lightning
    from torch.utils.data import DataLoader, TensorDataset

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = module()

        def training_step(self, rows: list[torch.Tensor], _: int) -> torch.Tensor:
            return nn.functional.binary_cross_entropy_with_logits(self.net(rows[0])[:, 0], rows[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=RATE)

    model = Classifier()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(TensorDataset(table.x, table.y), batch_size=batch, shuffle=True)
    started = time.perf_counter()
    trainer.fit(model, loader)
    seconds = time.perf_counter() - started
    with torch.inference_mode():
        return seconds, model.net(table.x_test)[:, 0]


def by_pytorch_tabular(table: Table, batch: int, epochs: int) -> tuple[float, torch.Tensor]:
    """PyTorch Tabular's category embedding model with the same layers; its test rows are not scored."""
    import pandas as pd
    from pytorch_tabular import TabularModel
    from pytorch_tabular.config import DataConfig, OptimizerConfig, TrainerConfig
    from pytorch_tabular.models import CategoryEmbeddingModelConfig

    names = [f"x{i}" for i in range(NUMBERS)]
    frame = pd.DataFrame(table.x.numpy(), columns=names).assign(y=table.y.numpy().astype(int))
    model = TabularModel(
        data_config=DataConfig(target=["y"], continuous_cols=names),
        model_config=CategoryEmbeddingModelConfig(
            task="classification",
            layers="256-256",
            activation="ReLU",
            dropout=0.0,
            learning_rate=RATE,
        ),
        optimizer_config=OptimizerConfig(),
        trainer_config=TrainerConfig(
            batch_size=batch,
            max_epochs=epochs,
            accelerator="cpu",
            early_stopping=None,
            checkpoints=None,
            load_best=False,
            progress_bar="none",
        ),
        verbose=False,
    )
    few = frame.iloc[:1000]
    started = time.perf_counter()
    model.fit(train=frame, validation=few)
    return time.perf_counter() - started, torch.full((len(table.y_test),), torch.nan)


SYSTEMS: dict[str, tuple[str | None, System]] = {
    "by hand, float32": (None, by_hand),
    "tabstudio, float32": (None, ours("float32")),
    "by hand, bf16 autocast": (None, by_hand_bf16),
    "tabstudio, automatic": (None, ours("auto")),
    "skorch": ("skorch", by_skorch),
    "Lightning": ("lightning", by_lightning),
    "PyTorch Tabular": ("pytorch_tabular", by_pytorch_tabular),
}


def auc(labels: torch.Tensor, raw: torch.Tensor) -> float:
    """Area under the ROC curve of logits without ties, by the rank-sum formula."""
    if torch.isnan(raw).any():
        return float("nan")
    ranks = torch.empty(len(raw), dtype=torch.float64)
    ranks[raw.argsort()] = torch.arange(1, len(raw) + 1, dtype=torch.float64)
    positive = labels > 0
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(raw) - n)))


def main() -> None:
    """Measure, interleaved, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[1024, 8192])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = made(options.rows)
    systems = {n: run for n, (needs, run) in SYSTEMS.items() if not needs or importlib.util.find_spec(needs)}
    for batch in options.batches:
        seconds: dict[str, list[float]] = {name: [] for name in systems}
        scores: dict[str, float] = {}
        for _ in range(options.rounds):
            for name, run in systems.items():
                taken, raw = run(table, batch, options.epochs)
                seconds[name].append(taken)
                scores[name] = auc(table.y_test, raw)
        print(f"batch {batch:,}, {options.rows:,} rows, {options.threads} threads, best of {options.rounds}")
        base = min(seconds["by hand, float32"])
        for name in systems:
            best = min(seconds[name])
            speed = options.rows * options.epochs / best
            ratios = sorted(a / b for a, b in zip(seconds["by hand, float32"], seconds[name], strict=True))
            print(
                f"  {name:24s} {speed:12,.0f} rows/s   {base / best:6.2f} times (median of rounds "
                f"{ratios[len(ratios) // 2]:.2f})   AUC {scores[name]:.4f}"
            )


if __name__ == "__main__":
    main()
