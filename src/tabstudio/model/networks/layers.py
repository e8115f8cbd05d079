"""Layers with a leading member axis: k networks of one shape, side by side in the same tensors.

Weights are (k, inputs, outputs), activations (k, rows, width). A batch that all members share may come in as
(rows, width). A pack of one member works on (rows, width) throughout, the shape that libraries are fastest
on. While a pack of several learns, its activations lie in memory as (k, width, rows): the first layer is then
one wide product over all members (twice as fast as a product for each, on 426 rows and 64 members).

Members may be of different widths. The narrow ones are padded with zeros, which stay zeros: every activation
here maps 0 to 0, so what is padded gets no gradient, and the arithmetic of the rest is the narrow network's.

Every random number of member m comes from a `torch.Generator` seeded with `seeds[m]`, drawn in the order
and layout that `torch.nn.Linear` and `torch.nn.functional.dropout` use on the CPU after
`torch.manual_seed(seeds[m])`. A member is therefore the hand-written network, whatever stands beside it in
the pack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tabstudio.model.inference.network_inputs import NumberBins, bend

Generators = Sequence[torch.Generator]
Parametrisation = Literal["standard", "ntk"]
Widths = int | Sequence[int]
"""One width for all members, or one for each."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": functional.gelu,
    "selu": torch.selu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "mish": functional.mish,
}

BIAS_RATE, SCALE_RATE = 0.1, 6.0
"""RealMLP's learning-rate factors of biases and of the scaling layer."""
Rates = dict[str, tuple[float, ...]]
"""Of some of a layer's parameters: what each member's learning rate is multiplied with."""


class PackedLinear(nn.Module):
    """k affine maps: (rows, inputs) or (k, rows, inputs) -> (k, rows, outputs); (rows, outputs) where k is 1.

    `inputs` and `outputs` are widths, or one for each member. `standard` draws what
    `nn.Linear.reset_parameters` draws. `ntk` is the neural-tangent parametrisation of RealMLP (NeurIPS 2024),
    where the product of normal weights is scaled by 1/sqrt(inputs) and normal biases by `BIAS_RATE`. Under
    Adam a factor of a parameter is a start and a learning rate that many times as large, so these are kept
    in `rates` and cost no arithmetic. `size` is what the inputs amount to where they are not of unit size.
    `zeros` starts both at zero, the usual start of a last layer.
    """

    def __init__(
        self,
        inputs: Widths,
        outputs: Widths,
        generators: Generators,
        parametrisation: Parametrisation = "standard",
        *,
        size: Widths | None = None,
        zeros: bool = False,
    ) -> None:
        super().__init__()
        k = len(generators)
        sizes = each(inputs if size is None else size, k)
        inputs, outputs = each(inputs, k), each(outputs, k)
        self.weight = nn.Parameter(torch.zeros(k, max(inputs), max(outputs)))
        self.bias = nn.Parameter(torch.zeros(k, max(outputs)))
        self.rates: Rates = {}
        if parametrisation == "ntk":
            scales = tuple(1.0 / math.sqrt(max(s, 1)) for s in sizes)
            self.rates = {"weight": scales, "bias": (BIAS_RATE,) * k}
        for m, (generator, i, o) in enumerate(zip(generators, inputs, outputs, strict=True)):
            weight, bias = self.weight.data[m, :i, :o], self.bias.data[m, :o]
            if self.rates and not zeros:
                weight.copy_(torch.empty(weight.shape).normal_(0.0, scales[m], generator=generator))
                bias.normal_(0.0, BIAS_RATE, generator=generator)
            elif not zeros:
                _draw_linear(weight, bias, generator)

    def forward(self, x: Tensor, own: Tensor | None = None, factor: Tensor | None = None) -> Tensor:
        """Multiply and add, in as few calls of the library as can be.

        `own` (k, rows, last inputs) are inputs that differ between the members where x does not. `factor`
        (k, inputs) scales what comes in.
        """
        weight = self.weight if factor is None else self.weight * factor.unsqueeze(-1)
        grad = torch.is_grad_enabled()
        if own is not None and (x.dim() == 3 or not grad):
            x, own = torch.cat([x.expand(*own.shape[:-1], -1), own], dim=-1), None
        if x.dim() == 2 and len(weight) == 1 and own is None:
            return torch.addmm(self.bias[0], x, weight[0])
        if not grad:
            return torch.baddbmm(self.bias.unsqueeze(1), x.expand(len(weight), -1, -1), weight)
        turned = weight.mT
        if x.dim() == 3:
            return torch.baddbmm(self.bias.unsqueeze(2), turned, x.mT).mT
        shared = turned[..., : x.shape[-1]].flatten(0, 1)
        wide = torch.addmm(self.bias.view(-1, 1), shared, x.T).view(*turned.shape[:2], -1)
        if own is not None:
            wide = torch.baddbmm(wide, turned[..., x.shape[-1] :], own.mT)
        return wide.mT


