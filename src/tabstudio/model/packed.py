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

import torch
from torch import Tensor, nn
from torch.nn import functional

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

BIAS_RATE = 0.1
"""RealMLP's learning-rate factor of biases, as a factor of their effect: under Adam the two are the same."""
SCALE_RATE = 6.0
"""RealMLP's learning-rate factor of the scaling layer, likewise."""


class PackedLinear(nn.Module):
    """k affine maps: (rows, inputs) or (k, rows, inputs) -> (k, rows, outputs); (rows, outputs) where k is 1.

    `inputs` and `outputs` are widths, or one for each member. `standard` draws what
    `nn.Linear.reset_parameters` draws. `ntk` draws weights and biases from the unit normal distribution and
    scales the product by 1/sqrt(inputs), the biases by `BIAS_RATE` (RealMLP, NeurIPS 2024). `zeros` starts
    both at zero, the usual start of a last layer.
    """

    alphas: Tensor

    def __init__(
        self,
        inputs: Widths,
        outputs: Widths,
        generators: Generators,
        parametrisation: Parametrisation = "standard",
        zeros: bool = False,
    ) -> None:
        super().__init__()
        k = len(generators)
        inputs, outputs = each(inputs, k), each(outputs, k)
        ntk = parametrisation == "ntk"
        alphas = [1.0 / math.sqrt(max(i, 1)) if ntk else 1.0 for i in inputs]
        self.alpha, self.beta = alphas[0], BIAS_RATE if ntk else 1.0
        self.alike = len(set(alphas)) == 1
        self.register_buffer("alphas", torch.tensor(alphas).view(k, 1, 1), persistent=False)
        self.weight = nn.Parameter(torch.zeros(k, max(inputs), max(outputs)))
        self.bias = nn.Parameter(torch.zeros(k, max(outputs)))
        if not zeros:
            draw = _draw_normal if ntk else _draw_linear
            for m, (generator, i, o) in enumerate(zip(generators, inputs, outputs, strict=True)):
                draw(self.weight.data[m, :i, :o], self.bias.data[m, :o], generator)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add, in one call of the library."""
        alpha, beta = self.alpha, self.beta
        weight: Tensor = self.weight
        if not self.alike:
            alpha, weight = 1.0, weight * self.alphas
        if x.dim() == 2 and len(weight) == 1:
            return torch.addmm(self.bias[0], x, weight[0], beta=beta, alpha=alpha)
        if not torch.is_grad_enabled():
            x = x.expand(len(weight), -1, -1)
            return torch.baddbmm(self.bias.unsqueeze(1), x, weight, beta=beta, alpha=alpha)
        turned = weight.mT
        if x.dim() == 2:
            wide = torch.addmm(self.bias.view(-1, 1), turned.flatten(0, 1), x.T, beta=beta, alpha=alpha)
            return wide.view(*turned.shape[:2], -1).mT
        return torch.baddbmm(self.bias.unsqueeze(2), turned, x.mT, beta=beta, alpha=alpha).mT


class PackedScale(nn.Module):
    """One learned factor per input: (rows, width) or (k, rows, width) -> (k, rows, width)."""

    def __init__(self, width: int, members: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(members, width))

    def forward(self, x: Tensor) -> Tensor:
        """Scale; a pack of one keeps (rows, width)."""
        factor = SCALE_RATE * self.factor + 1.0
        return x * (factor if x.dim() == 2 and len(factor) == 1 else factor.unsqueeze(1))


class PackedActivation(nn.Module):
    """x + a (f(x) - x) with a learned a per unit, which starts at 1 (RealMLP's parametric activation)."""

    def __init__(self, name: str, width: int, members: int) -> None:
        super().__init__()
        self.function = ACTIVATIONS[name]
        self.blend = nn.Parameter(torch.zeros(members, width))

    def forward(self, x: Tensor) -> Tensor:
        """Blend, same shape out as in."""
        blend = (BIAS_RATE * self.blend + 1.0).to(x.dtype)
        return torch.lerp(x, self.function(x), blend if x.dim() == 2 else blend.unsqueeze(1))


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
            found = functional.embedding(places, beside).view(*places.shape, k, width)
            return found.permute(2, 0, 1, 3).flatten(2)
        places = places + levels * torch.arange(k, device=places.device)[:, None, None]
        return functional.embedding(places, self.table.flatten(0, 1)).flatten(2)


class PeriodicEmbedding(nn.Module):
    """Numbers as learned waves: (rows, d) or (k, rows, d) -> (k, rows, d * (width + 1)).

    Each number x becomes (x, W cos(2 pi f x + b)) with its own frequencies f, phases b and W (waves, width):
    "PBLD" of RealMLP (NeurIPS 2024) after the PLR embeddings of Gorishniy et al. (NeurIPS 2022).
    """

    def __init__(self, numbers: int, waves: int, width: int, sigma: float, generators: Generators) -> None:
        super().__init__()
        k = len(generators)
        self.frequency = nn.Parameter(torch.empty(k, numbers, 1, waves))
        self.phase = nn.Parameter(torch.empty(k, numbers, 1, waves))
        self.weight = nn.Parameter(torch.empty(k, numbers, waves, width))
        self.bias = nn.Parameter(torch.zeros(k, numbers, 1, width))
        for m, generator in enumerate(generators):
            self.frequency.data[m].normal_(0.0, 2.0 * math.pi * sigma / BIAS_RATE, generator=generator)
            self.phase.data[m].uniform_(-math.pi / BIAS_RATE, math.pi / BIAS_RATE, generator=generator)
            bound = 1.0 / (BIAS_RATE * math.sqrt(waves))
            self.weight.data[m].uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Embed, number by number."""
        columns = x.transpose(-1, -2).unsqueeze(-1)
        waves = torch.cos(columns * (BIAS_RATE * self.frequency) + BIAS_RATE * self.phase)
        mixed = torch.matmul(waves, BIAS_RATE * self.weight) + BIAS_RATE * self.bias
        whole = torch.cat([columns.expand(*mixed.shape[:-1], 1), mixed], dim=-1)
        return whole.transpose(1, 2).flatten(2)


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
        kept = torch.ones(k, rows, width, dtype=x.dtype, device=x.device)
        for part, share, generator, own in zip(kept, shares, generators, widths, strict=True):
            if share:
                part[:, :own].bernoulli_(1.0 - share, generator=generator)
    else:
        words = torch.zeros(k, rows, width, dtype=torch.int64)
        for part, share, generator, own in zip(words, shares, generators, widths, strict=True):
            if share:
                part[:, :own].random_(_LOWEST, None, generator=generator)
        kept = _as_bernoulli(words, [1.0 - share for share in shares]).to(x.dtype)
    scale = torch.tensor([1.0 - share for share in shares], dtype=x.dtype, device=x.device)
    return x * kept.div_(scale.view(k, 1, 1)).view(x.shape)


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
    kept = [min(max(round((1.0 - share) * 256), 1), 256) for share in shares]
    if min(kept) == 256 or x.numel() == 0:
        return x
    k, rows, width = len(generators), x.shape[-2], x.shape[-1]
    bits = torch.zeros(k, -(-rows * width // 8), dtype=torch.int64, device=x.device)
    for part, most, generator, own in zip(bits, kept, generators, widths, strict=True):
        if most < 256:
            part[: -(-rows * own // 8)].random_(_LOWEST, None, generator=generator)
    last = torch.tensor(kept, device=x.device).sub_(1).view(k, 1, 1)
    drawn = _spread(bits.view(torch.uint8), rows, width, widths)
    factor = (drawn <= last.to(torch.uint8)).to(x.dtype).mul_((256.0 / (last + 1)).to(x.dtype))
    return x * factor.view(x.shape)


def _spread(drawn: Tensor, rows: int, width: int, widths: Sequence[int]) -> Tensor:
    """Bytes (k, rows, width), of which a narrow member's stand in its first columns, the rest being 0."""
    if min(widths) == width:
        return drawn[:, : rows * width].reshape(-1, rows, width)
    spread = torch.zeros(len(drawn), rows, width, dtype=torch.uint8, device=drawn.device)
    for part, source, own in zip(spread, drawn, widths, strict=True):
        part[:, :own] = source[: rows * own].view(rows, own)
    return spread


_LOWEST, _BITS = -(1 << 63), 1 << 53


def _draw_linear(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    inputs, outputs = weight.shape
    if inputs == 0:
        return
    bound = math.sqrt(3.0) * (math.sqrt(2.0 / (1.0 + 5.0)) / math.sqrt(inputs))
    weight.copy_(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator).T)
    bound = 1.0 / math.sqrt(inputs)
    bias.uniform_(-bound, bound, generator=generator)


def _draw_normal(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    weight.copy_(torch.empty(weight.shape).normal_(generator=generator))
    bias.normal_(generator=generator)
