"""Which rows two models answer differently, and who is right about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tabstudio.evaluation.evaluate import decide
from tabstudio.table.schema import Label, Target

if TYPE_CHECKING:
    from tabstudio.table.table import Labels

MOST_ROWS = 200
"""Rows that are told one by one."""

Answer = Label | float


@dataclass(frozen=True, slots=True)
class Flip:
    """A row that two models answer differently.

    `number` is its place in the table, counted from 1. `sure` holds what each model gives its own answer:
    probabilities, or nothing of a regression. `right` names the model that is right, or nearer.
    """

    number: int
    label: Answer
    first: Answer
    second: Answer
    sure: tuple[float, float] | None
    right: str


@dataclass(frozen=True, slots=True)
class Flips:
    """How often two models are right, and the rows on which they part, the widest apart first.

    Of a regression, `only_first` counts rows where the first is nearer to the label, `only_second` where the
    second is, `both` where they are equally near. `rows` holds at most `MOST_ROWS`, `count` all of them.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    count: int
    rows: tuple[Flip, ...]


def flips(
    target: Target,
    labels: Labels,
    first: npt.NDArray[np.float64],
    second: npt.NDArray[np.float64],
    numbers: npt.NDArray[np.int64],
    thresholds: tuple[float | None, float | None] = (None, None),
) -> Flips:
    """Find the rows that two predictions answer differently; arguments are as `compare` takes them.

    `numbers` (n,) are the rows' places in their table, counted from 0.
    """
    if target.task == "regression":
        return _apart(labels, first, second, numbers)
    decided = [decide(target, p, t) for p, t in zip((first, second), thresholds, strict=True)]
    right = [answer == labels for answer in decided]
    parted = np.flatnonzero(decided[0] != decided[1])
    width = np.abs(first - second).max(axis=1)[parted]
    shown = parted[np.argsort(-width, kind="stable")][:MOST_ROWS]
    rows = [
        Flip(
            int(numbers[row]) + 1,
            target.classes[labels[row]],
            target.classes[decided[0][row]],
            target.classes[decided[1][row]],
            (float(first[row, decided[0][row]]), float(second[row, decided[1][row]])),
            "first" if right[0][row] else ("second" if right[1][row] else "neither"),
        )
        for row in shown
    ]
    both, only_first, only_second, neither = (
        int(part.sum())
        for part in (
            right[0] & right[1],
            right[0] & ~right[1],
            ~right[0] & right[1],
            ~right[0] & ~right[1],
        )
    )
    return Flips(both, only_first, only_second, neither, len(parted), tuple(rows))


def _apart(
    labels: Labels,
    first: npt.NDArray[np.float64],
    second: npt.NDArray[np.float64],
    numbers: npt.NDArray[np.int64],
) -> Flips:
    errors = np.abs(first - labels), np.abs(second - labels)
    nearer = np.sign(errors[1] - errors[0])
    shown = np.argsort(-np.abs(first - second), kind="stable")[:MOST_ROWS]
    shown = shown[first[shown] != second[shown]]
    names = {1: "first", -1: "second", 0: "neither"}
    rows = [
        Flip(
            int(numbers[row]) + 1,
            float(labels[row]),
            float(first[row]),
            float(second[row]),
            None,
            names[int(nearer[row])],
        )
        for row in shown
    ]
    equal, mine, other = (int((nearer == sign).sum()) for sign in (0, 1, -1))
    return Flips(equal, mine, other, 0, int((first != second).sum()), tuple(rows))
