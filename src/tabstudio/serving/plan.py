"""The network as a few NumPy operations, for answers without torch: no import of a second, no autograd.

`mlp` and `tabular` packs are folded once, when a model is loaded: constants into weights, a scaling layer
into the layer behind it, one-hot codes into a lookup of that layer's rows, the members' shared first product
into one wide product. The sums are then taken in another order than torch takes them, so raw outputs differ
in the last bits of float32: probabilities lie within 1e-6 of `Model.predict_proba` (tested on every network
that training makes). Any other pack is run by torch itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Forward = Callable[[Array, Array], Array]
"""numbers float32 (n, d), codes int64 (n, c) -> raw outputs float32 (k, n, outputs)."""

ROWS = 512
"""Rows that go through at a time: what lies between two layers stays in the processor's cache."""
_BIAS_RATE, _SCALE_RATE, _MAX_ONE_HOT = np.float32(0.1), np.float32(6.0), 9


def compiled(spec: Mapping[str, Any], tensors: Mapping[str, Array]) -> Forward | None:
    """Fold a pack's tensors, as `Pack.state_dict` names them; None for a network that is not known here.

    `spec` is `Pack.description()`. A network of the name but with other tensors is not known either.
    """
    make = {"mlp": _mlp, "tabular": _tabular}.get(spec.get("name", ""))
    if make is None or spec.get("own_hidden") or spec["config"]["activation"] not in _ACTIVATIONS:
        return None
    left = dict(tensors)
    try:
        forward = make(spec, left)
    except KeyError:
        return None
    return None if left else forward


def _mlp(spec: Mapping[str, Any], tensors: dict[str, Array]) -> Forward:
    numbers, cardinalities = spec["numbers"], spec["cardinalities"]
    weights = [tensors.pop(f"layers.{i}.weight") for i in range(len(spec["config"]["hidden"]) + 1)]
    biases = [tensors.pop(f"layers.{i}.bias") for i in range(len(weights))]
    activation = _ACTIVATIONS[spec["config"]["activation"]]
    first = _Entry(weights[0][:, :numbers], biases[0])
    lookups = _lookups(weights[0][:, numbers:], range(len(cardinalities)), cardinalities)
    layers = list(zip(weights[1:], (bias[:, None, :] for bias in biases[1:]), strict=True))

    def forward(x: Array, codes: Array) -> Array:
        x = first(x, _looked_up(lookups, codes))
        for weight, bias in layers:
            x = np.matmul(activation(x), weight)
            x += bias
        return x

    return forward


def _tabular(spec: Mapping[str, Any], tensors: dict[str, Array]) -> Forward:
    hidden, cardinalities = spec["config"]["hidden"], spec["cardinalities"]
    few = [i for i, n in enumerate(cardinalities) if n <= _MAX_ONE_HOT]
    many = [i for i, n in enumerate(cardinalities) if n > _MAX_ONE_HOT]
    waves = _Waves(tensors) if "periodic.frequency" in tensors else None
    names = [*(f"layers.{i}" for i in range(len(hidden))), "last"]
    factor = _SCALE_RATE * tensors.pop("scale.factor") + np.float32(1)
    layers = [_ntk(tensors.pop(f"{name}.weight"), tensors.pop(f"{name}.bias")) for name in names]
    blends = [_BIAS_RATE * tensors.pop(f"activations.{i}.blend") + np.float32(1) for i in range(len(hidden))]
    weight, bias = layers[0]
    weight = weight * factor[:, :, None]
    plain = spec["numbers"] * (waves.width if waves else 1)
    hot = sum(cardinalities[i] for i in few)
    lookups = _lookups(weight[:, plain : plain + hot], few, [cardinalities[i] for i in few])
    if many:
        rows = weight[:, plain + hot :]
        lookups += _embedded(tensors.pop("embedding.table"), rows, many, [cardinalities[i] for i in many])
    first = _Entry(weight[:, :plain], bias, shared=waves is None)
    activation = _ACTIVATIONS[spec["config"]["activation"]]
    rest = [(w, b[:, None, :], a[:, None, :]) for (w, b), a in zip(layers[1:], blends, strict=True)]

    def forward(x: Array, codes: Array) -> Array:
        x = first(waves(x) if waves else x, _looked_up(lookups, codes))
        for weight, bias, blend in rest:
            active = activation(x)
            active -= x
            active *= blend
            active += x
            x = np.matmul(active, weight)
            x += bias
        return x

    return forward


