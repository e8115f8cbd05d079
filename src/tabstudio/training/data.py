"""The rows of a training as tensors that lie in memory, and who holds out which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tabstudio.errors import ConfigError
from tabstudio.model.quantile_bins import Edges, quantile_edges
from tabstudio.table.schema import Target, Task

if TYPE_CHECKING:
    from tabstudio.model.encoder import EncodedRows
    from tabstudio.training.plan import TrainingPlan


SMALL = 2000
"""Tables of fewer training rows are small: they want dropout."""
ROWS_PER_BIN, FEWEST_BINS, MOST_BINS = 100, 4, 32
"""A number has a bin for every so many training rows, and no fewer or more bins than these."""
MOST_BINNED = 200
"""Tables of more number columns get no bins: these would cost more than they bring."""


@dataclass(frozen=True)
class TrainingRows:
    """What trainings train on, before it is tensors of one of them.

    `labels` (n,) are indices into the target's classes, or values; (n, classes) are probabilities to be
    imitated. `fold` (n,) names the fold that holds a row out, -1 for rows that are always trained on.
    `cardinalities` are the numbers of codes of the columns of `inputs.codes`.
    """

    inputs: EncodedRows
    labels: np.ndarray
    fold: np.ndarray
    target: Target
    cardinalities: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        width = self.inputs.codes.shape[1]
        if len(self.cardinalities) != width:
            raise ConfigError(
                f"one cardinality for each of {width} columns of codes was expected, got "
                f"{len(self.cardinalities)}: hand over cardinalities=encoder.cardinalities"
            )

    @property
    def folds(self) -> int:
        """Number of folds."""
        return int(self.fold.max(initial=-1)) + 1

    @property
    def trained(self) -> int:
        """Number of rows that some member trains on."""
        return int((self.fold < 0).sum()) if self.folds == 1 else len(self.fold)

    @cached_property
    def edges(self) -> Edges:
        """Edges of the bins of each number but topics, learned from the rows that some member trains on."""
        numbers = self.inputs.numbers
        measured = np.setdiff1d(np.arange(numbers.shape[1]), self.inputs.topics)
        if len(measured) > MOST_BINNED:
            return ()
        training_numbers = numbers[self.fold < 0] if self.folds == 1 else numbers
        bins = min(max(len(training_numbers) // ROWS_PER_BIN, FEWEST_BINS), MOST_BINS)
        edges = dict(zip(measured.tolist(), quantile_edges(training_numbers[:, measured], bins), strict=True))
        return tuple(edges.get(column, ()) for column in range(numbers.shape[1]))

    def data(self, plan: TrainingPlan) -> TrainingTensors:
        """Tensors of a training by this plan, on its device."""
        held = held_out(self.fold, plan.members)
        return assemble(
            self.inputs,
            self.labels,
            held,
            self.target,
            balance=plan.balance,
            device=torch.device(plan.device),
        )


@dataclass(frozen=True, slots=True)
class TrainingTensors:
    """What k members train and validate on.

    numbers (n, d), codes (n, c), labels (n,): float32, for multiclass int64 or, where each row is given
    a distribution, float32 (n, classes); a regression's are standardised by `target_mean` and
    `target_scale`. weights (k, n): a row's weight in a member's loss, 0 where the member holds it out.
    trained (t,): the rows that some member trains on, ascending. held (k, r): the rows that each member
    holds out, filled up with row 0 where `held_weights` (k, r) is 0; r is 0 where nobody holds out
    anything.
    """

    task: Task
    numbers: Tensor
    codes: Tensor
    labels: Tensor
    weights: Tensor
    trained: Tensor
    held: Tensor
    held_weights: Tensor
    target_mean: float = 0.0
    target_scale: float = 1.0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def members(self) -> int:
        """Number k of members."""
        return len(self.weights)

    def members_at(self, places: Sequence[int]) -> TrainingTensors:
        """The same rows for some of the members. Batches stay what they are: `trained` is that of all."""
        at = list(places)
        return replace(self, weights=self.weights[at], held=self.held[at], held_weights=self.held_weights[at])


def assemble(
    inputs: EncodedRows,
    labels: np.ndarray,
    held_by: np.ndarray,
    target: Target,
    *,
    balance: bool = False,
    device: torch.device | None = None,
) -> TrainingTensors:
    """Tensors of a training on `device`.

    `labels` (n,) are class numbers or values, or (n, classes) probabilities. `held_by` (k, n) is True where a
    member holds a row out. `balance` weighs each class by the inverse of its
    share of the training rows.
    """
    weights = (~held_by).astype(np.float32)
    trained = np.flatnonzero(~held_by.all(axis=0))
    if balance and labels.ndim == 1 and target.task != "regression":
        counts = np.bincount(labels[trained].astype(np.int64), minlength=max(len(target.classes), 2))
        share = counts / counts.sum()
        present = np.count_nonzero(counts)
        weights *= (1.0 / np.where(share > 0, present * share, 1.0)).astype(np.float32)[
            labels.astype(np.int64)
        ]
    mean, scale = _moments(labels[trained]) if target.task == "regression" else (0.0, 1.0)
    wanted = _wanted(labels, target, mean, scale)
    held, held_weights = _ragged(held_by)
    return TrainingTensors(
        task=target.task,
        numbers=torch.from_numpy(inputs.numbers).to(device),
        codes=torch.from_numpy(inputs.codes).to(device),
        labels=torch.from_numpy(wanted).to(device),
        weights=torch.from_numpy(weights).to(device),
        trained=torch.from_numpy(trained).to(device),
        held=torch.from_numpy(held).to(device),
        held_weights=torch.from_numpy(held_weights).to(device),
        target_mean=mean,
        target_scale=scale,
    )


def held_out(fold: np.ndarray, members: int) -> np.ndarray:
    """Who holds out what: member m holds out the rows of fold m modulo the number of folds. (k, n) bool.

    Rows of fold -1 are held out by nobody.
    """
    folds = int(fold.max(initial=-1)) + 1
    if folds == 0:
        return np.zeros((members, len(fold)), dtype=bool)
    return np.asarray(fold[None, :] == (np.arange(members) % folds)[:, None])


def _wanted(labels: np.ndarray, target: Target, mean: float, scale: float) -> np.ndarray:
    """What the loss compares raw outputs with."""
    if target.task == "multiclass":
        return labels.astype(np.float32 if labels.ndim == 2 else np.int64)
    if labels.ndim == 2:
        return labels[:, 1].astype(np.float32)
    return ((labels - mean) / scale).astype(np.float32)


def _moments(labels: np.ndarray) -> tuple[float, float]:
    mean, scale = float(labels.mean()), float(labels.std())
    return mean, scale if scale > 0 else 1.0


def _ragged(held_by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = held_by.sum(axis=1)
    width = int(counts.max(initial=0))
    held = np.zeros((len(held_by), width), dtype=np.int64)
    weights = np.zeros((len(held_by), width), dtype=np.float32)
    for m, count in enumerate(counts):
        held[m, :count] = np.flatnonzero(held_by[m])
        weights[m, :count] = 1.0
    return held, weights
