"""Losses per member and row: raw outputs (k, b, outputs) and labels (b,) or (k, b) -> (k, b)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from tabstudio.table.schema import Task

TINY = 1e-12
"""Stands for the sum of weights where a member holds out the whole batch: its loss is then zero."""


def loss(raw: Tensor, labels: Tensor, task: Task, smoothing: float = 0.0) -> Tensor:
    """Binary: cross-entropy with logits; multiclass: cross-entropy; regression: squared error.

    Labels are float32 for binary and regression, int64 for multiclass. `smoothing` moves that share of each
    label evenly to all classes (Szegedy et al. 2016).
    """
    if task == "multiclass":
        wanted = labels.expand(raw.shape[:2]).reshape(-1)
        rows = functional.cross_entropy(
            raw.flatten(0, 1), wanted, reduction="none", label_smoothing=smoothing
        )
        return rows.view(raw.shape[:2])
    raw = raw.squeeze(-1)
    wanted = labels.expand(raw.shape)
    if task == "regression":
        return (raw - wanted).square()
    if smoothing:
        wanted = wanted * (1.0 - smoothing) + 0.5 * smoothing
    return functional.binary_cross_entropy_with_logits(raw, wanted, reduction="none")


def mean_per_member(losses: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over rows: (k, b), (k, b) -> (k,). A member whose weights are all zero gets zero."""
    return (losses * weights).sum(-1) / weights.sum(-1).clamp_min(TINY)
