"""TabM: an ensemble inside each member, whose heads share all matrices but the last.

Source: Gorishniy, Kotelnikov and Babenko, "TabM: Advancing tabular deep learning with parameter-efficient
ensembling" (ICLR 2025), after BatchEnsemble (Wen et al., ICLR 2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tabstudio.model.networks.base import NetworkSpec
from tabstudio.model.networks.embedded import Embedded
from tabstudio.model.networks.layers import ACTIVATIONS, Generators, each, quick_dropout

HEADS = 16
"""Heads of a member. The paper has 32; half of them cost half and lose little."""


class Tabm(Embedded):
    """Layers of one matrix for all heads, each with factors of its own before and behind it, and a bias.

    Only the very first factors start at random; the heads grow apart from there. Raw outputs are the mean
    over the heads, in training those of each: see `Pack`.
    """

    heads = HEADS

    def __init__(self, spec: NetworkSpec, seeds: Sequence[int]) -> None:
        super().__init__(spec, seeds)
        self.activation = ACTIVATIONS[spec.config.activation]
        self.layers = nn.ModuleList()
        width = self.entering
        for hidden in spec.config.widths:
            self.layers.append(SharedLinear(width, hidden, self.generators))
            width = hidden
        if self.layers:
            signs = self.bins is None
            first: SharedLinear = self.layers[0]  # type: ignore[assignment]
            for m, generator in enumerate(self.generators):
                first.before.data[m] = _drawn(self.chunks, signs, generator)
        self.last = HeadLinear(width, spec.outputs, self.generators)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Raw outputs (k, rows, outputs), in training (k, heads * rows, outputs)."""
        assert self.spec is not None
        x = self.features(numbers, codes)
        x = x.expand(len(self), *x.shape[-2:]).unsqueeze(1)
        for layer, width in zip(self.layers, self.spec.config.widths, strict=True):
            x = self.activation(layer(x))
            if self.training:
                flat, widths = x.flatten(1, 2), each(width, len(self))
                x = quick_dropout(flat, self.dropout, self.generators, widths).view_as(x)
        raw: Tensor = self.last(x)
        return raw.flatten(1, 2) if self.training else raw.mean(1)


class SharedLinear(nn.Module):
    """(k, heads or 1, rows, inputs) -> (k, heads, rows, outputs): `((x * before) W) * behind + bias`."""

    def __init__(self, inputs: int, outputs: int, generators: Generators) -> None:
        super().__init__()
        k, bound = len(generators), 1.0 / math.sqrt(max(inputs, 1))
        self.weight = nn.Parameter(torch.empty(k, inputs, outputs))
        self.before = nn.Parameter(torch.ones(k, HEADS, inputs))
        self.behind = nn.Parameter(torch.ones(k, HEADS, outputs))
        self.bias = nn.Parameter(torch.empty(k, HEADS, outputs))
        for m, generator in enumerate(generators):
            self.weight.data[m].uniform_(-bound, bound, generator=generator)
            # all heads start with one bias, as in the paper's code
            self.bias.data[m] = torch.empty(outputs).uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Scale, multiply, scale, add."""
        x = x * self.before.unsqueeze(2)
        mixed = torch.bmm(x.flatten(1, 2), self.weight).view(*x.shape[:3], -1)
        return mixed * self.behind.unsqueeze(2) + self.bias.unsqueeze(2)


class HeadLinear(nn.Module):
    """A matrix and a bias for each head: (k, heads or 1, rows, inputs) -> (k, heads, rows, outputs)."""

    def __init__(self, inputs: int, outputs: int, generators: Generators) -> None:
        super().__init__()
        k, bound = len(generators), 1.0 / math.sqrt(max(inputs, 1))
        self.weight = nn.Parameter(torch.empty(k, HEADS, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(k, HEADS, outputs))
        for m, generator in enumerate(generators):
            self.weight.data[m].uniform_(-bound, bound, generator=generator)
            self.bias.data[m].uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add."""
        return torch.matmul(x, self.weight) + self.bias.unsqueeze(2)


def _drawn(chunks: Sequence[int], signs: bool, generator: torch.Generator) -> Tensor:
    """First factors (heads, sum of chunks): one draw per head and column, alike for all of its entries."""
    drawn = torch.empty(HEADS, len(chunks)).normal_(generator=generator)
    return (drawn.sign() if signs else drawn).repeat_interleave(torch.tensor(chunks), dim=1)
