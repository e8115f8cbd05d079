"""The rounds of a training: one member for each fold, so that every round predicts every row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tabstudio.options import NetworkConfig, TrainingConfig
from tabstudio.training.data import TrainingRows
from tabstudio.training.packing import Factory, PackedTraining
from tabstudio.training.plan import make_plan, sized

MOST = 12
"""Most rounds that a bound on the time is filled with; more of them bring next to nothing."""


def count_rounds(
    rows: TrainingRows, network: NetworkConfig | Factory, training: TrainingConfig
) -> tuple[int, int]:
    """Members of a round, and the number of rounds, which is the most of them where time decides.

    Members that are no multiple of the folds, or of a network of the user's own, are one round.
    """
    folds, members = rows.folds, training.members
    single = not folds or not isinstance(network, NetworkConfig)
    if members is None:
        return max(folds, 1), MOST if training.minutes is not None and not single else 1
    return (members, 1) if single or members % folds else (folds, members // folds)


def rounds_of(
    rows: TrainingRows, network: NetworkConfig | Factory, training: TrainingConfig, number: int
) -> Iterator[PackedTraining]:
    """So many rounds; `training.members` are those of one. Members are seeded in their order."""
    config = network if isinstance(network, NetworkConfig) else None
    wide = network if config is None else sized(config, rows.trained)
    for r in range(number):
        plan = make_plan(training, config, rows.target.task, rows=rows.trained, folds=rows.folds)
        seeds = tuple(seed + r * plan.members for seed in plan.seeds)
        yield PackedTraining(wide, replace(plan, seeds=seeds))
