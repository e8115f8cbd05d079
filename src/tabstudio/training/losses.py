"""Losses per member and row: raw outputs (k, b, outputs) and labels (b,) or (k, b) -> (k, b)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tabstudio.table.schema import Task

TINY = 1e-12
"""Stands for the sum of weights where a member holds out the whole batch: its loss is then zero."""


def loss(raw: Tensor, labels: Tensor, task: Task, smoothing: Sequence[float] = (0.0,)) -> Tensor:
    """Binary: cross-entropy with logits; multiclass: cross-entropy; regression: squared error.

    Labels are float32 for binary and regression, for multiclass int64 or float32 probabilities with a
    further axis of classes. `smoothing`, one figure for all
    members or one for each, moves that share of each label evenly to all classes (Szegedy et al. 2016).
    """
    if task == "multiclass":
        if labels.is_floating_point():
            rows = -(functional.log_softmax(raw, dim=-1) * labels).sum(-1)
        else:
            wanted = labels.expand(raw.shape[:2]).reshape(-1)
            rows = functional.cross_entropy(raw.flatten(0, 1), wanted, reduction="none").view(raw.shape[:2])
        if not any(smoothing):
            return rows
        share = _column(smoothing, raw)
        evenly = raw.logsumexp(-1) - raw.mean(-1)
        return rows * (1.0 - share) + evenly * share
    raw = raw.squeeze(-1)
    wanted = labels.expand(raw.shape)
    if task == "regression":
        return (raw - wanted).square()
    if any(smoothing):
        share = _column(smoothing, raw)
        wanted = wanted * (1.0 - share) + 0.5 * share
    return functional.binary_cross_entropy_with_logits(raw, wanted, reduction="none")


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """One figure per member, or one for all, as (k, 1) or (1, 1)."""
    alike = len(set(values)) == 1
    return torch.tensor(values[:1] if alike else values, device=like.device).unsqueeze(1)


def mean_per_member(losses: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over rows: (k, b), (k, b) -> (k,). A member whose weights are all zero gets zero."""
    return (losses * weights).sum(-1) / weights.sum(-1).clamp_min(TINY)
