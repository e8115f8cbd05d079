"""What all networks have in common: the specification that one is built from, and the pack of k of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from tabstudio.errors import ConfigError
from tabstudio.model.networks.layers import Rates, Widths
from tabstudio.options import NetworkConfig


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """All that it takes to build a network again.

    `numbers` is the width d of the encoded numbers, `cardinalities` the number of codes per categorical
    column, `outputs` the width of the last layer. `own_hidden` holds each member's own hidden widths, as many
    and none wider than those of `config`; empty where all members have these. `edges` are those of the bins
    of each of the d numbers (see `PiecewiseLinear`); empty where numbers have no bins.
    """

    name: str
    numbers: int
    cardinalities: tuple[int, ...]
    outputs: int
    config: NetworkConfig
    own_hidden: tuple[tuple[int, ...], ...] = ()
    edges: tuple[tuple[float, ...], ...] = ()

    def members(self, indices: Sequence[int]) -> NetworkSpec:
        """The specification of some of the members, no wider than the widest of them."""
        if not self.own_hidden:
            return self
        own = tuple(self.own_hidden[i] for i in indices)
        widest = tuple(max(widths) for widths in zip(*own, strict=True))
        alike = all(widths == widest for widths in own)
        return replace(self, config=replace(self.config, hidden=widest), own_hidden=() if alike else own)

    def hidden(self, layer: int) -> Widths:
        """Width of a hidden layer: one for all, or one for each member."""
        return [own[layer] for own in self.own_hidden] or self.config.widths[layer]

    def to_json(self) -> dict[str, object]:
        """Return a plain dictionary for `NetworkSpec.from_json`."""
        return asdict(replace(self, config=replace(self.config, hidden=self.config.widths)))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The specification that `to_json` wrote."""
        config = NetworkConfig(**{**data["config"], "hidden": tuple(data["config"]["hidden"])})
        tuples = {name: tuple(map(tuple, data.get(name, ()))) for name in ("own_hidden", "edges")}
        fields = {"cardinalities": tuple(data["cardinalities"]), "config": config, **tuples}
        return cls(**{**data, **fields})


class Pack(nn.Module):
    """k networks of one shape. `forward(numbers, codes)` gives raw outputs (k, rows, outputs).

    numbers (rows, d) or (k, rows, d), float; codes (rows, c) or (k, rows, c), int64. Raw outputs are
    logits, for a regression the standardised value. `generators` hold where each member's random numbers
    have come to. `dropout` has one share per member; it is for training alone, and changed there. While a
    network of several `heads` is in training mode, it answers for each: (k, heads * rows, outputs), all rows
    of the first head first; else with the heads' mean.
    """

    spec: NetworkSpec | None
    heads = 1

    def __init__(self, spec: NetworkSpec | None, seeds: Sequence[int]) -> None:
        super().__init__()
        if not seeds:
            raise ConfigError("a pack needs at least one member: no seed was given")
        self.spec = spec
        self.seeds = tuple(int(seed) for seed in seeds)
        self.generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        self.dropout = (spec.config.dropped if spec else 0.0,) * len(self.seeds)

    if TYPE_CHECKING:

        def __call__(self, numbers: Tensor, codes: Tensor) -> Tensor:
            """Raw outputs (k, rows, outputs)."""

    def __len__(self) -> int:
        return len(self.seeds)

    def __repr__(self) -> str:
        parameters = sum(p.numel() for p in self.parameters()) // len(self)
        name = self.spec.name if self.spec else "custom"
        return f"Pack({name}, {len(self)} members of {parameters:,} parameters)"

    def members(self, indices: Sequence[int]) -> Pack:
        """A pack of some of the members, with copies of their weights and random states."""
        assert self.spec is not None
        chosen = type(self)(self.spec.members(indices), [self.seeds[i] for i in indices])
        chosen.take(self, indices)
        return chosen

    def description(self) -> dict[str, object]:
        """What network this is, as plain data."""
        assert self.spec is not None
        return self.spec.to_json()

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a member learns, by name, each with the member axis in front."""
        return dict(self.named_parameters())

    @torch.no_grad()
    def take(self, source: Pack, indices: Sequence[int]) -> None:
        """Copy weights, random states and mode of the named members of a pack of the same network."""
        self.to_device(next(source.parameters()).device)
        theirs = source.tensors()
        for name, tensor in self.tensors().items():
            tensor.copy_(corner(theirs[name][list(indices)], tensor))
        for generator, i in zip(self.generators, indices, strict=True):
            generator.set_state(source.generators[i].get_state())
        self.dropout = tuple(source.dropout[i] for i in indices)
        self.train(source.training)

    def decays(self, name: str) -> bool:
        """Whether weight decay applies to the parameter of that name."""
        return bool(name)

    def rates(self, name: str) -> tuple[float, ...]:
        """What each member's learning rate is multiplied with for the parameter of that name."""
        layer, _, own = name.rpartition(".")
        factors: Rates = getattr(self.get_submodule(layer), "rates", {})
        return factors.get(own, (1.0,) * len(self)) if layer else (1.0,) * len(self)

    def to_device(self, device: torch.device) -> Self:
        """Move weights and random states; on another device than the CPU dropout draws other numbers."""
        if device.type != self.generators[0].device.type:
            self.generators = [torch.Generator(device).manual_seed(g.initial_seed()) for g in self.generators]
        return self.to(device)

    def _entered(self, x: Tensor) -> Tensor:
        return x[0] if x.dim() == 3 and len(self) == 1 else x

    def _left(self, x: Tensor) -> Tensor:
        return x if x.dim() == 3 else x.unsqueeze(0)


def corner(tensor: Tensor, like: Tensor) -> Tensor:
    """The part of a padded tensor that stands for narrower members: as large as `like`, member axis apart."""
    return tensor[(slice(None), *(slice(0, size) for size in like.shape[1:]))]
