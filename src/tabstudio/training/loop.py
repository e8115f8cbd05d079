"""The loop: a generator of epochs. It knows no tracker and no progress bar."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tabstudio._compat.torch_functions import foreach_lerp_, foreach_norm
from tabstudio.errors import TrainingError
from tabstudio.model.networks import Pack
from tabstudio.model.networks.base import corner
from tabstudio.training.data import TrainingTensors
from tabstudio.training.losses import TINY, loss, mean_per_member
from tabstudio.training.optimizer import Adam
from tabstudio.training.plan import TrainingPlan

EVALUATED_AT_ONCE = 8192
"""Rows per member and call when nothing is learned: bounds the memory."""
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Numbers (b, d), codes (b, c), labels (b,), weights (k, b)."""
LATEST = 5
"""While a training is younger than its window of averaging, the average leans on its last fifth or so."""
WORTH_COMPACTING = 0.75
"""A pack is compacted when no more than this share of its members still learn."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to, per member: losses and learning rates (k,).

    `val_loss` is nan where a member holds out nothing.
    `number` counts from 1. `best` (k,) is True where the validation loss was the member's lowest so far.
    `active` (k,) is False where a member has left the training: its figures stay those of its last epoch.
    """

    number: int
    train_loss: np.ndarray
    val_loss: np.ndarray
    learning_rate: np.ndarray
    rows_per_second: float
    seconds: float
    best: np.ndarray
    active: np.ndarray


class LoopState:
    """Where a training stands between two epochs.

    `whole` is the pack that was given, and gets the weights in the end. `pack`, `data` and `plan` are of the
    members that still learn, whose numbers in `whole` are `members`. Where `lenient`, a member whose loss or
    weights are not finite leaves the training instead of ending it: `failed` (k,) is then True for it.
    `averages` are the weights as the plan averages them over the last steps: these are judged, kept and in
    the end the result. Without averaging they are the weights themselves, `learned`.
    """

    def __init__(
        self, pack: Pack, data: TrainingTensors, plan: TrainingPlan, *, lenient: bool = False
    ) -> None:
        self.whole = self.pack = pack
        self.data, self.plan = data, plan
        self.members = np.arange(len(pack))
        self.lenient = lenient
        self.failed = np.zeros(len(pack), dtype=bool)
        pack.dropout = plan.dropout
        self.steps = 0
        self._enter(pack)
        self.optimizer = Adam(
            self.parameters,
            plan.learning_rate,
            plan.weight_decay,
            betas=(0.9, plan.beta2),
            decays=[pack.decays(name) for name, _ in pack.named_parameters()],
            rates=[pack.rates(name) for name, _ in pack.named_parameters()],
        )
        self.order = torch.Generator().manual_seed(plan.seed)
        self.history: list[Epoch] = []
        self.seconds = 0.0
        self.best_loss = np.full(len(pack), np.inf)
        self.waited = np.zeros(len(pack), dtype=np.int64)
        self.best = {name: t.clone() for name, t in self.learned.items()} if plan.patience else {}
        self.stopped = ""

    def _enter(self, pack: Pack) -> None:
        self.pack = pack
        self.parameters = [parameter for _, parameter in pack.named_parameters()]
        _lay_as_torch_does(self.parameters)
        self.learned = {name: tensor.detach() for name, tensor in pack.tensors().items()}
        self.averages = self.learned
        if self.plan.averaging:
            self.averages = {n: t.clone() if t.is_floating_point() else t for n, t in self.learned.items()}
        self._averaged = [n for n, t in self.averages.items() if t is not self.learned[n]]

    def average(self) -> None:
        """Let the averages follow the weights by one step."""
        self.steps += 1
        if self._averaged:
            share = max(1.0 / self.plan.averaging, LATEST / (self.steps + LATEST - 1))
            means, weights = ([kind[n] for n in self._averaged] for kind in (self.averages, self.learned))
            foreach_lerp_(means, weights, share)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Meanwhile the averages stand in the pack."""
        tensors = self.pack.tensors()
        for name in self._averaged:
            tensors[name].data = self.averages[name]
        try:
            yield
        finally:
            for name in self._averaged:
                tensors[name].data = self.learned[name]

    def spread(self, name: str, values: np.ndarray) -> np.ndarray:
        """Figures of the members that learn, as figures of all: the others' stay where they were."""
        last = getattr(self.history[-1], name) if self.history else np.full(len(self.whole), np.nan)
        figures = np.array(last, dtype=np.float64)
        figures[self.members] = values
        return figures

    def judge(self, val_loss: np.ndarray) -> np.ndarray:
        """Keep the weights of the members that are better than ever; count the waiting of the others.

        `val_loss` (k,) and the answer are of all members of `whole`.
        """
        here = np.zeros(len(self.whole), dtype=bool)
        here[self.members] = True
        better = here & (val_loss < self.best_loss)
        if self.plan.patience:
            better &= self.waited < self.plan.patience
        self.best_loss = np.where(better, val_loss, self.best_loss)
        self.waited = np.where(better, 0, self.waited + here)
        if self.best:
            self._store(self.best, better)
        return better

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members of `whole` only; the others keep the weights that they have now.

        What the members kept will learn is what they would have learned beside the others.
        """
        places = np.flatnonzero(np.isin(self.members, members)).tolist()
        if len(places) == len(self.members):
            return
        chosen, averages = self.pack.members(places), self.averages
        self._store(self.whole.tensors(), np.ones(len(self.whole), dtype=bool))
        self.members = self.members[places]
        self._enter(chosen)
        if self.plan.averaging:
            self._follow(averages, places)
        self.optimizer = self.optimizer.members(self.parameters, places)
        self.data, self.plan = self.data.members_at(places), self.plan.members_at(places)

    def keep_the_patient(self) -> None:
        """Compact the pack where enough members have lost their patience for that to pay."""
        patient = self.waited[self.members] < self.plan.patience
        if patient.any() and patient.mean() <= WORTH_COMPACTING:
            self.keep(self.members[patient].tolist())

    def give_up(self, members: np.ndarray) -> None:
        """Go on without these members of `whole`, whose figures are not finite."""
        self.failed[members] = True
        left = self.members[~self.failed[self.members]].tolist()
        if left:
            self.keep(left)
        else:
            self.stopped = "not finite"

    def restore_best(self) -> None:
        """Copy each member's best averaged weights into `whole`, or its last where no best are stored."""
        if not self.best:
            self._store(self.whole.tensors(), np.ones(len(self.whole), dtype=bool))
        for name, tensor in self.best.items():
            self.whole.tensors()[name].data.copy_(tensor)
        for parameter in self.whole.parameters():
            parameter.data = parameter.data.contiguous()

    @torch.no_grad()
    def _follow(self, averages: Mapping[str, Tensor], places: Sequence[int]) -> None:
        """Take over the averages of some of the members of a pack."""
        for name, tensor in self.averages.items():
            tensor.copy_(corner(averages[name][list(places)], tensor))

    @torch.no_grad()
    def _store(self, into: Mapping[str, Tensor], chosen: np.ndarray) -> None:
        """Copy the averages of the chosen members of `whole`, as far as they still learn."""
        if into is not self.best and self.pack is self.whole and self.averages is self.learned:
            return
        for index, member in enumerate(self.members):
            if chosen[member]:
                for name, tensor in self.averages.items():
                    corner(into[name][member : member + 1], tensor[:1]).copy_(tensor[index : index + 1])


