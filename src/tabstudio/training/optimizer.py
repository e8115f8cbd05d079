"""Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019) over the members of a pack.

Learning rate and weight decay are vectors over the members. The arithmetic is that of `torch.optim.AdamW`;
`torch.optim` itself would import torch's compiler, a second of every start. Members that share both are
updated by torch's fused kernel, a call for each run of them; where these runs are many and small, by a few
operations over all members.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, Self

import torch
from torch import Tensor

from tabstudio._compat.torch_functions import (
    foreach_add_,
    foreach_addcmul_,
    foreach_div_,
    foreach_lerp_,
    foreach_mul_,
    foreach_sqrt,
    fused_adamw_,
)
from tabstudio.model.networks.base import corner

LEAST_ENTRIES = 1 << 14
"""A run of members with fewer weights is not worth a call of its own."""


class _Run(NamedTuple):
    """Adjacent members of one learning rate and decay, and the tensors that one call updates."""

    members: slice
    rate: float
    decay: float
    places: list[int]
    parameters: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]


class Adam:
    """Updates parameters (k, ...) in place from their `.grad`.

    `learning_rate` and `weight_decay` have one entry per member; `decays` says which of the parameters the
    decay is for (default: all), `rates` what the learning rate is multiplied with, for each parameter and
    member (default: 1), which leaves the decay as it is. `means` and `squares` are the running moments, of
    the parameters' shapes.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        learning_rate: Sequence[float],
        weight_decay: Sequence[float],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        decays: Sequence[bool] | None = None,
        rates: Sequence[Sequence[float]] | None = None,
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate, self.weight_decay = tuple(learning_rate), tuple(weight_decay)
        self.betas, self.eps = betas, eps
        self.decays = list(decays or [True] * len(self.parameters))
        self.rates = list(rates or [(1.0,) * len(self.learning_rate)] * len(self.parameters))
        self.means = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.squares = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        device = self.parameters[0].device if self.parameters else None
        self.steps = torch.zeros((), device=device)
        self._vectors = torch.tensor([self.learning_rate, self.weight_decay, *self.rates], device=device)
        self._runs = self._calls()

    def _calls(self) -> list[_Run]:
        """What each call updates; none where an update over all members costs less."""
        together: dict[tuple[tuple[float, float], ...], list[int]] = {}
        for index, (decays, rates) in enumerate(zip(self.decays, self.rates, strict=True)):
            own = zip(self.learning_rate, self.weight_decay, rates, strict=True)
            pairs = tuple((rate * factor, decay / factor * decays) for rate, decay, factor in own)
            together.setdefault(pairs, []).append(index)
        runs = {pairs: _alike(pairs) for pairs in together}
        most = max(map(len, runs.values()), default=1)
        if most > 1 and sum(p.numel() for p in self.parameters) < LEAST_ENTRIES * most:
            return []
        return [
            self._run(run, pairs[run.start], places)
            for pairs, places in together.items()
            for run in runs[pairs]
        ]

    def _run(self, members: slice, pair: tuple[float, float], places: list[int]) -> _Run:
        kinds = (self.parameters, self.means, self.squares)
        tensors = ([kind[i].detach()[members] for i in places] for kind in kinds)
        return _Run(members, *pair, places, *tensors)

    def members(self, parameters: Sequence[Tensor], places: Sequence[int]) -> Self:
        """An optimizer of some of the members, whose parameters these are, with copies of their moments."""
        chosen = type(self)(
            parameters,
            [self.learning_rate[i] for i in places],
            [self.weight_decay[i] for i in places],
            betas=self.betas,
            eps=self.eps,
            decays=self.decays,
            rates=[[rates[i] for i in places] for rates in self.rates],
        )
        for mine, theirs in ((chosen.means, self.means), (chosen.squares, self.squares)):
            for tensor, source in zip(mine, theirs, strict=True):
                tensor.copy_(corner(source[list(places)], tensor))
        chosen.steps.copy_(self.steps)
        return chosen

    @torch.no_grad()
    def step(self, factor: float = 1.0) -> None:
        """Update once, at `factor` times the learning rates, and forget the gradients."""
        self.steps += 1.0
        for run in self._runs:
            self._fused(run, factor)
        if not self._runs:
            self._over_all(factor)
        for parameter in self.parameters:
            parameter.grad = None

    def _fused(self, run: _Run, factor: float) -> None:
        grads = [self._gradient(i)[run.members] for i in run.places]
        fused_adamw_(
            run.parameters,
            grads,
            run.means,
            run.squares,
            [],
            [self.steps] * len(grads),
            lr=run.rate * factor,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=run.decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def _over_all(self, factor: float) -> None:
        steps, (first, second) = float(self.steps), self.betas
        learning, decay, *rates = self._vectors
        learning = learning * factor
        parameters = [p.detach() for p in self.parameters]
        grads = [self._gradient(i) for i in range(len(parameters))]
        foreach_lerp_(self.means, grads, 1.0 - first)
        foreach_mul_(self.squares, second)
        foreach_addcmul_(self.squares, grads, grads, 1.0 - second)
        below = foreach_sqrt(self.squares)
        foreach_div_(below, (1.0 - second**steps) ** 0.5)
        foreach_add_(below, self.eps)
        for i, parameter in enumerate(parameters):
            shape = (-1, *[1] * (parameter.dim() - 1))
            if self.decays[i]:
                parameter.mul_((1.0 - learning * decay).view(shape))
            change = (-learning * rates[i] / (1.0 - first**steps)).view(shape)
            parameter.addcdiv_(self.means[i] * change, below[i])

    def _gradient(self, index: int) -> Tensor:
        parameter = self.parameters[index]
        return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        named = {f"means.{i}": t for i, t in enumerate(self.means)}
        return named | {f"squares.{i}": t for i, t in enumerate(self.squares)} | {"steps": self.steps}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` gave."""
        for name, mine in self.state().items():
            mine.copy_(state[name])


def _alike(pairs: Sequence[tuple[float, float]]) -> list[slice]:
    """Runs of adjacent members with the same learning rate and decay."""
    runs = [[i for i, _ in run] for _, run in groupby(enumerate(pairs), key=lambda item: item[1])]
    return [slice(run[0], run[-1] + 1) for run in runs]
