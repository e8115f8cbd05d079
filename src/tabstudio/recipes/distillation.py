"""One network that imitates an ensemble, for cheap serving.

Source: Bucila, Caruana and Niculescu-Mizil, "Model compression" (KDD 2006); Hinton, Vinyals and Dean,
"Distilling the knowledge in a neural network" (2015).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tabstudio.recipes.fit import FittedModel, MemberTraining, NetworkFactory, settle

if TYPE_CHECKING:
    from tabstudio.training.trainer import TrainingOutcome


def distil(fitted: FittedModel, rows: MemberTraining, network: NetworkFactory | None = None) -> FittedModel:
    """A model of one network that has learned the answers of the ensemble for the training rows.

    A row's answer is that of the members that had not seen it, so that the network learns what the ensemble
    knows, not what it remembers. The rows of the first fold are held out of this training too: they end it
    in time, calibrate it and choose its threshold, by their true labels.
    """
    from tabstudio.training.trainer import train_members

    model, target = fitted.model, fitted.model.target
    inputs = model.encoder.encode(rows.frame)
    answers = np.array(model.predict_inputs(inputs))
    answers[fitted.validated] = fitted.validation
    fold = np.where(rows.fold == 0, 0, -1).astype(np.int16)
    training = replace(rows.config.training, members=1, label_smoothing=0.0, balance=False, minutes=None)
    learned = train_members(
        inputs,
        answers,
        fold,
        target,
        network or rows.config.network,
        training,
        cardinalities=model.encoder.cardinalities,
    )
    learned = replace(learned, decided=fitted.learned.decided, stopped=_ended(fitted, learned))
    student = settle(replace(rows, fold=fold), model.encoder, learned, np.ones(1))
    student.model.profile = model.profile
    teacher = f"one network that imitates {len(model.pack)}"
    return replace(student, notes=(*fitted.notes, teacher))


def _ended(teacher: FittedModel, learned: TrainingOutcome) -> str:
    """What has ended the training: the clock, where it has ended that of the ensemble."""
    return "minutes" if teacher.learned.stopped == "minutes" else learned.stopped
