"""Ranges over which options are searched, as Optuna's distributions around the usual value.

`order` is the order in which they are drawn: with the same seed, the same trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    Dimensions = dict[str, tuple[BaseDistribution, Any]]
    """Name of a dimension -> its distribution, and the usual value in it."""


class SearchRange(Protocol):
    """A range over which an option is searched."""

    @property
    def order(self) -> int:
        """Place among the searched options."""

    def around(self, name: str, usual: object) -> Dimensions:
        """Return the dimensions that the option `name` is searched in."""

    def __str__(self) -> str:
        """Return the range in words."""


@dataclass(frozen=True, slots=True)
class Between:
    """Numbers from `low` to `high`; with `log` their logarithms are spread evenly."""

    order: int
    low: float
    high: float
    log: bool = False

    def around(self, name: str, usual: float) -> Dimensions:
        """One dimension; a usual value beyond a bound stands at the bound."""
        from optuna.distributions import FloatDistribution

        inside = min(max(usual, self.low), self.high)
        return {name: (FloatDistribution(self.low, self.high, log=self.log), inside)}

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', by logarithm' if self.log else ''}"


@dataclass(frozen=True, slots=True)
class Around:
    """Numbers from a `factor`th of the usual value to `factor` times it, by logarithm."""

    order: int
    factor: float

    def around(self, name: str, usual: float) -> Dimensions:
        """One dimension around the usual value."""
        from optuna.distributions import FloatDistribution

        return {name: (FloatDistribution(usual / self.factor, usual * self.factor, log=True), usual)}

    def __str__(self) -> str:
        return f"the usual value divided by {self.factor:g} to times {self.factor:g}, by logarithm"


@dataclass(frozen=True, slots=True)
class Multiples:
    """Whole multiples of the usual value, rounded down."""

    order: int
    factors: tuple[float, ...]

    def around(self, name: str, usual: int) -> Dimensions:
        """One dimension of a few values."""
        from optuna.distributions import CategoricalDistribution

        return {name: (CategoricalDistribution([int(usual * factor) for factor in self.factors]), usual)}

    def __str__(self) -> str:
        return f"{', '.join(f'{factor:g}' for factor in self.factors)} times the usual value"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some values, and the usual one."""

    order: int
    values: tuple[int, ...]

    def around(self, name: str, usual: int) -> Dimensions:
        """One dimension of a few values."""
        from optuna.distributions import CategoricalDistribution

        return {name: (CategoricalDistribution(sorted({*self.values, usual})), usual)}

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


@dataclass(frozen=True, slots=True)
class Layers:
    """`fewer` layers to `more` than usual, and shares of the usual widths: dimensions `depth` and `width`."""

    order: int
    shares: tuple[float, ...]
    fewer: int
    more: int

    def around(self, name: str, usual: tuple[int, ...]) -> Dimensions:  # noqa: ARG002
        """Two dimensions: the share of the widths, and the number of layers."""
        from optuna.distributions import CategoricalDistribution, IntDistribution

        depth = len(usual)
        return {
            "width": (CategoricalDistribution(self.shares), 1.0),
            "depth": (IntDistribution(max(depth - self.fewer, 1), depth + self.more), depth),
        }

    def __str__(self) -> str:
        shares = ", ".join(f"{share:g}" for share in self.shares)
        return f"{self.fewer} layers fewer to {self.more} more, {shares} times as wide"
