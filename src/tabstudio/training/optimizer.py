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

from tabstudio.model.networks import corner

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
    decay is for (default: all). `means` and `squares` are the running moments, of the parameters' shapes.
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
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate, self.weight_decay = tuple(learning_rate), tuple(weight_decay)
        self.betas, self.eps = betas, eps
        self.decays = list(decays or [True] * len(self.parameters))
        self.means = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.squares = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        device = self.parameters[0].device if self.parameters else None
        self.steps = torch.zeros((), device=device)
        self._vectors = torch.tensor([self.learning_rate, self.weight_decay], device=device)
        runs = _alike(self.learning_rate, self.weight_decay)
        entries = sum(p.numel() for p in self.parameters)
        few = len(runs) == 1 or entries >= LEAST_ENTRIES * len(runs)
        self._runs = [part for run in runs for part in self._split(run)] if few else []

    def _split(self, run: slice) -> list[_Run]:
        """One call for the parameters that decay and one for those that do not, where there is a decay."""
        decay = self.weight_decay[run.start]
        chosen = []
        for decayed in (True, False) if decay else (None,):
            places = [i for i, d in enumerate(self.decays) if decayed is None or d is decayed]
            tensors = [
                [kind[i].detach()[run] for i in places]
                for kind in (self.parameters, self.means, self.squares)
            ]
            if places:
                rate = self.learning_rate[run.start]
                chosen.append(_Run(run, rate, decay if decayed else 0.0, places, *tensors))
        return chosen

    def members(self, parameters: Sequence[Tensor], places: Sequence[int]) -> Self:
        """An optimizer of some of the members, whose parameters these are, with copies of their moments."""
        chosen = type(self)(
            parameters,
            [self.learning_rate[i] for i in places],
            [self.weight_decay[i] for i in places],
            betas=self.betas,
            eps=self.eps,
            decays=self.decays,
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
        torch._fused_adamw_(
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
        rates, decay = self._vectors[0] * factor, self._vectors[1]
        parameters = [p.detach() for p in self.parameters]
        grads = [self._gradient(i) for i in range(len(parameters))]
        torch._foreach_lerp_(self.means, grads, 1.0 - first)
        torch._foreach_mul_(self.squares, second)
        torch._foreach_addcmul_(self.squares, grads, grads, 1.0 - second)
        below = torch._foreach_sqrt(self.squares)
        torch._foreach_div_(below, (1.0 - second**steps) ** 0.5)
        torch._foreach_add_(below, self.eps)
        for i, parameter in enumerate(parameters):
            shape = (-1, *[1] * (parameter.dim() - 1))
            if self.decays[i]:
                parameter.mul_((1.0 - rates * decay).view(shape))
            change = (-rates / (1.0 - first**steps)).view(shape)
            parameter.addcdiv_(self.means[i] * change, below[i])

    def _gradient(self, place: int) -> Tensor:
        parameter = self.parameters[place]
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


def _alike(rates: Sequence[float], decay: Sequence[float]) -> list[slice]:
    """Runs of adjacent members with the same learning rate and decay."""
    pairs = list(zip(rates, decay, strict=True))
    runs = [[i for i, _ in run] for _, run in groupby(enumerate(pairs), key=lambda item: item[1])]
    return [slice(run[0], run[-1] + 1) for run in runs]
