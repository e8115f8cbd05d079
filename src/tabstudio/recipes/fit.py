"""From rows and labels to a model: encode, train the pack, calibrate, choose the threshold.

This is the one path that every front uses: the main job, the estimators, a sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tabstudio.evaluation.calibration import fit_curve, fit_temperature
from tabstudio.evaluation.decision_threshold import Threshold, choose_threshold
from tabstudio.evaluation.ensemble_selection import ensemble_weights
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.head import OutputHead
from tabstudio.model.predictor import Model
from tabstudio.model.preprocessing import Preprocessing
from tabstudio.model.profile import profile
from tabstudio.options import TrainConfig, configure
from tabstudio.recipes.labeled_rows import LabeledRows

if TYPE_CHECKING:
    from torch import nn

    from tabstudio.training.loop import Epoch
    from tabstudio.training.plan import TrainingPlan
    from tabstudio.training.trainer import TrainingOutcome

NetworkFactory = Callable[[int, int], "nn.Module"]
"""A user's own network: (inputs, outputs) -> torch.nn.Module from (rows, inputs) to (rows, outputs)."""


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A trained model and what is known of it without the test part.

    `folds` is the number of folds: member m held out the rows of fold m modulo that number.
    `validated` numbers the rows that some member held out; `validation` holds their predictions by the
    members that had not seen them: probabilities (rows, classes) after calibration, or values (rows,).
    `notes` says what the model was made of, where it was chosen.
    """

    model: Model
    outcome: TrainingOutcome
    folds: int
    validated: np.ndarray
    validation: np.ndarray
    threshold: Threshold | None
    notes: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether the training was interrupted: the weights are the best of that moment."""
        return self.outcome.stopped == "interrupted"


def fit(
    rows: LabeledRows,
    config: TrainConfig,
    *,
    network: NetworkFactory | None = None,
    choose: bool = True,
    on_plan: Callable[[TrainingPlan], None] | None = None,
    on_epoch: Callable[[Epoch, TrainingPlan], None] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> FittedModel:
    """Train on the rows, each held out by the members of its fold, and make a model of the members.

    `choose` False leaves the probabilities uncalibrated, the threshold at one half and all members alike.

    Raises `DataError` where no feature can be used and `TrainingError` where the loss is not finite.
    """
    from tabstudio.training.trainer import train_members

    encoder = fit_encoder(rows, config, coded=network is None)
    outcome = train_members(
        rows.encoded(encoder),
        network or config.network,
        config.training,
        on_plan=on_plan,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        resume=resume,
    )
    chosen = selected(outcome, rows, choose=choose)
    return assemble_model(rows, config, encoder, *chosen, choose=choose)


def selected(
    outcome: TrainingOutcome, rows: LabeledRows, *, choose: bool
) -> tuple[TrainingOutcome, np.ndarray]:
    """Return the members that the best mean of rounds needs, and the weights (c,) of the rounds left."""
    rounds = len(outcome.rounds)
    if rounds == 1 or not choose:
        return outcome, np.full(rounds, 1.0 / rounds)
    weights = weights_of(outcome.rounds, rows, outcome.target_mean, outcome.target_scale)
    chosen, size = np.flatnonzero(weights), len(outcome.pack) // rounds
    members = [int(c) * size + m for c in chosen for m in range(size)]
    pack = outcome.pack.members(members).eval()
    return replace(outcome, pack=pack, seeds=pack.seeds, rounds=outcome.rounds[chosen]), weights[chosen]


def weights_of(rounds: np.ndarray, rows: LabeledRows, mean: float, scale: float) -> np.ndarray:
    """Return weights (c,) of raw outputs (c, rows, outputs) by greedy selection on held-out rows."""
    known = ~np.isnan(rounds).any(axis=(0, 2))
    head = OutputHead(rows.target, target_mean=mean, target_scale=scale)
    predictions = np.stack([head.answers(raw[None, known]) for raw in rounds])
    return ensemble_weights(predictions, rows.labels[known], rows.target)


def assemble_model(
    rows: LabeledRows,
    config: TrainConfig,
    encoder: Encoder | Preprocessing,
    outcome: TrainingOutcome,
    weights: np.ndarray,
    *,
    choose: bool = True,
) -> FittedModel:
    """Calibrate, choose the threshold, and put the model together. `weights` (c,) are the rounds'."""
    target, labels = rows.target, rows.labels
    raw = np.tensordot(weights, outcome.rounds, axes=1)
    validated = np.flatnonzero(~np.isnan(raw).any(axis=1))
    raw = raw[validated]
    classify = target.task != "regression" and len(validated) > 0 and choose
    temperature = fit_temperature(labels[validated], raw, target) if classify else 1.0
    binary = classify and target.task == "binary"
    curve = fit_curve(labels[validated], raw[:, 0] / temperature) if binary else None
    size = len(outcome.pack) // len(weights)
    head = OutputHead(
        target,
        None if len(set(weights)) == 1 else tuple(np.repeat(weights / size, size).tolist()),
        temperature,
        curve,
        0.5 if target.task == "binary" else None,
        outcome.target_mean,
        outcome.target_scale,
    )
    validation = head.of_mean(raw)
    threshold = None
    if binary:
        threshold = choose_threshold(
            labels[validated] == head.positive, validation[:, head.positive], config.evaluation
        )
        head = replace(head, threshold=threshold.value)
    model = Model(
        schema=rows.schema,
        encoder=encoder,
        pack=outcome.pack,
        head=head,
        profile=profile(rows.frame.filter(rows.trained), rows.schema),
        config=configure(config, **outcome.decided).flat(),
    )
    return FittedModel(model, outcome, rows.folds, validated, validation, threshold)


def fit_encoder(rows: LabeledRows, config: TrainConfig, *, coded: bool = True) -> Encoder:
    """Learn from the rows that some member trains on, for the default network from their labels, too."""
    frame, scaling = rows.frame.filter(rows.trained), config.network.scaling
    coded = coded and config.network.name == "tabular"
    return Encoder.fit(frame, rows.schema, scaling, rows.labels[rows.trained] if coded else None)
