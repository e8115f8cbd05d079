"""Longer trainings where they pay: regressions whose held-out rows are predicted well already.

Small tables with noise are overfitted after some tens of steps, and longer trainings only find the same
weights again. With little noise the loss still falls when the rate does: four times the epochs took a fifth
off the errors of tables with an R² above 0.96, and 3 % at 0.9. With next to none, dropout is the only noise
that is left: without it, another fifth was gone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tabstudio.training.data import TrainingTensors
from tabstudio.training.loop import count
from tabstudio.training.plan import STEPS, TrainingPlan

CLEAR, CLEANEST = 0.9, 0.99
"""The held-out R² from which a training is done again, longer; and that from which it has no dropout."""
TIMES = (4, 2)
"""So many times the epochs, once and once more."""
GAIN = 0.85
"""Only a longer training that leaves no more than this share of the error is followed by a longer one."""


def may_pay(plan: TrainingPlan, data: TrainingTensors) -> bool:
    """Whether a training by `plan` leaves steps for a longer one, should the table have little noise."""
    return data.task == "regression" and plan.schedule != "constant" and _most(plan, data) >= 2 * plan.epochs


def longer(
    plan: TrainingPlan, data: TrainingTensors, errors: Sequence[float], fitting: float
) -> dict[str, object]:
    """The options of a longer training than by `plan`, none where it would not pay.

    `errors` are what this training and shorter ones before it, the latest last, left on held-out rows: root
    mean squares in standard deviations of the target. So many epochs are `fitting` the time.
    """
    error = errors[-1]
    paid = len(errors) == 1 or (len(errors) <= len(TIMES) and error <= GAIN * errors[-2])
    if not may_pay(plan, data) or not paid or not error <= math.sqrt(1.0 - CLEAR):
        return {}
    epochs = min(TIMES[len(errors) - 1] * plan.epochs, _most(plan, data), math.floor(fitting))
    if epochs < 2 * plan.epochs:
        return {}
    open_ = "dropout" in plan.reasons and any(plan.dropout)
    clean = open_ and error <= math.sqrt(1.0 - CLEANEST)
    return {"epochs": epochs} | ({"dropout": 0.0} if clean else {})


def _most(plan: TrainingPlan, data: TrainingTensors) -> int:
    return STEPS // count(data, plan)
