"""One network that imitates an ensemble, for cheap serving.

Source: Bucila, Caruana and Niculescu-Mizil, "Model compression" (KDD 2006); Hinton, Vinyals and Dean,
"Distilling the knowledge in a neural network" (2015).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tabstudio.recipes.fit import FittedModel, NetworkFactory, assemble_model
from tabstudio.recipes.labeled_rows import LabeledRows

if TYPE_CHECKING:
    from tabstudio.options import TrainConfig
    from tabstudio.training.trainer import TrainingOutcome


def distil(
    fitted: FittedModel, rows: LabeledRows, config: TrainConfig, network: NetworkFactory | None = None
) -> FittedModel:
    """A model of one network that has learned the answers of the ensemble for the training rows.

    A row's answer is that of the members that had not seen it, so that the network learns what the ensemble
    knows, not what it remembers. The rows of the first fold are held out of this training too: they end it
    in time, calibrate it and choose its threshold, by their true labels.
    """
    from tabstudio.training.data import TrainingRows
    from tabstudio.training.trainer import train_members

    encoder = fitted.model.encoder
    inputs = encoder.encode(rows.frame)
    answers = np.array(fitted.model.predict_inputs(inputs))
    answers[fitted.validated] = fitted.validation
    rows = replace(rows, fold=np.where(rows.fold == 0, 0, -1).astype(np.int16))
    outcome = train_members(
        TrainingRows(inputs, answers, rows.fold, rows.target, encoder.cardinalities),
        network or config.network,
        replace(config.training, members=1, label_smoothing=0.0, balance=False, minutes=None),
    )
    outcome = replace(outcome, decided=fitted.outcome.decided, stopped=_ended(fitted, outcome))
    student = assemble_model(rows, config, encoder, outcome, np.ones(1))
    student.model.profile = fitted.model.profile
    teacher = f"one network that imitates {len(fitted.model.pack)}"
    return replace(student, notes=(*fitted.notes, teacher))


def _ended(teacher: FittedModel, outcome: TrainingOutcome) -> str:
    """Return what has ended the training: the clock, where it has ended that of the ensemble."""
    return "minutes" if teacher.outcome.stopped == "minutes" else outcome.stopped
