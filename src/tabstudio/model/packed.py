"""Layers with a leading member axis: k networks of one shape, side by side in the same tensors.

Weights are (k, inputs, outputs), activations (k, rows, width). A batch that all members share may come in as
(rows, width). A pack of one member works on (rows, width) throughout, the shape that libraries are fastest
on.

Every random number of member m comes from a `torch.Generator` seeded with `seeds[m]`, drawn in the order
and layout that `torch.nn.Linear` and `torch.nn.functional.dropout` use on the CPU after
`torch.manual_seed(seeds[m])`. A member is therefore the hand-written network, whatever stands beside it in
the pack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Generators = Sequence[torch.Generator]
Parametrisation = Literal["standard", "ntk"]

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

    `standard` draws what `nn.Linear.reset_parameters` draws. `ntk` draws weights and biases from the unit
    normal distribution and scales the product by 1/sqrt(inputs), the biases by `BIAS_RATE` (RealMLP,
    NeurIPS 2024). `zeros` starts both at zero, the usual start of a last layer.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        generators: Generators,
        parametrisation: Parametrisation = "standard",
        zeros: bool = False,
    ) -> None:
        super().__init__()
        k = len(generators)
        self.alpha = 1.0 / math.sqrt(max(inputs, 1)) if parametrisation == "ntk" else 1.0
        self.beta = BIAS_RATE if parametrisation == "ntk" else 1.0
        self.weight = nn.Parameter(torch.zeros(k, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(k, outputs))
        if not zeros:
            draw = _draw_linear if parametrisation == "standard" else _draw_normal
            for m, generator in enumerate(generators):
                draw(self.weight.data[m], self.bias.data[m], generator)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add, in one call of the library."""
        if x.dim() == 2 and len(self.weight) == 1:
            return torch.addmm(self.bias[0], x, self.weight[0], beta=self.beta, alpha=self.alpha)
        x = x.expand(len(self.weight), -1, -1)
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight, beta=self.beta, alpha=self.alpha)


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


def dropout(x: Tensor, p: float, generators: Generators) -> Tensor:
    """Zero a share p of x (k, rows, width), or (rows, width) where k is 1, by each member's own generator."""
    if p == 0.0 or x.numel() == 0:
        return x
    keep = 1.0 - p
    noise = torch.empty_like(x, memory_format=torch.contiguous_format, requires_grad=False)
    for part, generator in zip(noise if x.dim() == 3 else (noise,), generators, strict=True):
        part.bernoulli_(keep, generator=generator)
    return x * noise.div_(keep)


def quick_dropout(x: Tensor, p: float, generators: Generators) -> Tensor:
    """Dropout that spends one random byte per entry, so that p is rounded to a 256th: 4 times as fast.

    The entries kept are scaled by the share that is truly kept.
    """
    kept = min(max(round((1.0 - p) * 256), 1), 256)
    if kept == 256 or x.numel() == 0:
        return x
    k = len(generators)
    entries = x.numel() // k
    bits = torch.empty(k, -(-entries // 8), dtype=torch.int64, device=x.device)
    for part, generator in zip(bits, generators, strict=True):
        part.random_(_LOWEST, None, generator=generator)
    mask = bits.view(torch.uint8)[:, :entries] < kept
    return x * mask.view(x.shape).to(x.dtype).mul_(256 / kept)


_LOWEST = -(1 << 63)


def _draw_linear(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    inputs, outputs = weight.shape
    if inputs == 0:
        return
    bound = math.sqrt(3.0) * (math.sqrt(2.0 / (1.0 + 5.0)) / math.sqrt(inputs))
    weight.copy_(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator).T)
    bound = 1.0 / math.sqrt(inputs)
    bias.uniform_(-bound, bound, generator=generator)


def _draw_normal(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    weight.normal_(generator=generator)
    bias.normal_(generator=generator)
