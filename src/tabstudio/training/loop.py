"""The loop: a generator of epochs. It knows no tracker and no progress bar."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tabstudio.errors import TrainingError
from tabstudio.model.networks import Pack
from tabstudio.training.data import Data
from tabstudio.training.losses import TINY, loss, mean_per_member
from tabstudio.training.optimizer import Adam
from tabstudio.training.plan import Plan

EVALUATED_AT_ONCE = 8192
"""Rows per member and call when nothing is learned: bounds the memory."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to, per member: losses and learning rates (k,).

    `val_loss` is nan where a member holds out nothing.
    `number` counts from 1. `best` (k,) is True where the validation loss was the member's lowest so far.
    """

    number: int
    train_loss: np.ndarray
    val_loss: np.ndarray
    learning_rate: np.ndarray
    rows_per_second: float
    seconds: float
    best: np.ndarray


class State:
    """Where a training stands between two epochs."""

    def __init__(self, pack: Pack, plan: Plan) -> None:
        names, self.parameters = zip(*pack.named_parameters(), strict=True)
        if len(pack) == 1:
            _lay_as_torch_does(self.parameters)
        self.optimizer = Adam(
            self.parameters,
            plan.learning_rate,
            plan.weight_decay,
            betas=(0.9, plan.beta2),
            decays=[pack.decays(name) for name in names],
        )
        self.order = torch.Generator().manual_seed(plan.seed)
        self.history: list[Epoch] = []
        self.seconds = 0.0
        self.best_loss = np.full(plan.members, np.inf)
        self.waited = np.zeros(plan.members, dtype=np.int64)
        self.learned = {name: tensor.detach() for name, tensor in pack.tensors().items()}
        self.best = {name: t.clone() for name, t in self.learned.items()} if plan.patience else {}
        self.stopped = ""

    def judge(self, val_loss: np.ndarray, patience: int) -> np.ndarray:
        """Keep the weights of the members that are better than ever; count the waiting of the others."""
        better = (
            (val_loss < self.best_loss) & (self.waited < patience) if patience else val_loss < self.best_loss
        )
        self.best_loss = np.where(better, val_loss, self.best_loss)
        self.waited = np.where(better, 0, self.waited + 1)
        for name, kept in self.best.items():
            for m in np.flatnonzero(better):
                kept[m].copy_(self.learned[name][m])
        return better

    def restore_best(self) -> None:
        """Put each member's best weights into the pack, where they were kept."""
        for name, kept in self.best.items():
            self.learned[name].copy_(kept)
        for parameter in self.parameters:
            parameter.data = parameter.data.contiguous()


def fit(pack: Pack, data: Data, plan: Plan, state: State | None = None) -> Iterator[Epoch]:
    """Train in place, one epoch per item, until the plan's end, its patience or its minutes.

    Raises `TrainingError` where a loss is not finite.
    """
    state = state or State(pack, plan)
    while not state.stopped:
        started, before = time.perf_counter(), state.seconds
        sums, seen = torch.zeros(2, plan.members, device=data.numbers.device), 0
        pack.train()
        steps = batches(data, plan, state.order)
        for i, (numbers, codes, labels, weights) in enumerate(steps):
            factor = plan.rate(_progress(plan, len(state.history) + i / count(data, plan), before, started))
            with torch.autocast(data.numbers.device.type, torch.bfloat16, enabled=plan.precision == "bf16"):
                raw = pack(numbers, codes)
            losses = mean_per_member(loss(raw.float(), labels, data.task, plan.label_smoothing), weights)
            losses.sum().backward()  # type: ignore[no-untyped-call]  # a loss depends on its own member alone
            state.optimizer.step(factor)
            weight = weights.sum(-1)
            sums += torch.stack([losses.detach() * weight, weight])
            seen += len(numbers)
            if plan.minutes is not None and before + time.perf_counter() - started > 60.0 * plan.minutes:
                state.stopped = "minutes"
                break
        pack.eval()
        val_loss = validate(pack, data)
        state.seconds = before + time.perf_counter() - started
        train_loss = (sums[0] / sums[1].clamp_min(TINY)).double().cpu().numpy()
        number = len(state.history) + 1
        bad = ~np.isfinite(train_loss) | ~_finite_members(state.parameters)
        if bad.any():
            raise TrainingError(_not_finite(number, int(bad.argmax()), train_loss, plan, factor))
        best = state.judge(val_loss, plan.patience)
        epoch = Epoch(
            number=number,
            train_loss=train_loss,
            val_loss=val_loss,
            learning_rate=np.asarray(plan.learning_rate) * factor,
            rows_per_second=seen / max(state.seconds - before, 1e-9),
            seconds=state.seconds,
            best=best,
        )
        state.history.append(epoch)
        if plan.patience and (state.waited >= plan.patience).all():
            state.stopped = state.stopped or "patience"
        if number >= plan.epochs:
            state.stopped = state.stopped or "epochs"
        yield epoch


