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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tabstudio.config import NetworkConfig, TrainingConfig
from tabstudio.errors import ConfigError, TrainingError
from tabstudio.model.networks import Pack, join
from tabstudio.table.schema import Target
from tabstudio.training.budget import SHARE, Afforded, Wanted, afford
from tabstudio.training.checkpoint import Keeper, digest
from tabstudio.training.data import Data, Rows
from tabstudio.training.loop import Epoch, State, fit, out_of_fold
from tabstudio.training.plan import Plan
from tabstudio.training.rounds import count_rounds, rounds_of
from tabstudio.training.together import Factory, Training, build_pack, packs_of

if TYPE_CHECKING:
    from tabstudio.model.encode import Inputs

DECIDED = "decided.json"
"""What time has decided of a training that can be resumed."""


@dataclass(frozen=True, slots=True)
class Learned:
    """A trained pack and what is known of it.

    `pack` holds each member's best weights, in evaluation mode, on the CPU. `rounds` (c, n, outputs) are raw
    outputs by the members that held the row out, nan where none did, a round for every so many members as
    there are folds. `stopped` is `epochs`, `patience`, `minutes` or `interrupted`. `decided` are the options
    that measured time has decided: with these given, the same is learned again.
    """

    pack: Pack
    seeds: tuple[int, ...]
    history: list[Epoch]
    rounds: np.ndarray
    target_mean: float
    target_scale: float
    stopped: str
    plan: Plan
    decided: dict[str, Any] = field(default_factory=dict)

    @property
    def out_of_fold(self) -> np.ndarray:
        """Raw outputs (n, outputs) by all members that held the row out, their mean."""
        return np.asarray(self.rounds.mean(axis=0))


