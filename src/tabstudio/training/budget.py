"""What a training may take, and a training that fits: measured by a few steps of it before it starts.

On ordinary tables the measured time is only reported: seeds alone decide what is trained. It is acted upon
where a time was given (`minutes`), and where the training would take out of proportion to the table's rows:
then the network is made narrower and the epochs fewer until it fits. Such a choice is reported as options
that repeat the same training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from tabstudio.model.networks import Pack
from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.training.data import TrainingRows, TrainingTensors
from tabstudio.training.fold_rounds import rounds_of
from tabstudio.training.loop import Batch, LoopState, batches, count, step, validate
from tabstudio.training.packing import Factory, build_pack, packs_of
from tabstudio.training.plan import TrainingPlan

STEPS = 3
"""Steps that are measured; the first one, which sets much up, does not count."""
MOST_SECONDS, MOST_PER_ROW = 60.0, 0.02
"""What a training may take if no time was given: far more than ordinary tables need, be the machine busy."""
LEAST_EPOCHS, LEAST_WIDTH = 8, 64
"""Least width to which a network is narrowed before its epochs are reduced below that number."""
SHARE = 0.9
"""Of the time given; the rest is for what follows the last epoch."""


@dataclass(frozen=True, slots=True)
class Afforded:
    """A network and a training that fit, the options that were decided on the way, and what it will take."""

    network: NetworkConfig | Factory
    training: TrainingConfig
    decided: dict[str, Any] = field(default_factory=dict)
    explanation: str = ""

    @classmethod
    def again(
        cls, network: NetworkConfig | Factory, training: TrainingConfig, decided: dict[str, Any]
    ) -> Afforded:
        """What was decided before."""
        if "hidden" in decided:
            decided = decided | {"hidden": tuple(decided["hidden"])}
        return cls(network, training, {}, "as decided when it began").with_options(decided)

    def with_options(self, options: dict[str, Any]) -> Afforded:
        """The same with options that were decided: `hidden`, `dropout`, `epochs`."""
        network, training = self.network, self.training
        if isinstance(network, NetworkConfig):
            network = replace(network, **{n: options[n] for n in ("hidden", "dropout") if n in options})
        if "epochs" in options:
            training = replace(training, epochs=options["epochs"])
        return replace(self, network=network, training=training, decided=self.decided | options)


@dataclass(frozen=True, slots=True)
class PlannedTraining:
    """A round's training, its members, and how many rounds: all where they were `given`, else what fits."""

    training: TrainingConfig
    size: int
    rounds: int
    given: bool


def afford(rows: TrainingRows, network: NetworkConfig | Factory, wanted: PlannedTraining) -> Afforded:
    """Make a training fit its time: narrower first where the widths were left open, then shorter.

    Without `minutes`, a number of epochs that was given stays what it is.
    """
    training, decided = wanted.training, dict[str, object]()
    bound = training.minutes is not None or training.epochs is None
    wide_open = isinstance(network, NetworkConfig) and network.hidden is None
    while True:
        rounds = list(rounds_of(rows, network, training, wanted.rounds))
        packs = list(packs_of(rounds, rows))
        shares = len(packs) if wanted.given else 1
        plan = TrainingPlan.joined([one.plan for one in packs[0]])
        data = rows.data(plan)
        pack = build_pack(rows, [one.network for one in packs[0]], plan).to_device(data.numbers.device)
        per_step, per_epoch = cost(pack, data, plan)
        fitting = max(math.floor(seconds_for(rows, training) / shares / per_epoch), 1)
        wide = packs[0][0].network
        narrower = _narrower(wide) if wide_open and isinstance(wide, NetworkConfig) else None
        if fitting >= plan.epochs or not bound:
            break
        if fitting >= LEAST_EPOCHS or narrower is None:
            training, plan = replace(training, epochs=fitting), replace(plan, epochs=fitting)
            decided["epochs"] = fitting
            break
        network, decided["hidden"] = narrower, narrower.hidden
    members = wanted.size * wanted.rounds if wanted.given else plan.members
    explanation = (
        f"{members} networks, up to {plan.epochs} epochs of {count(data, plan):,} steps: at most about "
        f"{max(shares * per_epoch * plan.epochs, 0.1):.2g} s at {1000 * per_step:.2g} ms a step, as measured"
    )
    return Afforded(network, training, decided, explanation + _bound(wanted))


def _bound(wanted: PlannedTraining) -> str:
    minutes = wanted.training.minutes
    if minutes is None:
        return ""
    more = wanted.rounds > 1 and not wanted.given
    return f", and more of them until {minutes:g} min are over" if more else f", ended after {minutes:g} min"


def seconds_for(rows: TrainingRows, training: TrainingConfig) -> float:
    """What the epochs may take."""
    if training.minutes is not None:
        return SHARE * 60.0 * training.minutes
    return MOST_SECONDS + MOST_PER_ROW * rows.trained


def _narrower(network: NetworkConfig) -> NetworkConfig | None:
    """The network with half its widths, where these are not small already."""
    halves = tuple(width // 2 for width in network.widths)
    return replace(network, hidden=halves) if min(halves, default=0) >= LEAST_WIDTH else None


def cost(pack: Pack, data: TrainingTensors, plan: TrainingPlan) -> tuple[float, float]:
    """Seconds of a step and of an epoch with its validation, by copies of the members."""
    state = LoopState(pack.members(range(len(pack))), data, plan)
    state.pack.train()
    fastest = math.inf
    for i, batch in enumerate(islice(_endless(state), STEPS)):
        started = time.perf_counter()
        step(state, batch, 1.0)
        if i:
            fastest = min(fastest, time.perf_counter() - started)
    started = time.perf_counter()
    validate(state.pack.eval(), data)
    return fastest, fastest * count(data, plan) + time.perf_counter() - started


def _endless(state: LoopState) -> Iterator[Batch]:
    while True:
        yield from batches(state.data, state.plan, state.order)