class _Entry:
    """The first layer: numbers (n, d) that members share, or (k, n, d), and what the codes contribute."""

    def __init__(self, weight: Array, bias: Array, shared: bool = True) -> None:
        self.members, self.inputs, self.outputs = weight.shape
        wide = weight.transpose(1, 0, 2).reshape(self.inputs, self.members * self.outputs)
        self.weight = np.ascontiguousarray(wide if shared else weight)
        self.bias = np.ascontiguousarray(bias.reshape(-1) if shared else bias[:, None, :])
        self.shared = shared

    def __call__(self, x: Array, codes: Array | None) -> Array:
        x = np.matmul(x, self.weight)
        x += self.bias
        if self.shared:
            x = x.reshape(len(x), self.members, self.outputs).transpose(1, 0, 2)
            x = np.ascontiguousarray(x)
        if codes is not None:
            x += codes
        return x


class _Waves:
    """Numbers (n, d) as learned waves (k, n, d * width); see `PeriodicEmbedding`."""

    def __init__(self, tensors: dict[str, Array]) -> None:
        self.frequency = _BIAS_RATE * tensors.pop("periodic.frequency")
        self.phase = _BIAS_RATE * tensors.pop("periodic.phase")
        self.weight = _BIAS_RATE * tensors.pop("periodic.weight")
        self.bias = _BIAS_RATE * tensors.pop("periodic.bias")
        self.width = 1 + self.weight.shape[-1]

    def __call__(self, x: Array) -> Array:
        columns = x.T[:, :, None]
        waves = columns * self.frequency
        waves += self.phase
        np.cos(waves, out=waves)
        k, d, n, _ = waves.shape
        whole = np.empty((k, n, d, self.width), np.float32)
        whole[..., 0] = x
        mixed = np.matmul(waves, self.weight)
        mixed += self.bias
        whole[..., 1:] = mixed.transpose(0, 2, 1, 3)
        return whole.reshape(k, n, d * self.width)


def _ntk(weight: Array, bias: Array) -> tuple[Array, Array]:
    return weight * np.float32(1 / math.sqrt(max(weight.shape[1], 1))), bias * _BIAS_RATE


Lookups = list[tuple[int, Array]]


def _lookups(weight: Array, places: Sequence[int], cardinalities: Sequence[int]) -> Lookups:
    """For each column of codes its place and (k, levels, outputs): what a level adds to the first layer."""
    ends = np.cumsum([0, *cardinalities])
    parts = (weight[:, start:end] for start, end in pairwise(ends))
    return [(place, np.ascontiguousarray(part)) for place, part in zip(places, parts, strict=True)]


def _embedded(table: Array, weight: Array, places: Sequence[int], cardinalities: Sequence[int]) -> Lookups:
    """The same for columns whose levels have vectors: table (k, all levels, width), already multiplied."""
    width = table.shape[2]
    ends = np.cumsum([0, *cardinalities])
    return [
        (place, np.matmul(table[:, ends[i] : ends[i + 1]], weight[:, i * width : (i + 1) * width]))
        for i, place in enumerate(places)
    ]


def _looked_up(lookups: Lookups, codes: Array) -> Array | None:
    total: Array | None = None
    for place, levels in lookups:
        found = levels[:, codes[:, place]]
        if total is None:
            total = found
        else:
            total += found
    return total


def _silu(x: Array) -> Array:
    y = np.exp(-x)
    y += np.float32(1)
    return np.divide(x, y, out=y)


def _gelu(x: Array) -> Array:
    from scipy.special import erf

    return np.asarray(x * np.float32(0.5) * (np.float32(1) + erf(x * np.float32(math.sqrt(0.5)))))


def _selu(x: Array) -> Array:
    scale, alpha = np.float32(1.0507009873554805), np.float32(1.6732632423543772)
    return np.asarray(scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, np.float32(0)))))


def _mish(x: Array) -> Array:
    return np.asarray(x * np.tanh(np.logaddexp(x, np.float32(0))))


def _relu(x: Array) -> Array:
    return np.asarray(np.maximum(x, np.float32(0)))


def _tanh(x: Array) -> Array:
    return np.asarray(np.tanh(x))


_ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "relu": _relu,
    "gelu": _gelu,
    "selu": _selu,
    "silu": _silu,
    "tanh": _tanh,
    "mish": _mish,
}