def train_epochs(
    pack: Pack, data: TrainingTensors, plan: TrainingPlan, state: LoopState | None = None
) -> Iterator[Epoch]:
    """Train in place, one epoch per item, until the plan's end, its patience or its minutes.

    Whoever takes the epochs may let members go between two of them (`LoopState.keep`). The result stands in
    `pack` after `LoopState.restore_best`.
    Raises `TrainingError` where a loss is not finite.
    """
    state = state or LoopState(pack, data, plan)
    while not state.stopped:
        pack, data, plan = state.pack, state.data, state.plan
        started, before = time.perf_counter(), state.seconds
        sums, rows_seen = torch.zeros(2, plan.members, device=data.numbers.device), 0
        pack.train()
        for i, batch in enumerate(batches(data, plan, state.order)):
            factor = plan.rate((len(state.history) + i / count(data, plan)) / plan.epochs)
            sums += step(state, batch, factor)
            rows_seen += len(batch[0])
            if plan.minutes is not None and before + time.perf_counter() - started > 60.0 * plan.minutes:
                state.stopped = "minutes"
                break
        pack.eval()
        with state.averaged():
            val_loss = validate(pack, data)
        state.seconds = before + time.perf_counter() - started
        train_loss = (sums[0] / sums[1].clamp_min(TINY)).double().cpu().numpy()
        bad = ~np.isfinite(train_loss) | ~_finite_members(state.parameters)
        if bad.any() and not state.lenient:
            raise TrainingError(_not_finite(state, int(bad.argmax()), train_loss, factor))
        val_loss = state.spread("val_loss", val_loss)
        epoch = Epoch(
            number=len(state.history) + 1,
            train_loss=state.spread("train_loss", train_loss),
            val_loss=val_loss,
            learning_rate=state.spread("learning_rate", np.asarray(plan.learning_rate) * factor),
            rows_per_second=rows_seen / max(state.seconds - before, 1e-9),
            seconds=state.seconds,
            best=state.judge(val_loss),
            active=np.isin(np.arange(len(state.whole)), state.members),
        )
        state.history.append(epoch)
        if plan.patience and (state.waited[state.members] >= plan.patience).all():
            state.stopped = state.stopped or "patience"
        if epoch.number >= plan.epochs:
            state.stopped = state.stopped or "epochs"
        if bad.any():
            state.give_up(state.members[bad])
        if state.plan.patience and not state.stopped:
            state.keep_the_patient()
        yield epoch


