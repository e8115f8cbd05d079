"""The networks: raw outputs from encoded rows, k members at once.

`mlp` is plain layers, as anybody would write them by hand. `tabular` is the default for tables, after RealMLP
("Better by default", Holzmüller et al., NeurIPS 2024), `tabm` shares most weights between many heads (ICLR
2025), `resnet` adds to what came in. `custom` runs a factory of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from tabstudio.errors import ConfigError
from tabstudio.model.networks.layers import (
    ACTIVATIONS,
    PackedEmbedding,
    PackedLinear,
    PackedScale,
    PiecewiseLinear,
    Rates,
    Widths,
    dropout,
    each,
    quick_dropout,
)
from tabstudio.options import NetworkConfig

MAX_ONE_HOT = 9
"""`tabular` gives a column of more categories than this an embedding (RealMLP's figure)."""


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

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that `NetworkSpec.from_json` takes back."""
        return asdict(replace(self, config=replace(self.config, hidden=self.config.widths)))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The specification that `to_json` wrote."""
        config = NetworkConfig(**{**data["config"], "hidden": tuple(data["config"]["hidden"])})
        tuples = {name: tuple(map(tuple, data.get(name, ()))) for name in ("own_hidden", "edges")}
        told = {"cardinalities": tuple(data["cardinalities"]), "config": config, **tuples}
        return cls(**{**data, **told})


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
        chosen = build(self.spec.members(indices), [self.seeds[i] for i in indices])
        chosen.take(self, indices)
        return chosen

    def description(self) -> dict[str, Any]:
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

    def description(self) -> dict[str, Any]:
        """The networks' descriptions and seeds, as plain data."""
        return {"joined": [{"spec": pack.description(), "seeds": list(pack.seeds)} for pack in self.packs]}

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Raw outputs (k, rows, outputs)."""
        return torch.cat([part(numbers, codes) for part in self.packs])


def join(packs: Sequence[Pack]) -> Pack:
    """Packs of `build` as one: where all have one shape, the same tensors, longer."""
    if len(packs) == 1:
        return packs[0]
    first, *others = packs
    if any(_shape(pack) != _shape(first) for pack in others) or (first.spec and first.spec.own_hidden):
        return Joined(packs)
    assert first.spec is not None
    whole = build(first.spec, [seed for pack in packs for seed in pack.seeds])
    with torch.no_grad():
        for name, tensor in whole.tensors().items():
            tensor.copy_(torch.cat([pack.tensors()[name] for pack in packs]))
    return whole.train(first.training)


def _shape(pack: Pack) -> NetworkSpec:
    """What decides the layers of a pack: all but its dropout, which is for training."""
    assert pack.spec is not None
    return replace(pack.spec, config=replace(pack.spec.config, dropout=0.0))


def rebuilt(description: dict[str, Any], seeds: Sequence[int]) -> Pack:
    """A pack of the network that `Pack.description` tells of; its weights are still to be loaded."""
    if "joined" in description:
        return Joined([rebuilt(part["spec"], part["seeds"]) for part in description["joined"]])
    return build(NetworkSpec.from_json(description), seeds)


class Mlp(Pack):
    """Linear layers, an activation and dropout after each but the last; categories enter as one-hot codes."""

    def __init__(self, spec: NetworkSpec, seeds: Sequence[int]) -> None:
        super().__init__(spec, seeds)
        self.activation = ACTIVATIONS[spec.config.activation]
        hidden = [spec.hidden(i) for i in range(len(spec.config.widths))]
        widths = (spec.numbers + sum(spec.cardinalities), *hidden, spec.outputs)
        self.layers = nn.ModuleList(PackedLinear(a, b, self.generators) for a, b in pairwise(widths))
        self.widths = [each(width, len(self)) for width in hidden]

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Raw outputs (k, rows, outputs)."""
        assert self.spec is not None
        x = self._entered(with_one_hot(numbers, codes, self.spec.cardinalities))
        *inner, last = self.layers
        for layer, widths in zip(inner, self.widths, strict=True):
            x = self.activation(layer(x))
            if self.training:
                x = dropout(x, self.dropout, self.generators, widths)
        return self._left(last(x))


class Embedded(Pack):
    """What the networks for tables share: numbers with their bins, categories as one-hot codes or vectors.

    `chunks` are the widths that each column's representation has, in order, `entering` their sum; `size` is
    what these amount to in inputs of unit size, as which all bins of a number count together.
    """

    def __init__(self, spec: NetworkSpec, seeds: Sequence[int]) -> None:
        super().__init__(spec, seeds)
        self.few = [i for i, n in enumerate(spec.cardinalities) if n <= MAX_ONE_HOT]
        self.many = [i for i, n in enumerate(spec.cardinalities) if n > MAX_ONE_HOT]
        self.one_hot = tuple(spec.cardinalities[i] for i in self.few)
        self.chunks = [1] * spec.numbers
        self.bins = self.embedding = None
        if any(len(edges) > 2 for edges in spec.edges):
            self.bins = PiecewiseLinear(spec.edges)
            self.chunks += self.bins.widths
        self.chunks += self.one_hot
        if self.many:
            levels = [spec.cardinalities[i] for i in self.many]
            self.embedding = PackedEmbedding(levels, spec.config.embedding, self.generators)
            self.chunks += [spec.config.embedding] * len(self.many)
        self.entering = self.size = sum(self.chunks)
        if self.bins is not None:
            self.size -= sum(self.bins.widths) - len(self.bins.widths)

    def decays(self, name: str) -> bool:
        """Weight decay is for the matrices of the layers, as in RealMLP."""
        return name.endswith("weight")

    def shared(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """What all members see alike of numbers and of columns of few categories (..., rows, width)."""
        parts = [numbers]
        if self.bins is not None:
            parts.append(self.bins(numbers))
        if self.few:
            parts.append(one_hot(codes[..., self.few], self.one_hot, numbers.dtype))
        return torch.cat(parts, dim=-1) if len(parts) > 1 else numbers

    def own(self, codes: Tensor) -> Tensor | None:
        """Each member's vectors of the columns of many categories (k, rows, width)."""
        return None if self.embedding is None else self.embedding(codes[..., self.many])

    def features(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Representations of all columns (rows, entering) or (k, rows, entering)."""
        x, own = self.shared(numbers, codes), self.own(codes)
        return x if own is None else torch.cat([x.expand(*own.shape[:-1], -1), own], dim=-1)


class Tabular(Embedded):
    """A factor for each input, wide layers in neural-tangent parametrisation; the last starts at zero."""

    def __init__(self, spec: NetworkSpec, seeds: Sequence[int]) -> None:
        super().__init__(spec, seeds)
        self.activation = ACTIVATIONS[spec.config.activation]
        self.scale = PackedScale(self.entering, len(self))
        self.widths = [each(spec.hidden(i), len(self)) for i in range(len(spec.config.widths))]
        self.layers = nn.ModuleList()
        width: Widths = self.entering
        size: Widths = self.size
        for hidden in self.widths:
            self.layers.append(PackedLinear(width, hidden, self.generators, "ntk", size=size))
            width = size = hidden
        self.last = PackedLinear(width, spec.outputs, self.generators, "ntk", size=size, zeros=True)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Raw outputs (k, rows, outputs)."""
        entering = self._entered(self.shared(numbers, codes)), self.own(codes), self.scale.factor
        first, *others = [*self.layers, self.last]
        x = first(*entering)
        for layer, widths in zip(others, self.widths, strict=True):
            x = self.activation(x)
            if self.training:
                x = quick_dropout(x, self.dropout, self.generators, widths)
            x = layer(x)
        return self._left(x)


def corner(tensor: Tensor, like: Tensor) -> Tensor:
    """The part of a padded tensor that stands for narrower members: as large as `like`, member axis apart."""
    return tensor[(slice(None), *(slice(0, size) for size in like.shape[1:]))]


def with_one_hot(numbers: Tensor, codes: Tensor, cardinalities: Sequence[int]) -> Tensor:
    """Numbers (..., d) with every column's one-hot code behind: (..., d + sum of cardinalities)."""
    if not cardinalities:
        return numbers
    return torch.cat([numbers, one_hot(codes, cardinalities, numbers.dtype)], dim=-1)


def one_hot(codes: Tensor, cardinalities: Sequence[int], dtype: torch.dtype) -> Tensor:
    """One-hot codes of all columns side by side: (..., c) -> (..., sum of cardinalities)."""
    starts = torch.tensor([0, *cardinalities[:-1]], device=codes.device).cumsum(0)
    hot = torch.zeros(*codes.shape[:-1], sum(cardinalities), dtype=dtype, device=codes.device)
    return hot.scatter_(-1, codes + starts, 1.0)


def _tabm(spec: NetworkSpec, seeds: Sequence[int]) -> Pack:
    from tabstudio.model.networks.tabm import Tabm

    return Tabm(spec, seeds)


def _resnet(spec: NetworkSpec, seeds: Sequence[int]) -> Pack:
    from tabstudio.model.networks.resnet import Resnet

    return Resnet(spec, seeds)


_NETWORKS: dict[str, Callable[[NetworkSpec, Sequence[int]], Pack]] = {
    "mlp": Mlp,
    "tabular": Tabular,
    "tabm": _tabm,
    "resnet": _resnet,
}
BINNED = ("tabular", "tabm", "resnet")
"""Networks that take bins of numbers."""
MASKABLE = ("mlp", "tabular")
"""Networks whose members may be of different widths."""


def build(spec: NetworkSpec, seeds: Sequence[int]) -> Pack:
    """A pack of `len(seeds)` freshly initialised members.

    Raises `ConfigError` for a network that does not exist.

    >>> spec = NetworkSpec("mlp", 30, (), 1, NetworkConfig("mlp", (30, 15), 0.3, "relu"))
    >>> build(spec, [0, 1])(torch.zeros(4, 30), torch.zeros(4, 0, dtype=torch.int64)).shape
    torch.Size([2, 4, 1])
    """
    if spec.name not in _NETWORKS:
        raise ConfigError(f"option network: one of {', '.join(_NETWORKS)} was expected, got {spec.name!r}")
    return _NETWORKS[spec.name](spec, seeds)


def custom(
    factory: Callable[[int, int], nn.Module],
    seeds: Sequence[int],
    numbers: int,
    cardinalities: Sequence[int],
    outputs: int,
) -> Pack:
    """A pack of the user's own network, run member by member.

    `factory(inputs, outputs)` returns a module that maps (rows, inputs) to raw outputs (rows, outputs). The
    inputs are the `numbers` with the one-hot codes of every categorical column appended: inputs = numbers +
    sum of cardinalities. Raises `ConfigError` where it returns something else.
    """
    from tabstudio.model.networks.custom import Custom

    return Custom(factory, seeds, numbers, cardinalities, outputs)
