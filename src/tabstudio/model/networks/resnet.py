"""A residual network for tables.

Source: Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting deep learning models for tabular data" (NeurIPS
2021), with layer instead of batch normalisation: a row's answer then depends on no other row, and a member's
training on no row that it holds out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tabstudio.errors import ConfigError
from tabstudio.model.networks.base import NetworkSpec
from tabstudio.model.networks.embedded import Embedded
from tabstudio.model.networks.layers import ACTIVATIONS, PackedLinear, each, quick_dropout

SPREAD = 2
"""The inner width of a block, in widths of the network."""


class Resnet(Embedded):
    """A block for each hidden layer: x + linear(dropout(f(linear(norm(x)))))."""

    def __init__(self, spec: NetworkSpec, seeds: Sequence[int]) -> None:
        super().__init__(spec, seeds)
        width = _width(spec.config.widths)
        self.activation = ACTIVATIONS[spec.config.activation]
        self.first = PackedLinear(self.entering, width, self.generators)
        self.blocks = nn.ModuleList()
        for _ in spec.config.widths:
            block = nn.ModuleDict({"norm": PackedNorm(width, len(self))})
            block["into"] = PackedLinear(width, SPREAD * width, self.generators)
            block["back"] = PackedLinear(SPREAD * width, width, self.generators)
            self.blocks.append(block)
        self.norm = PackedNorm(width, len(self))
        self.last = PackedLinear(width, spec.outputs, self.generators)
        self.inner = each(SPREAD * width, len(self))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Raw outputs (k, rows, outputs)."""
        x = self.first(self._entered(self.features(numbers, codes)))
        for block in self.blocks:
            inner = self.activation(block["into"](block["norm"](x)))  # type: ignore[index]
            if self.training:
                inner = quick_dropout(inner, self.dropout, self.generators, self.inner)
            x = x + block["back"](inner)  # type: ignore[index]
        return self._left(self.last(self.activation(self.norm(x))))


class PackedNorm(nn.Module):
    """Layer normalisation with each member's own gain and shift: same shape out as in."""

    def __init__(self, width: int, members: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(members, width))
        self.shift = nn.Parameter(torch.zeros(members, width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over the width."""
        gain, shift = self.gain.unsqueeze(1), self.shift.unsqueeze(1)
        if x.dim() == 2:
            gain, shift = self.gain, self.shift
        return functional.layer_norm(x, x.shape[-1:]) * gain + shift


def _width(hidden: Sequence[int]) -> int:
    """The width of all blocks.

    Raises `ConfigError` where they differ.
    """
    if not hidden or len(set(hidden)) > 1:
        raise ConfigError(
            f"option hidden: a resnet has blocks of one width, such as 256,256,256; got {list(hidden)}"
        )
    return hidden[0]
