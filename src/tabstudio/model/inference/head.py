"""From the members' raw outputs to probabilities, values and labels: the same for every kind of member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np

from tabstudio.model.inference.arrays import Array, Values, as_double, complementary, sigmoid, softmax
from tabstudio.model.inference.calibration_curve import CalibrationCurve
from tabstudio.table.schema import Label, Target


@dataclass(frozen=True)
class OutputHead:
    """What makes answers of raw outputs (k, n, outputs), arrays or tensors, of k members.

    Raw outputs are logits, one of two classes that of the second; of a regression they are standardised
    values, which `target_scale` and `target_mean` bring back. Logits are divided by the `temperature`, the
    members' probabilities averaged by `weights` (k,), which sum to 1, or alike where there are none; the mean
    of two classes goes through the `curve`, where there is one. `threshold` is the probability of the
    positive class from which on a row is called positive (binary tasks; None is one half).
    """

    target: Target
    weights: tuple[float, ...] | None = None
    temperature: float = 1.0
    curve: CalibrationCurve | None = None
    threshold: float | None = None
    target_mean: float = 0.0
    target_scale: float = 1.0

    def answers(self, raw: Values) -> Values:
        """Return probabilities (n, classes), or a regression's values (n,), float64."""
        raw = as_double(raw)
        if self.target.task == "regression":
            values: Values = self._mean(raw[:, :, 0]) * self.target_scale + self.target_mean
            return values
        logits = raw / self.temperature
        if self.target.task == "multiclass":
            return self._mean(softmax(logits))
        second = self._mean(sigmoid(logits[:, :, 0]))
        return complementary(second if self.curve is None else self.curve.apply(second))

    def of_mean(self, raw: Values) -> Values:
        """Return the answers to raw outputs (n, outputs) that are a mean over members already."""
        return replace(self, weights=None).answers(raw[None])

    def class_numbers(self, probabilities: Values) -> Values:
        """Return the numbers (n,) of the classes that rows are given: by threshold, or the most probable."""
        if self.target.task != "binary":
            best: Values = probabilities.argmax(1)
            return best
        chosen = (probabilities[:, self.positive] >= self.least) * 1
        numbers: Values = chosen if self.positive else 1 - chosen
        return numbers

    def labels(self, answers: Array) -> Array:
        """Return labels (n,) of probabilities (n, classes). Values stay as they are."""
        if self.target.task == "regression":
            return answers
        labels: Array = _label_array(self.target.classes)[self.class_numbers(answers)]
        return labels

    @property
    def positive(self) -> int:
        """Number of the positive class among the two of a binary task."""
        return 1 if self.target.positive is None else self.target.classes.index(self.target.positive)

    @property
    def least(self) -> float:
        """Probability of the positive class from which on a row is called positive."""
        return 0.5 if self.threshold is None else self.threshold

    def _mean(self, outputs: Values) -> Values:
        """Average over the members (k, ...)."""
        if self.weights is None:
            mean: Values = outputs.mean(0)
            return mean
        # member by member: a product of matrices would add up in an order that depends on the rows beside
        total: Values = outputs[0] * self.weights[0]
        for member, weight in zip(outputs[1:], self.weights[1:], strict=True):
            total = total + member * weight
        return total

    def to_json(self) -> dict[str, object]:
        """Return all but the target, as plain data."""
        fields = {name: getattr(self, name) for name in _STORED}
        return fields | {"curve": None if self.curve is None else asdict(self.curve)}

    @classmethod
    def from_json(cls, target: Target, data: Mapping[str, Any]) -> Self:
        """Return the head that `to_json` wrote. Models of old have neither weights nor a curve."""
        curve, weights = data.get("curve"), data.get("weights")
        return cls(
            target,
            _as_weights(weights),
            data["temperature"],
            None if curve is None else CalibrationCurve.from_json(curve),
            data["threshold"],
            data["target_mean"],
            data["target_scale"],
        )


_STORED = ("weights", "temperature", "curve", "threshold", "target_mean", "target_scale")


def _as_weights(weights: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if weights is None else tuple(float(weight) for weight in weights)


def _label_array(labels: tuple[Label, ...]) -> Array:
    """Return labels in their own type; labels of several types stay Python objects."""
    return _array_of(labels, tuple(type(label) for label in labels))


@lru_cache(maxsize=64)
def _array_of(labels: tuple[Label, ...], types: tuple[type, ...]) -> Array:
    # The types belong to the key: (0, 1) and (False, True) are equal.
    if len(set(types)) == 1:
        return np.asarray(labels)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array
