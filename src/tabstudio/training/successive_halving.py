"""Many trainings at once, the losers leaving early: successive halving over packs.

Trials that differ in what a pack holds as a vector (learning rate, weight decay, dropout, label smoothing,
widths, seeds) train in one pack, those that differ in more (number of layers, batch size, width of
embeddings) in several, one after the other up to the same share of their epochs. A trial is what `learn` does
by the same options, whatever stands beside it.

Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization"
(AISTATS 2016).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from tabstudio.errors import ConfigError
from tabstudio.model.networks import Pack
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.training.data import TrainingRows, assemble, held_out
from tabstudio.training.loop import Epoch, LoopState, out_of_fold, train_epochs
from tabstudio.training.packing import PackedTraining, build_pack, kind, parted
from tabstudio.training.plan import TrainingPlan, make_plan

RUNGS = (0.25, 0.5)
"""After these shares of the epochs the worse half of the trials leaves."""

Ending = Literal["finished", "dropped", "not finite", "out of time"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of choices to be tried, and its number."""

    number: int
    network: NetworkConfig
    training: TrainingConfig


@dataclass(frozen=True, slots=True)
class HalvingStep:
    """An epoch of one trial: means over its members. `time` is in seconds since 1970."""

    epoch: int
    train_loss: float
    val_loss: float
    learning_rate: float
    time: float


@dataclass(frozen=True, slots=True)
class Finalist:
    """The networks of a trial that was trained to the end.

    `out_of_fold` (n, outputs) are raw outputs by the members that held a row out, nan where none did.
    `history` is that of its own members.
    """

    pack: Pack
    history: list[Epoch]
    out_of_fold: np.ndarray
    target_mean: float
    target_scale: float


@dataclass(frozen=True, slots=True)
class HalvingOutcome:
    """How a trial ended. `loss` is its validation loss over the held-out rows, infinite if it failed."""

    trial: Trial
    plan: TrainingPlan
    loss: float
    ending: Ending
    steps: tuple[HalvingStep, ...]
    finalist: Finalist | None


def successive_halving(
    rows: TrainingRows,
    trials: Sequence[Trial],
    *,
    rungs: Sequence[float] = RUNGS,
    deadline: float = math.inf,
) -> list[HalvingOutcome]:
    """Train the trials, the worse half leaving at every rung, and give their outcomes in the trials' order.

    `deadline` is a time of `time.monotonic`: trials in training then end as they are, at the next epoch.

    Raises `ConfigError` where no rows are held out, so that nothing could be compared.
    """
    if not rows.folds:
        raise ConfigError("option folds: rows to compare trials on were expected, but none are held out")
    heats = _heats(rows, trials)
    outcomes: dict[int, HalvingOutcome] = {}
    for share in (*rungs, 1.0):
        for heat in heats:
            heat.advance(share, deadline)
        late = time.monotonic() >= deadline
        losses = {number: loss for heat in heats for number, loss in heat.losses().items()}
        best = sorted(losses, key=lambda number: (losses[number], number))
        failed = [number for number in best if not math.isfinite(losses[number])]
        going = best[: len(best) - len(failed)]
        survivors = going if share == 1.0 or late else going[: math.ceil(len(best) / 2)]
        for heat in heats:
            for number in heat.numbers:
                if number in failed:
                    outcomes[number] = heat.outcome(number, "not finite")
                elif number not in survivors:
                    outcomes[number] = heat.outcome(number, "dropped")
            heat.keep(survivors)
        heats = [heat for heat in heats if heat.numbers]
        if late:
            break
    for heat in heats:
        outcomes |= heat.finished(late)
    return [outcomes[trial.number] for trial in trials]


