"""Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019) over the members of a pack.

Learning rate and weight decay are vectors over the members. The arithmetic is that of `torch.optim.AdamW`, by
the same fused kernel; `torch.optim` itself would import torch's compiler, a second of every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class _Group(NamedTuple):
    """Members that share a learning rate and a decay, and the tensors that one call updates."""

    member: int | None
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
        self.betas, self.eps = betas, eps
        self.means = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.squares = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        device = self.parameters[0].device if self.parameters else None
        self.steps = torch.zeros((), device=device)
        self._groups = self._grouped(learning_rate, weight_decay, decays or [True] * len(self.parameters))

    def _grouped(
        self, rates: Sequence[float], weight_decay: Sequence[float], decays: Sequence[bool]
    ) -> list[_Group]:
        same = len(set(zip(rates, weight_decay, strict=True))) == 1
        groups = []
        for member in [None] if same else range(len(rates)):
            m = member or 0
            split = (True, False) if weight_decay[m] else (None,)
            for decayed in split:
                places = [i for i, d in enumerate(decays) if decayed is None or d is decayed]
                if places:
                    groups.append(self._group(member, rates[m], weight_decay[m] if decayed else 0.0, places))
        return groups

    def _group(self, member: int | None, rate: float, decay: float, places: list[int]) -> _Group:
        def part(tensors: list[Tensor]) -> list[Tensor]:
            chosen = [tensors[i].detach() for i in places]
            return chosen if member is None else [t[member] for t in chosen]

        return _Group(
            member, rate, decay, places, part(self.parameters), part(self.means), part(self.squares)
        )

    @torch.no_grad()
    def step(self, factor: float = 1.0) -> None:
        """Update once, at `factor` times the learning rates, and forget the gradients."""
        self.steps += 1.0
        for group in self._groups:
            grads = [self._gradient(i, group.member) for i in group.places]
            torch._fused_adamw_(
                group.parameters,
                grads,
                group.means,
                group.squares,
                [],
                [self.steps] * len(grads),
                lr=group.rate * factor,
                beta1=self.betas[0],
                beta2=self.betas[1],
                weight_decay=group.decay,
                eps=self.eps,
                amsgrad=False,
                maximize=False,
            )
        for parameter in self.parameters:
            parameter.grad = None

    def _gradient(self, place: int, member: int | None) -> Tensor:
        parameter = self.parameters[place]
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        return grad if member is None else grad[member]

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        named = {f"means.{i}": t for i, t in enumerate(self.means)}
        return named | {f"squares.{i}": t for i, t in enumerate(self.squares)} | {"steps": self.steps}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state` gave."""
        for name, mine in self.state().items():
            mine.copy_(state[name])
