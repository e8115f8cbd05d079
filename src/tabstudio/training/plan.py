"""All settings of a training, chosen from the table's size where the user left them open."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeVar

import torch

from tabstudio.errors import ConfigError
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.table.schema import Task
from tabstudio.training.data import SMALL
from tabstudio.training.precision import Chosen, choose_precision

STEPS = 2400
"""Optimizer steps of a training on a large table, where the epochs are not given. Small ones need far fewer:
they overfit after some tens of steps."""
AVERAGED_EPOCHS, LEAST_AVERAGED = 3, 10
"""Weights are averaged over the steps of so many epochs, and over no fewer steps than that."""
QUICK_PATIENCE = 12
"""Patience in epochs of averaged classifiers: longer patience found next to nothing."""

Value = TypeVar("Value")
Schedule = Literal["constant", "flat_cosine"]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """One training, settled. What is a tuple has one entry per member.

    `batch_size` 0 takes all rows at once, in their order. `patience` counts epochs without a better
    validation loss; 0 keeps the last weights. `averaging` is the number of last steps over which weights are
    averaged, the older the less; 0 takes them as they are. `reasons` says in one clause each why a value was
    chosen.
    """

    members: int
    epochs: int
    batch_size: int
    learning_rate: tuple[float, ...]
    weight_decay: tuple[float, ...]
    dropout: tuple[float, ...]
    label_smoothing: tuple[float, ...]
    seeds: tuple[int, ...]
    seed: int
    patience: int
    schedule: Schedule
    beta2: float
    averaging: int
    device: str
    precision: Chosen
    balance: bool
    minutes: float | None
    reasons: dict[str, str]

    @property
    def first(self) -> int:
        """Number of the first of these members in their training: members are seeded in their order."""
        return self.seeds[0] - self.seed

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for a record of the run."""
        return asdict(self)

    def members_at(self, places: Sequence[int]) -> TrainingPlan:
        """The same training of some of the members."""

        def at(values: tuple[Value, ...]) -> tuple[Value, ...]:
            return tuple(values[i] for i in places)

        return replace(
            self,
            members=len(places),
            learning_rate=at(self.learning_rate),
            weight_decay=at(self.weight_decay),
            dropout=at(self.dropout),
            label_smoothing=at(self.label_smoothing),
            seeds=at(self.seeds),
        )

    @classmethod
    def joined(cls, plans: Sequence[TrainingPlan]) -> TrainingPlan:
        """One training of the members of several, which must be alike in all but these."""

        def chain(values: Iterable[tuple[Value, ...]]) -> tuple[Value, ...]:
            return tuple(value for several in values for value in several)

        return replace(
            plans[0],
            members=sum(plan.members for plan in plans),
            learning_rate=chain(plan.learning_rate for plan in plans),
            weight_decay=chain(plan.weight_decay for plan in plans),
            dropout=chain(plan.dropout for plan in plans),
            label_smoothing=chain(plan.label_smoothing for plan in plans),
            seeds=chain(plan.seeds for plan in plans),
        )

    def rate(self, progress: float) -> float:
        """Factor of the learning rate when the share `progress` of the training is done."""
        if self.schedule == "constant" or progress <= 0.5:
            return 1.0
        return 0.5 + 0.5 * math.cos(math.pi * (2.0 * min(progress, 1.0) - 1.0))


def sized(network: NetworkConfig, rows: int) -> NetworkConfig:
    """The network with the dropout that is chosen for so many training rows where it was left open.

    Beyond small tables `tabular` is no worse without, in less of the time.
    """
    spared = network.dropout is None and network.name == "tabular" and rows >= SMALL
    return replace(network, hidden=network.widths, dropout=0.0 if spared else network.dropped)


