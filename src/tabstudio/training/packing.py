"""Which trainings can share a pack, and how many of them should.

What a pack holds as vectors over its members (learning rate, weight decay, dropout, label smoothing, seeds,
widths of maskable networks) may differ. It decides about time alone: a pack is its members, each by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

import torch

from tabstudio.model.networks import BINNED, MASKABLE, Custom, NetworkSpec, Pack, build
from tabstudio.options import NetworkConfig
from tabstudio.training.data import TrainingRows
from tabstudio.training.plan import TrainingPlan

CACHE = 1 << 21
"""Bytes of one layer's activations in a step: a pack with more of them is parted, to stay in the cache."""

Factory = Callable[[int, int], torch.nn.Module]
"""A network of the user's own: (inputs, outputs) -> module."""


class PackedTraining(NamedTuple):
    """One training: its network, and the plan of its members."""

    network: NetworkConfig | Factory
    plan: TrainingPlan


def kind(training: PackedTraining) -> str:
    """What two trainings must have in common to share a pack, as words to be compared."""
    network, plan = training
    if not isinstance(network, NetworkConfig):
        return repr(network)
    hidden = (0,) * len(network.widths) if network.name in MASKABLE else network.widths
    shape = replace(network, hidden=hidden, dropout=0.0)
    return repr((shape, replace(plan.members_at([]), members=plan.members, reasons={})))


def parted(trainings: Sequence[PackedTraining], rows: TrainingRows) -> list[slice]:
    """Trainings of one kind in packs that fit the cache."""
    packs: list[slice] = []
    widest = 1
    for index, (network, plan) in enumerate(trainings):
        own = max(network.widths, default=1) if isinstance(network, NetworkConfig) else 1
        widest = max(widest, own)
        size = 4 * widest * (plan.batch_size or rows.trained) * plan.members
        first = packs[-1].start if packs else index
        if packs and size * (index + 1 - first) <= CACHE:
            packs[-1] = slice(first, index + 1)
        else:
            packs.append(slice(index, index + 1))
            widest = own
    return packs


def packs_of(trainings: Sequence[PackedTraining], rows: TrainingRows) -> Iterator[Sequence[PackedTraining]]:
    """Adjacent trainings that share a pack, in their order. The first packs of more are the same."""
    for _, alike in groupby(trainings, key=kind):
        several = list(alike)
        for places in parted(several, rows):
            yield several[places]


def build_pack(rows: TrainingRows, networks: Sequence[NetworkConfig | Factory], plan: TrainingPlan) -> Pack:
    """A fresh pack, on the CPU, of the members of trainings of one kind, `plan` being theirs together.

    It is as wide as the widest of the networks; each member has the widths of its own.
    """
    numbers = rows.inputs.numbers.shape[1]
    if not isinstance(networks[0], NetworkConfig):
        return Custom(networks[0], plan.seeds, numbers, rows.cardinalities, rows.target.outputs)
    ours = [network for network in networks if isinstance(network, NetworkConfig)]
    hidden = [network.widths for network in ours]
    widest = tuple(max(widths) for widths in zip(*hidden, strict=True))
    size = plan.members // len(ours)
    own = tuple(widths for widths in hidden for _ in range(size)) if len(set(hidden)) > 1 else ()
    network = replace(ours[0], hidden=widest)
    edges = rows.edges if network.name in BINNED else ()
    shape = (numbers, rows.cardinalities, rows.target.outputs)
    return build(NetworkSpec(network.name, *shape, network, own, edges), plan.seeds)
