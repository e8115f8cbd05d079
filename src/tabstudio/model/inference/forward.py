"""The members' forward pass: raw outputs of encoded rows.

A kind of member is known here by a function that makes a `Forward` of what a bundle holds of it. Networks are
a few NumPy operations, for answers without torch: no import of a second, no autograd.

`mlp` and `tabular` packs are folded once, when a model is loaded: constants into weights, a scaling layer
into the layer behind it, one-hot codes into a lookup of that layer's rows, the members' shared first product
into one wide product. The sums are then taken in another order than torch takes them, so raw outputs differ
in the last bits of float32: probabilities lie within 1e-6 of `Model.predict_proba` (tested on every network
that training makes). Every other pack is run by torch itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tabstudio.model.inference.arrays import Array
from tabstudio.model.inference.network_inputs import NumberBins, bend, number_bins, split_by_size

if TYPE_CHECKING:
    from tabstudio.model.networks import Pack

Forward = Callable[[Array, Array], Array]
"""numbers float32 (n, d), codes int64 (n, c) -> raw outputs (k, n, outputs) of k members."""

ROWS = 512
"""Rows that go through at a time: what lies between two layers stays in the processor's cache."""


def compiled(spec: Mapping[str, Any], tensors: Mapping[str, Array]) -> Forward | None:
    """Fold a pack's tensors, as `Pack.state_dict` names them; None for a network that is not known here.

    `spec` is `Pack.description()`. A network of the name but with other tensors is not known either.
    """
    make = _COMPILERS.get(spec.get("name", ""))
    if make is None or spec.get("own_hidden") or spec["config"]["activation"] not in _ACTIVATIONS:
        return None
    left = dict(tensors)
    try:
        forward = make(spec, left)
    except KeyError:
        return None
    return None if left else forward


def by_torch(pack: Pack) -> Forward:
    """Let torch run a network for which there is nothing faster."""
    import torch

    pack.eval()

    def forward(numbers: Array, codes: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(pack(torch.from_numpy(numbers), torch.from_numpy(codes)))

    return forward


def _mlp(spec: Mapping[str, Any], tensors: dict[str, Array]) -> Forward:
    cardinalities = spec["cardinalities"]
    layers = _layers(tensors, [f"layers.{i}" for i in range(len(spec["config"]["hidden"]) + 1)])
    lookups = _lookups(layers[0][0][:, spec["numbers"] :], range(len(cardinalities)), cardinalities)
    return _forward(spec, layers, spec["numbers"], lookups, None)


def _tabular(spec: Mapping[str, Any], tensors: dict[str, Array]) -> Forward:
    cardinalities = spec["cardinalities"]
    few, many = split_by_size(cardinalities)
    layers = _layers(tensors, [*(f"layers.{i}" for i in range(len(spec["config"]["hidden"]))), "last"])
    weight = layers[0][0] * tensors.pop("scale.factor")[:, :, None]
    layers[0] = weight, layers[0][1]
    bins = number_bins(spec["edges"])
    plain = spec["numbers"] + (len(bins.columns) if bins else 0)
    hot = sum(cardinalities[i] for i in few)
    lookups = _lookups(weight[:, plain : plain + hot], few, [cardinalities[i] for i in few])
    if many:
        rows = weight[:, plain + hot :]
        lookups += _embedded(tensors.pop("embedding.table"), rows, many, [cardinalities[i] for i in many])
    return _forward(spec, layers, plain, lookups, bins)


Layers = list[tuple[Array, Array]]


def _layers(tensors: dict[str, Array], names: Sequence[str]) -> Layers:
    return [(tensors.pop(f"{name}.weight"), tensors.pop(f"{name}.bias")) for name in names]


def _forward(
    spec: Mapping[str, Any], layers: Layers, plain: int, lookups: Lookups, bins: NumberBins | None
) -> Forward:
    """The network of these layers, whose first one takes `plain` inputs beside what the lookups add."""
    (weight, bias), *rest = layers
    first = _Entry(weight[:, :plain], bias)
    others = [(weight, bias[:, None, :]) for weight, bias in rest]
    activation = _ACTIVATIONS[spec["config"]["activation"]]

    def forward(x: Array, codes: Array) -> Array:
        x = first(_with_bins(x, bins) if bins else x, _looked_up(lookups, codes))
        for weight, bias in others:
            x = np.matmul(activation(x), weight)
            x += bias
        return x

    return forward


class _Entry:
    """The first layer: numbers (n, d) that the members share, and what the codes contribute."""

    def __init__(self, weight: Array, bias: Array) -> None:
        self.members, self.inputs, self.outputs = weight.shape
        wide = weight.transpose(1, 0, 2).reshape(self.inputs, self.members * self.outputs)
        self.weight = np.ascontiguousarray(wide)
        self.bias = np.ascontiguousarray(bias.reshape(-1))

    def __call__(self, x: Array, codes: Array | None) -> Array:
        x = np.matmul(x, self.weight)
        x += self.bias
        x = x.reshape(len(x), self.members, self.outputs).transpose(1, 0, 2)
        x = np.ascontiguousarray(x)
        if codes is not None:
            x += codes
        return x


def _with_bins(x: Array, bins: NumberBins) -> Array:
    """Return numbers (n, d) with their bins behind them."""
    columns, *shape = bins
    return np.concatenate([x, bend(x[:, columns], *shape)], axis=1)


Lookups = list[tuple[int, Array]]


def _lookups(weight: Array, places: Sequence[int], cardinalities: Sequence[int]) -> Lookups:
    """For each column of codes its place and (k, levels, outputs): what a level adds to the first layer."""
    ends = np.cumsum([0, *cardinalities])
    parts = (weight[:, start:end] for start, end in pairwise(ends))
    return [(index, np.ascontiguousarray(part)) for index, part in zip(places, parts, strict=True)]


def _embedded(table: Array, weight: Array, places: Sequence[int], cardinalities: Sequence[int]) -> Lookups:
    """The same for columns whose levels have vectors: table (k, all levels, width), already multiplied."""
    width = table.shape[2]
    ends = np.cumsum([0, *cardinalities])
    return [
        (index, np.matmul(table[:, ends[i] : ends[i + 1]], weight[:, i * width : (i + 1) * width]))
        for i, index in enumerate(places)
    ]


def _looked_up(lookups: Lookups, codes: Array) -> Array | None:
    total: Array | None = None
    for index, levels in lookups:
        vectors = levels[:, codes[:, index]]
        if total is None:
            total = vectors
        else:
            total += vectors
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
_COMPILERS: Mapping[str, Callable[[Mapping[str, object], dict[str, Array]], Forward]] = {
    "mlp": _mlp,
    "tabular": _tabular,
}