class _Heat:
    """Trials of one shape as one pack, `size` members to each."""

    def __init__(self, rows: TrainingRows, trials: Sequence[Trial], plans: Sequence[TrainingPlan]) -> None:
        self.rows, self.size = rows, plans[0].members
        self.trials = {trial.number: trial for trial in trials}
        self.plans = {trial.number: plan for trial, plan in zip(trials, plans, strict=True)}
        self.places = {trial.number: self.size * index for index, trial in enumerate(trials)}
        self.numbers = [trial.number for trial in trials]
        self.times: list[float] = []
        plan = TrainingPlan.joined(plans)
        device = torch.device(plan.device)
        held = np.tile(held_out(rows.fold, self.size), (len(plans), 1))
        self.data = assemble(rows.inputs, rows.labels, held, rows.target, balance=plan.balance, device=device)
        pack = build_pack(rows, [trial.network for trial in trials], plan).to_device(device)
        self.state = LoopState(pack, self.data, plan, lenient=True)
        self._epochs = train_epochs(pack, self.data, plan, self.state)

    def advance(self, share: float, deadline: float) -> None:
        """Train up to this share of the epochs; at least one epoch."""
        wanted = max(round(share * self.state.plan.epochs), 1)
        while len(self.state.history) < wanted and next(self._epochs, None) is not None:
            self.times.append(time.time())
            if time.monotonic() >= deadline:
                return

    def members(self, number: int) -> range:
        """Places of a trial's members in the pack."""
        return range(self.places[number], self.places[number] + self.size)

    def losses(self) -> dict[int, float]:
        """Validation loss of each remaining trial: of its best weights if stored, else of the last."""
        losses = self.state.best_loss if self.state.plan.patience else self.state.history[-1].val_loss
        losses = np.where(self.state.failed, np.inf, losses)
        weight = self.data.held_weights.sum(1).cpu().numpy()
        members = {number: list(self.members(number)) for number in self.numbers}
        return {number: float(np.average(losses[at], weights=weight[at])) for number, at in members.items()}

    def keep(self, numbers: Sequence[int]) -> None:
        """Go on with these trials only."""
        self.numbers = [number for number in self.numbers if number in numbers]
        wanted = [member for number in self.numbers for member in self.members(number)]
        still = np.intersect1d(wanted, self.state.members).tolist()
        if still and not self.state.stopped:
            self.state.keep(still)

    def outcome(self, number: int, ending: Ending, finalist: Finalist | None = None) -> HalvingOutcome:
        """What became of a trial up to now."""
        at = list(self.members(number))
        pairs = zip(self.state.history, self.times, strict=True)
        steps = tuple(_step(epoch, at, moment) for epoch, moment in pairs if epoch.active[at].any())
        return HalvingOutcome(
            self.trials[number], self.plans[number], self.losses()[number], ending, steps, finalist
        )

    def finished(self, late: bool) -> dict[int, HalvingOutcome]:
        """The outcomes of the trials that were never dropped, with their networks."""
        self.state.restore_best()
        self.state.whole.eval()
        ending: Ending = (
            "out of time" if late and self.state.stopped not in ("epochs", "patience") else "finished"
        )
        return {number: self.outcome(number, ending, self._finalist(number)) for number in self.numbers}

    def _finalist(self, number: int) -> Finalist:
        at = list(self.members(number))
        pack, data = self.state.whole.members(at), self.data.members_at(at)
        raw = out_of_fold(pack, data, self.rows.target.outputs)[0]
        pack = pack.to_device(torch.device("cpu"))
        history = [_of(epoch, at) for epoch in self.state.history]
        return Finalist(pack, history, raw, data.target_mean, data.target_scale)


def _heats(rows: TrainingRows, trials: Sequence[Trial]) -> list[_Heat]:
    """Trials that can share a pack, as few packs as fit the cache."""
    alike: dict[str, list[tuple[Trial, TrainingPlan]]] = {}
    for trial in trials:
        plan = make_plan(trial.training, trial.network, rows.target.task, rows=rows.trained, folds=rows.folds)
        alike.setdefault(kind(PackedTraining(trial.network, plan)), []).append((trial, plan))
    heats = []
    for several in alike.values():
        for places in parted([PackedTraining(trial.network, plan) for trial, plan in several], rows):
            part = several[places]
            heats.append(_Heat(rows, [trial for trial, _ in part], [plan for _, plan in part]))
    return heats


def _of(epoch: Epoch, at: list[int]) -> Epoch:
    """An epoch of some of the members."""
    return replace(
        epoch,
        train_loss=epoch.train_loss[at],
        val_loss=epoch.val_loss[at],
        learning_rate=epoch.learning_rate[at],
        best=epoch.best[at],
        active=epoch.active[at],
    )


def _step(epoch: Epoch, at: list[int], moment: float) -> HalvingStep:
    return HalvingStep(
        epoch.number,
        float(epoch.train_loss[at].mean()),
        float(epoch.val_loss[at].mean()),
        float(epoch.learning_rate[at].mean()),
        moment,
    )
