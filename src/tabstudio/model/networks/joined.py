"""Packs of several shapes as one: the members of an ensemble that was chosen from many trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from tabstudio.model.networks.base import NetworkSpec, Pack


class Joined(Pack):
    """Packs of several shapes as one: their members one after the other. It is for predicting."""

    def __init__(self, packs: Sequence[Pack]) -> None:
        super().__init__(None, [seed for pack in packs for seed in pack.seeds])
        self.packs = tuple(packs)
        self.parts = nn.ModuleList(packs)

    def __repr__(self) -> str:
        return f"Joined({', '.join(map(repr, self.packs))})"

    def members(self, indices: Sequence[int]) -> Pack:
        """A pack of some of the members in their order, with copies of their weights and random states."""
        chosen, first = [], 0
        for part in self.packs:
            own = [i - first for i in indices if first <= i < first + len(part)]
            chosen += [part.members(own)] if own else []
            first += len(part)
        return join(chosen)

    def description(self) -> dict[str, object]:
        """The networks' descriptions and seeds, as plain data."""
        return {"joined": [{"spec": pack.description(), "seeds": list(pack.seeds)} for pack in self.packs]}

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Raw outputs (k, rows, outputs)."""
        return torch.cat([part(numbers, codes) for part in self.packs])


def join(packs: Sequence[Pack]) -> Pack:
    """Packs as one: where all have one shape, the same tensors, longer."""
    if len(packs) == 1:
        return packs[0]
    first, *others = packs
    if any(_shape(pack) != _shape(first) for pack in others) or (first.spec and first.spec.own_hidden):
        return Joined(packs)
    assert first.spec is not None
    whole = type(first)(first.spec, [seed for pack in packs for seed in pack.seeds])
    with torch.no_grad():
        for name, tensor in whole.tensors().items():
            tensor.copy_(torch.cat([pack.tensors()[name] for pack in packs]))
    return whole.train(first.training)


def _shape(pack: Pack) -> NetworkSpec:
    """What decides the layers of a pack: all but its dropout, which is for training."""
    assert pack.spec is not None
    return replace(pack.spec, config=replace(pack.spec.config, dropout=0.0))
