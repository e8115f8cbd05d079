"""The default network for tables.

Source: RealMLP (Holzmüller, Grinsztajn and Steinwart, "Better by default", NeurIPS 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tabstudio.model.networks.base import NetworkSpec
from tabstudio.model.networks.embedded import Embedded
from tabstudio.model.networks.layers import (
    ACTIVATIONS,
    PackedLinear,
    PackedScale,
    Widths,
    each,
    quick_dropout,
)


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
