"""Which columns a model relies on, asked of the members on rows that each has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tabstudio.recipes.fit import FittedModel, as_prediction

if TYPE_CHECKING:
    from tabstudio.evaluation import Importance
    from tabstudio.table import Table


def importance_of(fitted: FittedModel, table: Table, fold: np.ndarray) -> Importance:
    """Permutation importance on held-out rows, each predicted by the members that held it out.

    `table` are the rows of the training, `fold` (rows,) their folds.
    """
    from tabstudio.evaluation import importance

    held, fold = table.take(fitted.validated), fold[fitted.validated]
    columns = [column.name for column in table.schema.features]

    def predict(frame: pl.DataFrame, rows: np.ndarray) -> np.ndarray:
        return _by_held_out(fitted, frame, fold[rows])

    return importance(columns, held.frame, held.labels(), predict, fitted.model.target)


def _by_held_out(fitted: FittedModel, frame: pl.DataFrame, fold: np.ndarray) -> np.ndarray:
    """Predict rows of these folds by the members that have not seen them."""
    import torch

    model, learned = fitted.model, fitted.learned
    mask = fold == (np.arange(len(model.pack)) % fitted.folds)[:, None]
    own = np.ones(len(model.pack)) if model.weights is None else np.asarray(model.weights)
    weights = mask * own[:, None]
    weights = (weights / weights.sum(axis=0, keepdims=True))[:, :, None]
    inputs = model.encoder.encode(frame)
    with torch.inference_mode():
        raw = model.pack(inputs.numbers, inputs.codes).numpy()
    held = (raw * weights).sum(axis=0)
    mean, scale = learned.target_mean, learned.target_scale
    return as_prediction(held, model.target, model.temperature, mean, scale, model.curve)