def learn(
    inputs: Inputs,
    labels: np.ndarray,
    fold: np.ndarray,
    target: Target,
    network: NetworkConfig | Factory,
    training: TrainingConfig,
    *,
    cardinalities: Sequence[int] = (),
    on_plan: Callable[[Plan], Any] | None = None,
    on_epoch: Callable[[Epoch, Plan], Any] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Learned:
    """Train one member per fold, or as many as `training.members` says or `training.minutes` has room for.

    `labels` (n,) are indices into the target's classes, or values; (n, classes) are probabilities to be
    imitated. `fold` (n,) names the fold that holds a row out, -1 for rows that are always trained on.
    `cardinalities` are the numbers of codes of the columns of `inputs.codes`. `on_plan` is told of the plan
    of the first round, with what it will take, before the training, `on_epoch` of every epoch. `checkpoint`
    is a folder that checkpoints are kept in; with `resume` the training goes on from there, to the same bits
    as one that was never cut off.

    Raises `ConfigError` for options that do not fit, `TrainingError` where a loss is not finite or the
    checkpoint is of another training. Ctrl-C after the first epoch ends in a result marked `interrupted`.
    """
    width = inputs.codes.shape[1]
    if len(cardinalities) != width:
        raise ConfigError(
            f"one cardinality for each of {width} columns of codes was expected, got {len(cardinalities)}: "
            f"hand over cardinalities=encoder.cardinalities"
        )
    rows = Rows(inputs, labels, fold, target, tuple(cardinalities))
    size, most = count_rounds(rows, network, training)
    given = training.members is not None
    wanted = Wanted(replace(training, members=size if given else None), size, most, given)
    afforded = _afforded(rows, network, wanted, on_plan, checkpoint, resume)
    rounds = list(rounds_of(rows, afforded.network, afforded.training, most))
    if on_plan is not None:
        on_plan(_with_budget(rounds[0].plan, afforded))
    parts, stopped = _rounds(rows, rounds, training.minutes, on_epoch, checkpoint, resume)
    plan = _with_budget(Plan.joined([part.plan for part in parts]), afforded)
    pack = join([part.pack for part in parts])
    decided = dict(afforded.decided)
    if training.minutes is not None and stopped != "minutes" and len(pack) != training.members:
        decided["members"] = len(pack)
        plan.reasons["members"] = f"{len(pack)} in {training.minutes:g} min, {size} at a time"
    return Learned(
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


@dataclass(frozen=True, slots=True)
class _Part:
    """Rounds that were trained as one pack."""

    pack: Pack
    data: Data
    plan: Plan
    history: list[Epoch]
    rounds: np.ndarray
    stopped: str
    seconds: float


def _rounds(
    rows: Rows,
    rounds: Sequence[Training],
    minutes: float | None,
    on_epoch: Callable[[Epoch, Plan], Any] | None,
    checkpoint: Path | None,
    resume: bool,
) -> tuple[list[_Part], str]:
    """Train rounds until there are none left, or no time; and what has ended the training.

    What a later pack has begun when the time is over counts for nothing, so that whole rounds alone, which
    can be trained again, make the result.
    """
    parts: list[_Part] = []
    left = math.inf if minutes is None else 60.0 * minutes
    for i, together in enumerate(packs_of(rounds, rows)):
        if parts and left - parts[-1].seconds < (1.0 - SHARE) * 60.0 * (minutes or 0.0):
            break
        plan = Plan.joined([one.plan for one in together])
        plan = replace(plan, minutes=None if minutes is None else left / 60.0)
        folder = checkpoint / str(i) if checkpoint is not None and i else checkpoint
        try:
            part = _train(rows, together, plan, on_epoch, folder, resume)
        except KeyboardInterrupt:
            if not parts:
                raise
            return parts, "interrupted"
        if parts and part.stopped in ("minutes", "interrupted"):
            return parts, parts[0].stopped if part.stopped == "minutes" else part.stopped
        parts.append(part)
        left -= part.seconds
        if part.stopped in ("minutes", "interrupted"):
            break
    return parts, parts[0].stopped


def _train(
    rows: Rows,
    together: Sequence[Training],
    plan: Plan,
    on_epoch: Callable[[Epoch, Plan], Any] | None,
    checkpoint: Path | None,
    resume: bool,
) -> _Part:
    started = time.perf_counter()
    data = rows.data(plan)
    pack = build_pack(rows, [one.network for one in together], plan).to_device(data.numbers.device)
    state = _run(pack, data, plan, on_epoch, checkpoint, resume)
    state.restore_best()
    pack.eval()
    folds = rows.folds
    rounds = plan.members // folds if folds and plan.members % folds == 0 else 1
    raw = out_of_fold(pack, data, rows.target.outputs, rounds)
    pack = pack.to_device(torch.device("cpu"))
    seconds = max(time.perf_counter() - started, state.seconds)
    return _Part(pack, data, plan, state.history, raw, state.stopped, seconds)


def _run(
    pack: Pack,
    data: Data,
    plan: Plan,
    on_epoch: Callable[[Epoch, Plan], Any] | None,
    checkpoint: Path | None,
    resume: bool,
) -> State:
    state = State(pack, data, plan)
    keeper = None if checkpoint is None else Keeper(checkpoint, state, digest(pack, data, plan))
    if keeper is not None and resume:
        keeper.resume()
    try:
        for epoch in fit(pack, data, plan, state):
            if keeper is not None:
                keeper.keep()
            if on_epoch is not None:
                on_epoch(epoch, plan)
    except KeyboardInterrupt:
        if not state.history:
            raise
        state.stopped = "interrupted"
    except TrainingError as error:
        told = "no checkpoint was asked for" if keeper is None else keeper.told()
        raise TrainingError(f"{error}; {told}") from error
    return state


def _afforded(
    rows: Rows,
    network: NetworkConfig | Factory,
    wanted: Wanted,
    on_plan: Callable[[Plan], Any] | None,
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
    found = afford(rows, network, wanted)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found.decided), encoding="utf-8")
    return found


def _with_budget(plan: Plan, afforded: Afforded) -> Plan:
    """The plan with a sentence on what it will take, at most, as its reason `budget`."""
    return replace(plan, reasons={"budget": afforded.told, **plan.reasons}) if afforded.told else plan


def _merged(histories: Sequence[list[Epoch]]) -> list[Epoch]:
    """One history of the members of all. Those that have ended keep the figures of their last epoch."""
    if len(histories) == 1:
        return histories[0]
    return [
        _beside([history[min(i, len(history) - 1)] for history in histories], i + 1)
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
