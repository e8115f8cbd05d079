"""From encoded rows to trained members: afford, plan, build, loop, best weights, out-of-fold outputs.

Members come in rounds of one for each fold, so that every round predicts every row. Rounds that can share a
pack train together, the others one after the other; with a bound on the time there are as many as fit.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tabstudio.errors import TrainingError
from tabstudio.model.networks import Pack, join
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.training.budget import SHARE, Afforded, PlannedTraining, afford, seconds_for
from tabstudio.training.checkpoint import CheckpointWriter, digest
from tabstudio.training.data import TrainingRows, TrainingTensors
from tabstudio.training.extended_training import longer
from tabstudio.training.fold_rounds import count_rounds, rounds_of
from tabstudio.training.loop import Epoch, LoopState, out_of_fold, train_epochs
from tabstudio.training.packing import Factory, PackedTraining, build_pack, packs_of
from tabstudio.training.plan import TrainingPlan

DECIDED = "decided.json"
"""What time has decided of a training that can be resumed."""


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """A trained pack and what is known of it.

    `pack` holds each member's best weights, in evaluation mode, on the CPU. `rounds` (c, n, outputs) are raw
    outputs by the members that held the row out, nan where none did, a round for every so many members as
    there are folds. `stopped` is `epochs`, `patience`, `minutes` or `interrupted`. `decided` are the options
    that measured time and held-out rows have decided: with these given, the same is learned again.
    """

    pack: Pack
    seeds: tuple[int, ...]
    history: list[Epoch]
    rounds: np.ndarray
    target_mean: float
    target_scale: float
    stopped: str
    plan: TrainingPlan
    decided: dict[str, Any] = field(default_factory=dict)

    @property
    def out_of_fold(self) -> np.ndarray:
        """Raw outputs (n, outputs) by all members that held the row out, their mean."""
        return np.asarray(self.rounds.mean(axis=0))


def train_members(
    rows: TrainingRows,
    network: NetworkConfig | Factory,
    training: TrainingConfig,
    *,
    on_plan: Callable[[TrainingPlan], object] | None = None,
    on_epoch: Callable[[Epoch, TrainingPlan], object] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> TrainingOutcome:
    """Train one member per fold, or as many as `training.members` says or `training.minutes` has room for.

    `on_plan` is called with the plan of the first round, and what it will take, before the training,
    `on_epoch` after every epoch. `checkpoint` is a folder that checkpoints are kept in; with `resume` the
    training goes on from there, to the same bits as one that was never cut off.

    Raises `ConfigError` for options that do not fit, `TrainingError` where a loss is not finite or the
    checkpoint is of another training. Ctrl-C after the first epoch ends in a result marked `interrupted`.
    """
    size, most = count_rounds(rows, network, training)
    has_members = training.members is not None
    wanted = PlannedTraining(
        replace(training, members=size if has_members else None), size, most, has_members
    )
    afforded = _afforded(rows, network, wanted, on_plan, checkpoint, resume)
    on_plan = on_plan or _ignore
    trainer = _RoundTrainer(rows, most, on_epoch or _ignore, checkpoint, resume, training.minutes)
    packs = trainer.packs(afforded.network, afforded.training)
    on_plan(_with_budget(packs[0][0].plan, afforded))
    first = trainer.train(packs[0], checkpoint)
    if training.epochs is None and "epochs" not in afforded.decided:
        first, afforded = trainer.lengthened(first, afforded, on_plan)
        packs = trainer.packs(afforded.network, afforded.training)
    parts, stopped = trainer.train_further(first, packs[1:])
    plan = _with_budget(TrainingPlan.joined([part.plan for part in parts]), afforded)
    pack = join([part.pack for part in parts])
    decided = dict(afforded.decided)
    if training.minutes is not None and stopped != "minutes" and len(pack) != training.members:
        decided["members"] = len(pack)
        plan.reasons["members"] = f"{len(pack)} in {training.minutes:g} min, {size} at a time"
    return TrainingOutcome(
        pack=pack,
        seeds=plan.seeds,
        history=_merged([part.history for part in parts]),
        rounds=np.concatenate([part.rounds for part in parts]),
        target_mean=parts[0].data.target_mean,
        target_scale=parts[0].data.target_scale,
        stopped=stopped,
        plan=replace(plan, minutes=training.minutes),
        decided=decided,
    )


CUT_OFF = ("minutes", "interrupted")
"""What ends a training before its end."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Rounds that were trained as one pack."""

    pack: Pack
    data: TrainingTensors
    plan: TrainingPlan
    history: list[Epoch]
    rounds: np.ndarray
    stopped: str
    seconds: float

    @property
    def error(self) -> float:
        """Root mean squared error of held-out values in standard deviations; nan for classes."""
        if self.data.task != "regression":
            return math.nan
        missed = self.rounds.mean(axis=0)[:, 0] - self.data.labels.cpu().numpy()
        missed = missed[~np.isnan(missed)]
        return float(np.sqrt(np.mean(missed**2))) if len(missed) else math.nan