def batches(
    data: Data, plan: Plan, order: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Slices of one random order of the training rows.

    Each is numbers (b, d), codes (b, c), labels (b,), weights (k, b).
    """
    rows = data.trained
    if plan.batch_size:
        rows = rows[torch.randperm(len(rows), generator=order).to(rows.device)]
    for at in torch.split(rows, plan.batch_size or max(len(rows), 1)):
        yield data.numbers[at], data.codes[at], data.labels[at], data.weights[:, at]


def count(data: Data, plan: Plan) -> int:
    """Number of batches in an epoch."""
    return -(-len(data.trained) // plan.batch_size) if plan.batch_size else 1


@torch.inference_mode()
def validate(pack: Pack, data: Data) -> np.ndarray:
    """Loss of each member over the rows that it holds out (k,), nan where there are none."""
    sums = torch.zeros(2, data.members, device=data.numbers.device)
    for at, weights in zip(
        torch.split(data.held, EVALUATED_AT_ONCE, dim=1),
        torch.split(data.held_weights, EVALUATED_AT_ONCE, dim=1),
        strict=True,
    ):
        losses = loss(pack(data.numbers[at], data.codes[at]), data.labels[at], data.task)
        sums += torch.stack([(losses * weights).sum(-1), weights.sum(-1)])
    return np.asarray((sums[0] / sums[1]).double().cpu().numpy())


@torch.inference_mode()
def out_of_fold(pack: Pack, data: Data, outputs: int) -> np.ndarray:
    """Raw outputs (n, outputs), averaged over the members that hold a row out; nan where none does."""
    sums = torch.zeros(len(data), outputs, device=data.numbers.device)
    counts = torch.zeros(len(data), 1, device=data.numbers.device)
    for at, weights in zip(
        torch.split(data.held, EVALUATED_AT_ONCE, dim=1),
        torch.split(data.held_weights, EVALUATED_AT_ONCE, dim=1),
        strict=True,
    ):
        raw = pack(data.numbers[at], data.codes[at]) * weights.unsqueeze(-1)
        for m in range(data.members):
            sums.index_add_(0, at[m], raw[m])
            counts.index_add_(0, at[m], weights[m].unsqueeze(-1))
    return np.asarray((sums / counts).cpu().numpy())


def _lay_as_torch_does(parameters: Sequence[Tensor]) -> None:
    """Lay a single member's matrices out as (outputs, inputs): libraries are fastest at that in bf16."""
    for parameter in parameters:
        if parameter.dim() == 3:
            parameter.data = parameter.data.mT.contiguous().mT


def _progress(plan: Plan, epochs: float, before: float, started: float) -> float:
    done = epochs / plan.epochs
    if plan.minutes is None:
        return done
    return max(done, (before + time.perf_counter() - started) / (60.0 * plan.minutes))


def _finite_members(parameters: Sequence[Tensor]) -> np.ndarray:
    finite = [torch.isfinite(p.detach()).flatten(1).all(1) for p in parameters]
    return np.asarray(torch.stack(finite).all(0).cpu().numpy())


def _not_finite(number: int, member: int, train_loss: np.ndarray, plan: Plan, factor: float) -> str:
    return (
        f"epoch {number}: the loss or the weights of member {member + 1} of {plan.members} are not finite "
        f"(training loss {train_loss[member]:g}) at a learning rate of "
        f"{plan.learning_rate[member] * factor:g}; lower the learning rate, or look for extreme values in "
        f"the table"
    )
