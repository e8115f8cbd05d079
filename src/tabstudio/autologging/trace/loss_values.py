"""Observed losses, whose tensors may still be on a device, and means over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

READ_AT = 256
"""Number of losses on a device that are read in one transfer, so that not every step waits for it."""


@dataclass(slots=True)
class LossValue:
    """A value and how it counts: `value * factor` is a sum over `weight` rows.

    The value is a float, or a tensor of one element on a device: a copy of its own, without a graph.
    """

    value: Any
    factor: float = 1.0
    weight: float = 1.0


class LossMean:
    """Mean of the added losses, weighted by their rows."""

    def __init__(self) -> None:
        self.weight = 0.0
        self._total = 0.0
        self._unread: list[LossValue] = []

    def add(self, loss: LossValue) -> None:
        """Add a loss; on a device it is not waited for."""
        self.weight += loss.weight
        if isinstance(loss.value, float):
            self._total += loss.value * loss.factor
            return
        self._unread.append(loss)
        if len(self._unread) >= READ_AT:
            self._read()

    @property
    def value(self) -> float:
        """Return the mean; waits for a device that holds unread losses."""
        self._read()
        return self._total / self.weight if self.weight else float("nan")

    def _read(self) -> None:
        values = read_values([loss.value for loss in self._unread])
        self._total += sum(value * loss.factor for value, loss in zip(values, self._unread, strict=True))
        self._unread.clear()


def read_values(values: list[float | torch.Tensor]) -> list[float]:
    """Return tensors of one element as floats, one transfer for all that stand on the same device."""
    if len({(value.dtype, value.device) for value in values if not isinstance(value, float)}) != 1:
        return [float(value) for value in values]
    import torch

    on_device = [value for value in values if not isinstance(value, float)]
    numbers = iter(torch.stack([value.reshape(()) for value in on_device]).tolist())
    return [value if isinstance(value, float) else float(next(numbers)) for value in values]


def sum_losses(losses: list[LossValue]) -> LossValue:
    """Return several losses as one: their sum over all their rows."""
    if len(losses) == 1:
        return losses[0]
    return LossValue(
        sum(loss.value * loss.factor for loss in losses), 1.0, sum(loss.weight for loss in losses)
    )