class _RoundTrainer:
    """Trains rounds, one pack of them after the other, as long as there is time."""

    def __init__(
        self,
        rows: TrainingRows,
        most: int,
        on_epoch: Callable[[Epoch, TrainingPlan], object],
        checkpoint: Path | None,
        resume: bool,
        minutes: float | None,
    ) -> None:
        self.rows, self.most, self.on_epoch = rows, most, on_epoch
        self.checkpoint, self.resume = checkpoint, resume
        self.left = self.limit = math.inf if minutes is None else 60.0 * minutes
        self.epochs, self.seconds = 0, 0.0  # of shorter trainings before the one that counts

    def packs(
        self, network: NetworkConfig | Factory, training: TrainingConfig
    ) -> list[Sequence[PackedTraining]]:
        """The rounds in their packs; `training.members` are those of one round."""
        return list(packs_of(list(rounds_of(self.rows, network, training, self.most)), self.rows))

    def train(self, together: Sequence[PackedTraining], checkpoint: Path | None) -> _Part:
        """Train the rounds of one pack."""
        started = time.perf_counter()
        plan = TrainingPlan.joined([one.plan for one in together])
        plan = replace(plan, minutes=None if math.isinf(self.left) else self.left / 60.0)
        data = self.rows.data(plan)
        pack = build_pack(self.rows, [one.network for one in together], plan)
        pack = pack.to_device(data.numbers.device)
        shown = replace(plan, epochs=self.epochs + plan.epochs)
        if shown.minutes is not None:
            shown = replace(shown, minutes=shown.minutes + self.seconds / 60.0)
        state = _run(
            pack,
            data,
            plan,
            lambda epoch: self.on_epoch(self._counted(epoch), shown),
            checkpoint,
            self.resume,
        )
        state.restore_best()
        pack.eval()
        folds = self.rows.folds
        rounds = plan.members // folds if folds and plan.members % folds == 0 else 1
        raw = out_of_fold(pack, data, self.rows.target.outputs, rounds)
        pack = pack.to_device(torch.device("cpu"))
        seconds = max(time.perf_counter() - started, state.seconds)
        self.left -= seconds
        history = [self._counted(epoch) for epoch in state.history]
        return _Part(pack, data, plan, history, raw, state.stopped, seconds)

    def lengthened(
        self, part: _Part, afforded: Afforded, on_plan: Callable[[TrainingPlan], object]
    ) -> tuple[_Part, Afforded]:
        """A pack trained again, longer, as often as that pays; and the options that it was trained by.

        A longer training that is cut off counts for nothing.
        """
        errors = [part.error]
        while part.stopped not in CUT_OFF:
            room = min(self.left, seconds_for(self.rows, afforded.training))
            options = longer(part.plan, part.data, errors, room / part.seconds * part.plan.epochs)
            if not options:
                break
            wanted = afforded.with_options(options)
            together = self.packs(wanted.network, wanted.training)[0]
            reason = (
                f"{options['epochs']} in the place of {part.plan.epochs}, as a held-out R² of "
                f"{1.0 - errors[-1] ** 2:.3f} leaves more to learn"
            )
            on_plan(replace(together[0].plan, reasons={"budget": f"epochs: {reason}"}))
            as_it_is = afforded.with_options({"epochs": part.plan.epochs})
            counted = self.epochs, self.seconds
            self.epochs, self.seconds = part.history[-1].number, part.history[-1].seconds
            try:
                again = self.train(together, self._folder(f"longer {len(errors)}"))
            except KeyboardInterrupt:
                return replace(part, stopped="interrupted"), as_it_is
            if again.stopped == "interrupted":
                return replace(part, stopped=again.stopped), as_it_is
            errors.append(again.error)
            if again.stopped == "minutes" or not errors[-1] < errors[-2]:
                self.epochs, self.seconds = counted
                return part, as_it_is
            again.plan.reasons["epochs"] = reason
            part, afforded = again, wanted
        return part, afforded

    def train_further(
        self, first: _Part, packs: Sequence[Sequence[PackedTraining]]
    ) -> tuple[list[_Part], str]:
        """Train packs until there are none left, or no time; all parts, and what has ended the training.

        What a later pack has begun when the time is over counts for nothing, so that whole rounds alone,
        which can be trained again, make the result.
        """
        parts = [first]
        for i, together in enumerate(packs, 1):
            spent = not math.isinf(self.left) and self.left - parts[-1].seconds < (1.0 - SHARE) * self.limit
            if first.stopped in CUT_OFF or spent:
                break
            try:
                part = self.train(together, self._folder(str(i)))
            except KeyboardInterrupt:
                return parts, "interrupted"
            if part.stopped in CUT_OFF:
                return parts, first.stopped if part.stopped == "minutes" else part.stopped
            parts.append(part)
        return parts, first.stopped

    def _folder(self, name: str) -> Path | None:
        return None if self.checkpoint is None else self.checkpoint / name

    def _counted(self, epoch: Epoch) -> Epoch:
        return replace(epoch, number=self.epochs + epoch.number, seconds=self.seconds + epoch.seconds)


