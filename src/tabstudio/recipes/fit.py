"""From rows and labels to a model: encode, train the pack, calibrate, choose the threshold.

This is the one path that every front uses: the main job, the estimators, a sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tabstudio.evaluation.calibration import fit_curve, fit_temperature
from tabstudio.evaluation.decision_threshold import Threshold, choose_threshold
from tabstudio.evaluation.ensemble_selection import ensemble_weights
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.head import OutputHead
from tabstudio.model.predictor import Model
from tabstudio.model.preprocessing import Preprocessing
from tabstudio.model.profile import profile
from tabstudio.options import TrainConfig, configure
from tabstudio.table.schema import Schema, Target

if TYPE_CHECKING:
    from tabstudio.training.trainer import TrainingOutcome

NetworkFactory = Callable[[int, int], Any]
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
    learned: TrainingOutcome
    folds: int
    validated: np.ndarray
    validation: np.ndarray
    threshold: Threshold | None
    notes: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether the training was interrupted: the weights are the best of that moment."""
        return self.learned.stopped == "interrupted"


def fit(
    frame: pl.DataFrame,
    schema: Schema,
    labels: np.ndarray,
    fold: np.ndarray,
    config: TrainConfig,
    *,
    network: NetworkFactory | None = None,
    choose: bool = True,
    on_plan: Callable[[Any], None] | None = None,
    on_epoch: Callable[[Any, Any], None] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> FittedModel:
    """Train on the rows of `frame`, each held out by the members of its `fold`.

    `labels` and `fold` have one entry per row, as `Table.labels` and `Split.fold` give them. Rows that
    every member holds out (a single fold beside -1) are never seen in training, by the scaler neither.
    `choose` False leaves the probabilities uncalibrated, the threshold at one half and all members alike.

    Raises `DataError` where no feature can be used and `TrainingError` where the loss is not finite.
    """
    from tabstudio.training.trainer import train_members

    target = schema.target
    assert target is not None
    rows = MemberTraining(frame, schema, labels, fold, config)
    encoder = fit_encoder(frame, schema, labels, fold, config, coded=network is None)
    learned = train_members(
        encoder.encode(frame),
        labels,
        fold,
        target,
        network or config.network,
        config.training,
        cardinalities=encoder.cardinalities,
        on_plan=on_plan,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        resume=resume,
    )
    return settle(rows, encoder, *selected(learned, labels, target, choose=choose), choose=choose)


@dataclass(frozen=True)
class MemberTraining:
    """The rows that members train on or hold out, and how: see `fit`."""

    frame: pl.DataFrame
    schema: Schema
    labels: np.ndarray
    fold: np.ndarray
    config: TrainConfig

    @property
    def seen(self) -> pl.DataFrame:
        """The rows that some member trains on."""
        return self.frame.filter(seen_rows(self.fold))


def selected(
    learned: TrainingOutcome, labels: np.ndarray, target: Target, *, choose: bool
) -> tuple[TrainingOutcome, np.ndarray]:
    """The members that the best mean of rounds needs, and the weight (c,) of each round that is left."""
    rounds = len(learned.rounds)
    if rounds == 1 or not choose:
        return learned, np.full(rounds, 1.0 / rounds)
    weights = weights_of(learned.rounds, labels, target, learned.target_mean, learned.target_scale)
    kept, size = np.flatnonzero(weights), len(learned.pack) // rounds
    members = [int(c) * size + m for c in kept for m in range(size)]
    pack = learned.pack.members(members).eval()
    return replace(learned, pack=pack, seeds=pack.seeds, rounds=learned.rounds[kept]), weights[kept]


def weights_of(
    rounds: np.ndarray, labels: np.ndarray, target: Target, mean: float, scale: float
) -> np.ndarray:
    """Weights (c,) of rounds of raw outputs (c, rows, outputs) by greedy selection on held-out rows."""
    known = ~np.isnan(rounds).any(axis=(0, 2))
    head = OutputHead(target, target_mean=mean, target_scale=scale)
    predictions = np.stack([head.answers(raw[None, known]) for raw in rounds])
    return ensemble_weights(predictions, labels[known], target)


def settle(
    rows: MemberTraining,
    encoder: Encoder | Preprocessing,
    learned: TrainingOutcome,
    weights: np.ndarray,
    *,
    choose: bool = True,
) -> FittedModel:
    """Calibrate, choose the threshold, and put the model together. `weights` (c,) are the rounds'."""
    target = rows.schema.target
    assert target is not None
    labels, config = rows.labels, rows.config
    raw = np.tensordot(weights, learned.rounds, axes=1)
    validated = np.flatnonzero(~np.isnan(raw).any(axis=1))
    raw = raw[validated]
    classify = target.task != "regression" and len(validated) > 0 and choose
    temperature = fit_temperature(labels[validated], raw, target) if classify else 1.0
    binary = classify and target.task == "binary"
    curve = fit_curve(labels[validated], raw[:, 0] / temperature) if binary else None
    size = len(learned.pack) // len(weights)
    head = OutputHead(
        target,
        None if len(set(weights)) == 1 else tuple(np.repeat(weights / size, size).tolist()),
        temperature,
        curve,
        0.5 if target.task == "binary" else None,
        learned.target_mean,
        learned.target_scale,
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
        pack=learned.pack,
        head=head,
        profile=profile(rows.seen, rows.schema),
        config=configure(config, **learned.decided).flat(),
    )
    return FittedModel(model, learned, int(rows.fold.max(initial=-1)) + 1, validated, validation, threshold)


def fit_encoder(
    frame: pl.DataFrame,
    schema: Schema,
    labels: np.ndarray,
    fold: np.ndarray,
    config: TrainConfig,
    *,
    coded: bool = True,
) -> Encoder:
    """Learn from the rows that some member trains on, for the default network from their labels, too."""
    seen = seen_rows(fold)
    coded = coded and config.network.name == "tabular"
    return Encoder.fit(frame.filter(seen), schema, config.network.scaling, labels[seen] if coded else None)


def seen_rows(fold: np.ndarray) -> np.ndarray:
    """Which rows some member trains on (rows,): all, or those of no fold where every member holds out one."""
    return fold < 0 if fold.max(initial=-1) == 0 else np.ones(len(fold), dtype=bool)
