"""The curve from a binary model's mean probability to the one that it answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np

from tabstudio.model.inference.arrays import Values, log, sigmoid

FARTHEST = 27.0
"""Log-odds are clipped to it: 2 in 10**12, and its inverse."""


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """Log-odds to log-odds, in straight pieces, rising everywhere: no two rows change places.

    `knots` (p - 1), ascending, are where pieces join, `slopes` (p) are above 0. The first piece, prolonged,
    goes through `offset` at log-odds 0.

    >>> CalibrationCurve((0.0,), (1.0, 2.0), 0.5).odds(np.array([-2.0, 3.0])).tolist()
    [-1.5, 6.5]
    """

    knots: tuple[float, ...]
    slopes: tuple[float, ...]
    offset: float

    def apply(self, second: Values) -> Values:
        """Return calibrated probabilities (n,) of those of the second class, float64."""
        least = 1.0 / (1.0 + np.exp(FARTHEST))
        known = second.clip(least, 1.0 - least)
        return sigmoid(self.odds(log(known) - log(1.0 - known)).clip(-FARTHEST, FARTHEST))

    def odds(self, odds: Values) -> Values:
        """Return calibrated log-odds (n,)."""
        total = self.offset + self.slopes[0] * odds
        for knot, (before, after) in zip(self.knots, pairwise(self.slopes), strict=True):
            beyond = odds - knot
            total = total + (after - before) / 2 * (beyond + abs(beyond))
        return total

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the curve whose fields these are."""
        return cls(tuple(data["knots"]), tuple(data["slopes"]), float(data["offset"]))
