"""Inputs of the networks for tables: numbers with their bins, and categories as vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tabstudio.model.inference.network_inputs import number_bins, split_by_size
from tabstudio.model.networks.base import NetworkSpec, Pack
from tabstudio.model.networks.layers import PackedEmbedding, PiecewiseLinear, one_hot


class Embedded(Pack):
    """What the networks for tables share: numbers with their bins, categories as one-hot codes or vectors.

    `chunks` are the widths that each column's representation has, in order, `entering` their sum; `size` is
    what these amount to in inputs of unit size, as which all bins of a number count together.
    """

    def __init__(self, spec: NetworkSpec, seeds: Sequence[int]) -> None:
        super().__init__(spec, seeds)
        self.few, self.many = split_by_size(spec.cardinalities)
        self.one_hot = tuple(spec.cardinalities[i] for i in self.few)
        self.chunks = [1] * spec.numbers
        self.bins = self.embedding = None
        if bins := number_bins(spec.edges):
            self.bins = PiecewiseLinear(bins)
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
