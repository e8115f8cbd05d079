"""Plain layers, as anybody would write them by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from tabstudio.model.networks.base import NetworkSpec, Pack
from tabstudio.model.networks.layers import ACTIVATIONS, PackedLinear, dropout, each, with_one_hot


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
