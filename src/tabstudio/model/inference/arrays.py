"""Functions that NumPy and torch call differently, for arrays and tensors alike. Torch is not imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]
Values = TypeVar("Values", "npt.NDArray[Any]", "torch.Tensor")
"""An array, or a tensor."""


def as_double(x: Values) -> Values:
    """Return x as float64."""
    return x.astype(np.float64, copy=False) if isinstance(x, np.ndarray) else x.double()


def as_single(x: Values) -> Values:
    """Return x as float32."""
    return x.astype(np.float32) if isinstance(x, np.ndarray) else x.float()


def log(x: Values) -> Values:
    """Return the natural logarithm of each element."""
    return np.asarray(np.log(x)) if isinstance(x, np.ndarray) else x.log()


def sqrt(x: Values) -> Values:
    """Return the square root of each element; an array is overwritten."""
    return np.asarray(np.sqrt(x, out=x)) if isinstance(x, np.ndarray) else x.sqrt()


def arcsinh(x: Values) -> Values:
    """Return the inverse hyperbolic sine of each element."""
    return np.asarray(np.arcsinh(x)) if isinstance(x, np.ndarray) else x.asinh()


def sigmoid(x: Values) -> Values:
    """Return the logistic function of each element."""
    return np.asarray(1.0 / (1.0 + np.exp(-x))) if isinstance(x, np.ndarray) else x.sigmoid()


def softmax(x: Values) -> Values:
    """Return the softmax over the last axis."""
    if not isinstance(x, np.ndarray):
        return x.softmax(-1)
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def is_finite(x: Values) -> Values:
    """Return where elements are neither NaN nor infinite."""
    return np.asarray(np.isfinite(x)) if isinstance(x, np.ndarray) else x.isfinite()


def where(condition: Values, x: Values | float, y: Values) -> Values:
    """Return x where the condition holds, else y."""
    if isinstance(condition, np.ndarray):
        return np.where(condition, x, y)
    import torch

    return torch.where(condition, x, y)


def clip(x: Values, low: Values, high: Values) -> Values:
    """Return x between the bounds; an array is overwritten."""
    return np.clip(x, low, high, out=x) if isinstance(x, np.ndarray) else x.clamp(low, high)


def map_columns(function: Callable[[Values], Values], x: Values, chosen: Values) -> Values:
    """Return x (n, d) with the function's results in the chosen columns (d,); an array is overwritten."""
    if not isinstance(x, np.ndarray):
        return where(chosen, function(x), x)
    x[:, chosen] = function(x[:, chosen])
    return x


def complementary(second: Values) -> Values:
    """Return the probabilities (n, 2) of two classes, from those of the second (n,)."""
    if not isinstance(second, np.ndarray):
        import torch

        return torch.stack([1 - second, second], dim=1)
    both = np.empty((len(second), 2))
    both[:, 1] = second
    np.subtract(1, second, out=both[:, 0])
    return both
