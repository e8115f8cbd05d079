"""From encoded rows to trained members: plan, build, loop, best weights, out-of-fold outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tabstudio.config import NetworkConfig, TrainingConfig
from tabstudio.errors import ConfigError, TrainingError
from tabstudio.model.networks import NetworkSpec, Pack, build, custom
from tabstudio.table.schema import Target
from tabstudio.training.budget import budgeted
from tabstudio.training.checkpoint import Keeper, digest
from tabstudio.training.data import Data, assemble, held_out
from tabstudio.training.loop import Epoch, State, fit, out_of_fold
from tabstudio.training.plan import Plan, choose

if TYPE_CHECKING:
    from tabstudio.model.encode import Inputs

Factory = Callable[[int, int], torch.nn.Module]


@dataclass(frozen=True, slots=True)
class Learned:
    """A trained pack and what is known of it.

    `pack` holds each member's best weights, in evaluation mode, on the CPU. `rounds` (c, n, outputs) are raw
    outputs by the members that held the row out, nan where none did, a round for every so many members as
    there are folds. `stopped` is `epochs`, `patience`, `minutes` or `interrupted`.
    """

    pack: Pack
    seeds: tuple[int, ...]
    history: list[Epoch]
    rounds: np.ndarray
    target_mean: float
    target_scale: float
    stopped: str
    plan: Plan

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
    """Train one member per fold, or as many as `training.members` says.

    `labels` (n,) are indices into the target's classes, or values; (n, classes) are probabilities to be
    imitated. `fold` (n,) names the fold that holds a row out, -1 for rows that are always trained on.
    `cardinalities` are the numbers of codes of the columns of `inputs.codes`. `on_plan` is told of the plan,
    with what it will take, before the training, `on_epoch` of every epoch. `checkpoint` is a folder that a
    checkpoint is kept in; with `resume` the training goes on from there, to the same bits as one that was
    never cut off.

    Raises `ConfigError` for options that do not fit, `TrainingError` where a loss is not finite or the
    checkpoint is of another training. Ctrl-C after the first epoch ends in a result marked `interrupted`.
    """
    width = inputs.codes.shape[1]
    if len(cardinalities) != width:
        raise ConfigError(
            f"one cardinality for each of {width} columns of codes was expected, got {len(cardinalities)}: "
            f"hand over cardinalities=encoder.cardinalities"
        )
    folds = int(fold.max(initial=-1)) + 1
    rows = int((fold < 0).sum()) if folds == 1 else len(fold)
    config = network if isinstance(network, NetworkConfig) else None
    plan = choose(training, config, target.task, rows=rows, folds=folds)
    device = torch.device(plan.device)
    data = assemble(inputs, labels, held_out(fold, plan.members), target, balance=plan.balance, device=device)
    pack = _pack(network, plan, inputs.numbers.shape[1], tuple(cardinalities), target.outputs)
    pack = pack.to_device(device)
    if on_plan is not None:
        plan = budgeted(pack, data, plan)
        on_plan(plan)
    state = _train(pack, data, plan, on_epoch, checkpoint, resume)
    state.restore_best()
    pack.eval()
    rounds = plan.members // folds if folds and plan.members % folds == 0 else 1
    raw = out_of_fold(pack, data, target.outputs, rounds)
    return Learned(
        pack=pack.to_device(torch.device("cpu")),
        seeds=plan.seeds,
        history=state.history,
        rounds=raw,
        target_mean=data.target_mean,
        target_scale=data.target_scale,
        stopped=state.stopped,
        plan=plan,
    )


def _train(
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


def _pack(
    network: NetworkConfig | Factory, plan: Plan, numbers: int, cardinalities: tuple[int, ...], outputs: int
) -> Pack:
    if isinstance(network, NetworkConfig):
        return build(NetworkSpec(network.name, numbers, cardinalities, outputs, network), plan.seeds)
    return custom(network, plan.seeds, numbers, cardinalities, outputs)