def make_plan(
    config: TrainingConfig,
    network: NetworkConfig | None,
    task: Task,
    *,
    rows: int,
    folds: int,
) -> TrainingPlan:
    """Settle what the user left open. `network` None stands for a factory of the user's own.

    Raises `ConfigError` where members are fewer than folds or the device does not exist.
    """
    reasons: dict[str, str] = {}
    if network is not None:
        if network.dropout is None:
            reasons["dropout"] = f"{sized(network, rows).dropped:g} for {rows:,} rows"
        network = sized(network, rows)
    ours = network is not None and network.name == "tabular"
    members = _members(config, folds, reasons)
    batch_size = _batch_size(config, rows, reasons)
    epochs = _epochs(config, rows, batch_size, reasons)
    rate = _rate(config, task, network.name if network else "", reasons)
    decay = config.weight_decay if config.weight_decay is not None else (0.02 if ours else 0.0)
    device = _device(config.device, reasons)
    precision, reasons["precision"] = choose_precision(config.precision, device, network, batch_size or rows)
    return TrainingPlan(
        members=members,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=(rate,) * members,
        weight_decay=(decay,) * members,
        dropout=(network.dropped if network else 0.0,) * members,
        label_smoothing=(_smoothing(config, task, ours),) * members,
        seeds=tuple(config.seed + m for m in range(members)),
        seed=config.seed,
        patience=_patience(config, folds, epochs, reasons, task if ours else None),
        schedule="flat_cosine" if ours else "constant",
        beta2=0.95 if ours else 0.999,
        averaging=_averaging(rows, batch_size) if ours else 0,
        device=device,
        precision=precision,
        balance=config.balance,
        minutes=config.minutes,
        reasons=reasons,
    )


def _members(config: TrainingConfig, folds: int, reasons: dict[str, str]) -> int:
    if config.members is None:
        reasons["members"] = f"one for each of {folds} folds" if folds else "one, as no rows are held out"
        return max(folds, 1)
    if config.members < folds:
        raise ConfigError(
            f"option members: at least one member per fold was expected ({folds} folds), got "
            f"{config.members}; ask for more members or fewer folds"
        )
    return config.members


def _batch_size(config: TrainingConfig, rows: int, reasons: dict[str, str]) -> int:
    if config.batch_size is not None:
        return config.batch_size
    size = 256
    while size < 1024 and rows > 128 * size:
        size *= 2
    reasons["batch_size"] = f"{size} for {rows:,} rows"
    return size


def _epochs(config: TrainingConfig, rows: int, batch_size: int, reasons: dict[str, str]) -> int:
    if config.epochs is not None:
        return config.epochs
    steps = math.ceil(rows / (batch_size or rows or 1))
    epochs = max(min(round(STEPS / steps), 24 + rows // 20, 100), 8)
    reasons["epochs"] = f"{epochs} of {steps:,} steps each"
    return epochs


def _rate(config: TrainingConfig, task: Task, name: str, reasons: dict[str, str]) -> float:
    if config.learning_rate is not None:
        return config.learning_rate
    ours = name == "tabular"
    rate = (0.1 if task == "regression" else 0.04) if ours else (2e-3 if name == "tabm" else 1e-3)
    reasons["learning_rate"] = f"{rate:g}, the network's usual one"
    return rate


def _smoothing(config: TrainingConfig, task: Task, ours: bool) -> float:
    if task == "regression":
        return 0.0
    if config.label_smoothing is not None:
        return config.label_smoothing
    return 0.1 if ours else 0.0


def _patience(
    config: TrainingConfig, folds: int, epochs: int, reasons: dict[str, str], averaged: Task | None
) -> int:
    if not folds:
        reasons["patience"] = "0: no rows are held out, so the last weights are kept"
        return 0
    if config.patience is not None:
        return config.patience
    if averaged == "regression":
        reasons["patience"] = f"{epochs}, all epochs: a regression is at its best once the rate has fallen"
        return epochs
    if averaged:
        reasons["patience"] = f"{QUICK_PATIENCE}, as averaged weights hardly get better by chance"
        return QUICK_PATIENCE
    patience = max(10, math.ceil(epochs / 3))
    reasons["patience"] = f"{patience}, a third of the epochs"
    return patience


def _averaging(rows: int, batch_size: int) -> int:
    return max(round(AVERAGED_EPOCHS * rows / (batch_size or rows or 1)), LEAST_AVERAGED)


def _device(wanted: str, reasons: dict[str, str]) -> str:
    if wanted == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        reasons["device"] = "a CUDA device was found" if device == "cuda" else "no CUDA device was found"
        return device
    kind = wanted.split(":", maxsplit=1)[0]
    usable: dict[str, Callable[[], bool]] = {
        "cpu": lambda: True,
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if kind not in usable or not usable[kind]():
        there = ", ".join(name for name, available in usable.items() if available())
        raise ConfigError(
            f"option device: {wanted!r} is not usable here; there is {there}, or leave it to auto"
        )
    return wanted
