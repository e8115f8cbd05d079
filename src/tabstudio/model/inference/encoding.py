"""Scaling of numbers and lookup of codes, for columns, rows and tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import numpy as np

from tabstudio.model.inference.arrays import (
    Array,
    Values,
    arcsinh,
    as_single,
    is_finite,
    map_columns,
    sqrt,
    where,
)

if TYPE_CHECKING:
    from tabstudio.model.column_encoders import NumberColumn

UNSEEN, MISSING, FIRST = 0, 1, 2
"""Codes: values that have none of their own, no value, the first value of the vocabulary."""
FARTHEST = 1e9
"""Scaled numbers are clipped to it: float32 must be able to square and sum them."""


class CodeTable(NamedTuple):
    """Codes of a column's values: of those that training knew, in their order, of none, and of any other."""

    known: Mapping[Any, int]
    missing: int
    unseen: int


def code_table(known: Mapping[Any, int], default: int, *, gaps: bool) -> CodeTable:
    """Return the codes of a column that gives its `default` to what training had not.

    A code that no training row had would be an untrained weight, so it is never given.
    """
    return CodeTable(known, MISSING if gaps else default, default)


class NumberScaler(Generic[Values]):
    """Scales the numbers of one column (n,), or of as many columns side by side (n, d), to float32.

    The factors are Python's numbers, or arrays or tensors (d,). See `Scale` for what they mean.
    """

    def __init__(self, centre: Any, factor: Any, shift: Any, fill: Any, clip: Any, log: Any) -> None:
        self.centre, self.factor, self.shift, self.fill = centre, factor, shift, fill
        self.clip, self.log = clip, log
        self.shifts, _ = _any_and_all(shift)
        self.clips, self.all_clip = _any_and_all(clip)
        self.logs, self.all_log = _any_and_all(log)

    @classmethod
    def of(cls, columns: Sequence[NumberColumn], array: Callable[[Array], Values]) -> NumberScaler[Values]:
        """Return the scaler of all columns at once. `array` makes an array or a tensor of an array."""
        scales = [column.scale for column in columns]
        return cls(
            array(np.array([scale.centre for scale in scales])),
            array(np.array([scale.factor for scale in scales])),
            array(np.array([scale.shift for scale in scales])),
            array(np.array([column.fill for column in columns])),
            array(np.array([scale.clip for scale in scales], dtype=bool)),
            array(np.array([scale.log for scale in scales], dtype=bool)),
        )

    def scale(self, values: Values) -> tuple[Values, Values | None]:
        """Return scaled numbers without gaps, and where values were not finite; None is nowhere."""
        scaled, missing = self._linear(values), None
        if not _is_tame(scaled):
            missing = ~is_finite(values)
            scaled = self._linear(where(missing, self.fill, values)).clip(-FARTHEST, FARTHEST)
        if self.clips:
            root = scaled * scaled
            root *= 1 / 9
            root += 1
            pressed = scaled / sqrt(root)
            scaled = pressed if self.all_clip else where(self.clip, pressed, scaled)
        if self.logs:
            scaled = arcsinh(scaled) if self.all_log else map_columns(arcsinh, scaled, self.log)
        return scaled, missing

    def _linear(self, values: Values) -> Values:
        # scikit-learn's order of operations, so that the figures equal MinMaxScaler's to the last bit
        result: Values = values - self.centre
        result *= self.factor
        if self.shifts:
            result += self.shift
        return as_single(result)


def _is_tame(scaled: Array | object) -> bool:
    """Whether no number is missing or far away; of tensors, whose numbers a traced program lacks, unknown."""
    if not isinstance(scaled, np.ndarray):
        return False
    flat = scaled.ravel()
    # one dot product finds NaN, infinities and whatever is to be clipped, all at once
    return bool(np.dot(flat, flat) <= FARTHEST**2)


def _any_and_all(x: object) -> tuple[bool, bool]:
    if isinstance(x, bool | float):  # of one column: it is asked for each block of rows
        return bool(x), bool(x)
    array = np.asarray(x)
    return bool(array.any()), bool(array.all())