def _run(
    pack: Pack,
    data: TrainingTensors,
    plan: TrainingPlan,
    on_epoch: Callable[[Epoch], object],
    checkpoint: Path | None,
    resume: bool,
) -> LoopState:
    state = LoopState(pack, data, plan)
    keeper = None if checkpoint is None else CheckpointWriter(checkpoint, state, digest(pack, data, plan))
    if keeper is not None and resume:
        keeper.resume()
    try:
        for epoch in train_epochs(pack, data, plan, state):
            if keeper is not None:
                keeper.keep()
            on_epoch(epoch)
    except KeyboardInterrupt:
        if not state.history:
            raise
        state.stopped = "interrupted"
    except TrainingError as error:
        checkpointed = "no checkpoint was asked for" if keeper is None else keeper.summary()
        raise TrainingError(f"{error}; {checkpointed}") from error
    return state


def _ignore(*_: object) -> None:
    """Do nothing."""


def _afforded(
    rows: TrainingRows,
    network: NetworkConfig | Factory,
    wanted: PlannedTraining,
    on_plan: Callable[[TrainingPlan], object] | None,
    checkpoint: Path | None,
    resume: bool,
) -> Afforded:
    """What fits the time; where a training is resumed, what did."""
    training = wanted.training
    file = None if checkpoint is None else checkpoint / DECIDED
    if file is not None and resume and file.exists():
        return Afforded.again(network, training, json.loads(file.read_text(encoding="utf-8")))
    if on_plan is None and training.minutes is None and training.epochs is not None:
        return Afforded(network, training)
    afforded = afford(rows, network, wanted)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(afforded.decided), encoding="utf-8")
    return afforded


def _with_budget(plan: TrainingPlan, afforded: Afforded) -> TrainingPlan:
    """The plan with a sentence on what it will take, at most, as its reason `budget`."""
    return (
        replace(plan, reasons={"budget": afforded.explanation, **plan.reasons})
        if afforded.explanation
        else plan
    )


def _merged(histories: Sequence[list[Epoch]]) -> list[Epoch]:
    """One history of the members of all. Those that have ended keep the figures of their last epoch."""
    if len(histories) == 1:
        return histories[0]
    return [
        _beside([history[min(i, len(history) - 1)] for history in histories], histories[0][0].number + i)
        for i in range(max(map(len, histories)))
    ]


def _beside(epochs: Sequence[Epoch], number: int) -> Epoch:
    going = [np.full(len(epoch.active), epoch.number == number) for epoch in epochs]

    def side_by_side(name: str) -> np.ndarray:
        return np.concatenate([getattr(epoch, name) for epoch in epochs])

    return Epoch(
        number=number,
        train_loss=side_by_side("train_loss"),
        val_loss=side_by_side("val_loss"),
        learning_rate=side_by_side("learning_rate"),
        rows_per_second=float(np.mean([epoch.rows_per_second for epoch in epochs])),
        seconds=sum(epoch.seconds for epoch in epochs),
        best=side_by_side("best") & np.concatenate(going),
        active=side_by_side("active") & np.concatenate(going),
    )