class PackedScale(nn.Module):
    """A learned factor (k, width) per input, which starts at 1: the layer behind it multiplies with it."""

    def __init__(self, width: int, members: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(members, width))
        self.rates: Rates = {"factor": (SCALE_RATE,) * members}


class PackedEmbedding(nn.Module):
    """A learned vector per category: codes (rows, c) or (k, rows, c) -> (k, rows, c * width).

    All columns share one table (k, sum of cardinalities, width), a column's rows starting at its offset.
    """

    offsets: Tensor

    def __init__(self, cardinalities: Sequence[int], width: int, generators: Generators) -> None:
        super().__init__()
        starts = torch.tensor([0, *cardinalities]).cumsum(0)
        self.register_buffer("offsets", starts[:-1], persistent=False)
        self.table = nn.Parameter(torch.empty(len(generators), int(starts[-1]), width))
        for m, generator in enumerate(generators):
            self.table.data[m].normal_(generator=generator)

    def forward(self, codes: Tensor) -> Tensor:
        """Look up."""
        k, levels, width = self.table.shape
        places = codes + self.offsets
        if places.dim() == 2:
            beside = self.table.transpose(0, 1).reshape(levels, k * width)
            embedded = functional.embedding(places, beside).view(*places.shape, k, width)
            return embedded.permute(2, 0, 1, 3).flatten(2)
        places = places + levels * torch.arange(k, device=places.device)[:, None, None]
        return functional.embedding(places, self.table.flatten(0, 1)).flatten(2)


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


