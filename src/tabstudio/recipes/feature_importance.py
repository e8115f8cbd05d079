"""Feature importance, measured for each member on its held-out rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabstudio.model.inference.forward import by_torch
from tabstudio.recipes.fit import FittedModel
from tabstudio.recipes.labeled_rows import LabeledRows

if TYPE_CHECKING:
    from tabstudio.evaluation import Importance


def importance_of(fitted: FittedModel, rows: LabeledRows) -> Importance:
    """Return the permutation importance on held-out rows, each predicted by the members that held it out."""
    from tabstudio.evaluation import importance

    held, fold = rows.frame[fitted.validated], rows.fold[fitted.validated]
    columns = [column.name for column in rows.schema.features]

    def predict(frame: pl.DataFrame, places: np.ndarray) -> np.ndarray:
        return _by_held_out(fitted, frame, fold[places])

    return importance(columns, held, rows.labels[fitted.validated], predict, rows.target)


def _by_held_out(fitted: FittedModel, frame: pl.DataFrame, fold: np.ndarray) -> np.ndarray:
    """Predict rows of these folds by the members that were not trained on them."""
    model = fitted.model
    head = model.head
    mask = fold == (np.arange(len(model.pack)) % fitted.folds)[:, None]
    own = np.ones(len(model.pack)) if head.weights is None else np.asarray(head.weights)
    weights = mask * own[:, None]
    weights = (weights / weights.sum(axis=0, keepdims=True))[:, :, None]
    inputs = model.encoder.encode(frame)
    raw = by_torch(model.pack)(inputs.numbers, inputs.codes)
    return head.of_mean((raw * weights).sum(axis=0))
