"""Comparison of an exported file's predictions with the model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tabstudio.errors import ModelError
from tabstudio.model.predictor import Model
from tabstudio.table.schema import Column

Array = npt.NDArray[Any]
Rows = dict[str, list[Any]]
FileAnswer = tuple[Array | None, Array]
"""Labels (n,), None for a regression, and probabilities (n, classes) or values (n,)."""

TOLERANCE = 1e-5
"""The largest difference of a probability; of a value, in standard deviations of the training target."""
CHECKED_ROWS = 1000


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """The largest difference from the model's predictions, in the unit of `TOLERANCE`."""

    rows: int
    difference: float


def sample_rows(model: Model, count: int = CHECKED_ROWS) -> Rows:
    """Rows like those of training, and odd ones: missing and extreme numbers, unknown categories."""
    rng = np.random.default_rng(0)
    profiles = model.profile.get("columns", {})
    return {c.name: _cells(c, profiles.get(c.name, {}), count, rng) for c in model.schema.features}


def verify_answers(
    model: Model, rows: Rows, predict: Callable[[Rows], FileAnswer], what: str
) -> VerificationResult:
    """Compare a file's predictions with the model's, for one row, two and all of them.

    Raises `ModelError` where they differ by more than `TOLERANCE`, or in a label that is not a tie.
    """
    worst = 0.0
    total = len(next(iter(rows.values())))
    for count in (1, 2, total):
        some = {name: values[:count] for name, values in rows.items()}
        labels, numbers = predict(some)
        expected = _expected(model, some)
        worst = max(worst, _difference(model, numbers, expected))
        if not worst <= TOLERANCE:
            raise ModelError(
                f"{what}: its answers differ from the model's by {worst:.2g}, more than {TOLERANCE:.0e}, so "
                "it is not written; please report this with the model"
            )
        if labels is not None:
            _check_labels(model, labels, expected, what)
    return VerificationResult(total, worst)


def _expected(model: Model, rows: Rows) -> Array:
    return model.predict(rows) if model.target.task == "regression" else model.predict_proba(rows)


def _difference(model: Model, numbers: Array, expected: Array) -> float:
    if numbers.shape != expected.shape:
        return float("inf")
    unit = abs(model.head.target_scale) or 1.0 if model.target.task == "regression" else 1.0
    return float(np.abs(numbers - expected).max() / unit)


def _check_labels(model: Model, labels: Array, expected: Array, what: str) -> None:
    labels_expected = model.decide(expected)
    wrong = np.array(
        [str(a) != str(b) for a, b in zip(labels.tolist(), labels_expected.tolist(), strict=True)]
    )
    clear = wrong & (_margin(model, expected) > TOLERANCE)
    if clear.any():
        row = int(clear.argmax())
        raise ModelError(
            f"{what}: it says {labels[row]!r} where the model says {labels_expected[row]!r}: not written"
        )


def _margin(model: Model, probabilities: Array) -> Array:
    """Distance of each row's probability from that of another label."""
    if model.target.task == "binary":
        return np.abs(probabilities[:, model.positive] - model.head.least)
    ordered = np.sort(probabilities, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


def _cells(column: Column, profile: Mapping[str, Any], count: int, rng: np.random.Generator) -> list[Any]:
    if column.kind == "number":
        cells = _numbers(column, profile.get("quantiles") or [0.0, 1.0], count, rng)
    elif column.kind == "boolean":
        cells = (rng.random(count) < 0.5).tolist()
    elif column.kind == "date":
        days = np.datetime64("2000-01-01") + rng.integers(0, 9000, count)
        cells = days.astype(object).tolist()
    else:
        levels = [*profile.get("levels", {}), "a level that training never saw"]
        cells = [levels[i] for i in rng.integers(0, len(levels), count)]
    return [None if gap else cell for cell, gap in zip(cells, rng.random(count) < 0.05, strict=True)]


def _numbers(column: Column, quantiles: list[float], count: int, rng: np.random.Generator) -> list[object]:
    """Values of training, values between them and, every twentieth, far outside of them."""
    positions = rng.random(count) * (len(quantiles) - 1)
    positions[::2] = positions[::2].round()
    values = np.interp(positions, np.arange(len(quantiles)), quantiles)
    spread = quantiles[-1] - quantiles[0] or 1.0
    values[::20] += rng.normal(0, 10 * spread, len(values[::20]))
    return [int(v) for v in values.round()] if column.dtype == "Int64" else values.tolist()