class PiecewiseLinear(nn.Module):
    """Numbers by the bins that they have passed: (..., d) -> (..., sum of widths).

    A number is -1 in the bins above it, 1 in those below it, goes from one to the other within its own, and
    all this by the root of its number of bins, so that together they are of unit size. A layer behind it is
    any function of a number with bends at its `edges` (one sequence for each of the d numbers; one of fewer
    than three edges has no bins). `widths` are the numbers of bins of those that have some.

    Source: Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep learning"
    (NeurIPS 2022), section 3.2; there from 0 to 1.
    """

    columns: Tensor
    centres: Tensor
    slopes: Tensor
    heights: Tensor

    def __init__(self, bins: NumberBins) -> None:
        super().__init__()
        self.widths = np.unique(bins.columns, return_counts=True)[1].tolist()
        for name, array in bins._asdict().items():
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Encode."""
        return bend(x.index_select(-1, self.columns), self.centres, self.slopes, self.heights)


def each(value: Widths, members: int) -> Sequence[int]:
    """A width for every member."""
    return (value,) * members if isinstance(value, int) else value


def dropout(x: Tensor, shares: Sequence[float], generators: Generators, widths: Sequence[int]) -> Tensor:
    """Zero a share of each member's x (k, rows, width), or (rows, width) where k is 1.

    A member of share 0 draws nothing; one of less than the full width draws for its own units alone. What is
    drawn is what `torch.nn.functional.dropout` draws.
    """
    if not any(shares) or x.numel() == 0:
        return x
    k, rows, width = len(generators), x.shape[-2], x.shape[-1]
    if x.device.type != "cpu" or not _bernoulli_takes_words():
        mask = torch.ones(k, rows, width, dtype=x.dtype, device=x.device)
        for part, share, generator, own in zip(mask, shares, generators, widths, strict=True):
            if share:
                part[:, :own].bernoulli_(1.0 - share, generator=generator)
    else:
        words = torch.zeros(k, rows, width, dtype=torch.int64)
        for part, share, generator, own in zip(words, shares, generators, widths, strict=True):
            if share:
                part[:, :own].random_(_LOWEST, None, generator=generator)
        mask = _as_bernoulli(words, [1.0 - share for share in shares]).to(x.dtype)
    scale = torch.tensor([1.0 - share for share in shares], dtype=x.dtype, device=x.device)
    return x * mask.div_(scale.view(k, 1, 1)).view(x.shape)


def _as_bernoulli(words: Tensor, shares: Sequence[float]) -> Tensor:
    """Random words (k, ...) of 64 bits as truths, true for a share of each member's."""
    limits = torch.tensor([math.ceil(share * _BITS) for share in shares]).view(-1, *[1] * (words.dim() - 1))
    return words.bitwise_and_(_BITS - 1) < limits


@cache
def _bernoulli_takes_words() -> bool:
    """Whether this build of torch draws a truth from 53 bits of one word each, one after the other.

    Words are drawn, and turned into truths for all members at once, in a third of the time. Builds that
    draw otherwise (with Intel's library) are taken at their own word.
    """
    mine, theirs = (torch.Generator().manual_seed(0) for _ in range(2))
    drawn = torch.empty(256, dtype=torch.int64).random_(_LOWEST, None, generator=mine)
    wanted = torch.empty(256).bernoulli_(0.7, generator=theirs)
    return bool((_as_bernoulli(drawn[None], [0.7])[0] == wanted).all())


def quick_dropout(
    x: Tensor, shares: Sequence[float], generators: Generators, widths: Sequence[int]
) -> Tensor:
    """Dropout that spends one random byte per entry, so that shares are rounded to a 256th: 4 times as fast.

    The entries kept are scaled by the share that is truly kept. Shares and widths are as in `dropout`.
    """
    thresholds = [min(max(round((1.0 - share) * 256), 1), 256) for share in shares]
    if min(thresholds) == 256 or x.numel() == 0:
        return x
    k, rows, width = len(generators), x.shape[-2], x.shape[-1]
    bits = torch.zeros(k, -(-rows * width // 8), dtype=torch.int64, device=x.device)
    for part, most, generator, own in zip(bits, thresholds, generators, widths, strict=True):
        if most < 256:
            part[: -(-rows * own // 8)].random_(_LOWEST, None, generator=generator)
    last = torch.tensor(thresholds, device=x.device).sub_(1).view(k, 1, 1)
    drawn = bits.view(torch.uint8)[:, : rows * width].view(k, width, rows)
    stay = (drawn <= last.to(torch.uint8)).mT.view(*x.shape)
    if x.stride(-1) == 1:
        stay = stay.contiguous()
    factor = stay.to(x.dtype)
    return x * factor.mul_((256.0 / (last + 1)).to(x.dtype).view(-1, *[1] * (x.dim() - 1)))


_LOWEST, _BITS = -(1 << 63), 1 << 53


def _draw_linear(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    inputs, outputs = weight.shape
    if inputs == 0:
        return
    bound = math.sqrt(3.0) * (math.sqrt(2.0 / (1.0 + 5.0)) / math.sqrt(inputs))
    weight.copy_(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator).T)
    bound = 1.0 / math.sqrt(inputs)
    bias.uniform_(-bound, bound, generator=generator)