def step(state: LoopState, batch: Batch, factor: float) -> Tensor:
    """One step of the optimizer at `factor` times the learning rates.

    The answer (2, k) holds each member's mean loss times its rows' weight, and that weight.
    """
    pack, plan = state.pack, state.plan
    numbers, codes, labels, weights = batch
    with torch.autocast(numbers.device.type, torch.bfloat16, enabled=plan.precision == "bf16"):
        raw = pack(numbers, codes)
    if pack.heads > 1:
        labels = torch.cat([labels] * pack.heads)
        weights = torch.cat([weights] * pack.heads, dim=1)
    losses = mean_per_member(loss(raw.float(), labels, state.data.task, plan.label_smoothing), weights)
    losses.sum().backward()  # type: ignore[no-untyped-call]  # a loss depends on its own member alone
    state.optimizer.step(factor)
    state.average()
    weight = weights.sum(-1)
    return torch.stack([losses.detach() * weight, weight])


def batches(data: TrainingTensors, plan: TrainingPlan, order: torch.Generator) -> Iterator[Batch]:
    """Slices of one random order of the training rows."""
    rows = data.trained
    if not plan.batch_size and len(rows) == len(data):
        yield data.numbers, data.codes, data.labels, data.weights
        return
    if plan.batch_size:
        rows = rows[torch.randperm(len(rows), generator=order).to(rows.device)]
    for at in torch.split(rows, plan.batch_size or max(len(rows), 1)):
        yield data.numbers[at], data.codes[at], data.labels[at], data.weights[:, at]


def count(data: TrainingTensors, plan: TrainingPlan) -> int:
    """Number of batches in an epoch."""
    return -(-len(data.trained) // plan.batch_size) if plan.batch_size else 1


@torch.inference_mode()
def validate(pack: Pack, data: TrainingTensors) -> np.ndarray:
    """Loss of each member over the rows that it holds out (k,), nan where there are none."""
    if not data.held.shape[1]:
        return np.full(data.members, np.nan)
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
def out_of_fold(pack: Pack, data: TrainingTensors, outputs: int, rounds: int = 1) -> np.ndarray:
    """Raw outputs (rounds, n, outputs) of members that hold a row out, their mean; nan where none does.

    A round is as many members as there are folds, the next ones another round: ways to predict each row.
    """
    size = data.members // rounds
    sums = torch.zeros(rounds, len(data), outputs, device=data.numbers.device)
    counts = torch.zeros(rounds, len(data), 1, device=data.numbers.device)
    for at, weights in zip(
        torch.split(data.held, EVALUATED_AT_ONCE, dim=1),
        torch.split(data.held_weights, EVALUATED_AT_ONCE, dim=1),
        strict=True,
    ):
        raw = pack(data.numbers[at], data.codes[at]) * weights.unsqueeze(-1)
        for m in range(data.members):
            sums[m // size].index_add_(0, at[m], raw[m])
            counts[m // size].index_add_(0, at[m], weights[m].unsqueeze(-1))
    return np.asarray((sums / counts).cpu().numpy())


def _lay_as_torch_does(parameters: Sequence[Tensor]) -> None:
    """Lay matrices out as (outputs, inputs).

    Libraries are fastest at that in bf16, and the first layer of a pack is then one wide matrix.
    """
    for parameter in parameters:
        if parameter.dim() == 3:
            parameter.data = parameter.data.mT.contiguous().mT


def _finite_members(parameters: Sequence[Tensor]) -> np.ndarray:
    if math.isfinite(sum(foreach_norm([p.detach() for p in parameters]))):
        return np.ones(len(parameters[0]), dtype=bool)
    finite = [torch.isfinite(p.detach()).flatten(1).all(1) for p in parameters]
    return np.asarray(torch.stack(finite).all(0).cpu().numpy())


def _not_finite(state: LoopState, index: int, train_loss: np.ndarray, factor: float) -> str:
    return (
        f"epoch {len(state.history) + 1}: the loss or the weights of member {state.members[index] + 1} of "
        f"{len(state.whole)} are not finite (training loss {train_loss[index]:g}) at a learning rate of "
        f"{state.plan.learning_rate[index] * factor:g}; lower the learning rate, or look "
        f"for extreme values in the table"
    )
