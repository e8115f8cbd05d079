"""What a training will take, measured by a few steps of it before it starts.

The measured time is told, not acted upon: seeds alone decide what is trained, on a busy machine too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from tabstudio.model.networks import Pack
from tabstudio.training.data import Data
from tabstudio.training.loop import Batch, State, batches, count, step
from tabstudio.training.plan import Plan

STEPS = 3
"""Steps that are measured; the first one, which sets much up, does not count."""


def seconds_per_step(pack: Pack, data: Data, plan: Plan) -> float:
    """Seconds of a step, by copies of the members: the pack and its random states stay as they are."""
    state = State(pack.members(range(len(pack))), data, plan)
    state.pack.train()
    fastest = math.inf
    for i, batch in enumerate(islice(_endless(state), STEPS)):
        started = time.perf_counter()
        step(state, batch, 1.0)
        if i:
            fastest = min(fastest, time.perf_counter() - started)
    return fastest


def _endless(state: State) -> Iterator[Batch]:
    while True:
        yield from batches(state.data, state.plan, state.order)


def budgeted(pack: Pack, data: Data, plan: Plan) -> Plan:
    """The plan with a sentence on what it will take, at most, as its reason `budget`."""
    seconds = seconds_per_step(pack, data, plan)
    steps = count(data, plan)
    whole = seconds * steps * plan.epochs
    bound = "" if plan.minutes is None else f", ended after {plan.minutes:g} minutes"
    told = (
        f"{plan.members} networks, up to {plan.epochs} epochs of {steps:,} steps: at most about "
        f"{max(whole, 0.1):.2g} s at {1000 * seconds:.2g} ms a step, as measured{bound}"
    )
    return replace(plan, reasons={"budget": told, **plan.reasons})
