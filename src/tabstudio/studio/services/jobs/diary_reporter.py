"""A reporter that writes a job's diary, and the summaries of results that a diary holds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tabstudio.recipes.reporter import Reporter
from tabstudio.studio.services.jobs.diary import JobDiary

if TYPE_CHECKING:
    from tabstudio.recipes import SweepResult, TrainResult
    from tabstudio.tracking import Delivery
    from tabstudio.training.loop import Epoch
    from tabstudio.training.plan import TrainingPlan


class DiaryReporter(Reporter):
    """Writes every report to the diary. `minutes` bounds the training, so also its remaining time."""

    def __init__(self, diary: JobDiary, minutes: float | None = None) -> None:
        self.diary = diary
        self._ends = math.inf if minutes is None else 60.0 * minutes
        self._searching = 0.0

    def step(self, title: str, lines: Sequence[str] = ()) -> None:
        """Write a step with its time."""
        self._searching = self._searching or time.monotonic()
        self.diary.write("step", title=title, lines=[*lines])

    def warn(self, text: str) -> None:
        """Write a warning."""
        self.diary.write("warning", text=text)

    def epoch(self, epoch: Epoch, plan: TrainingPlan) -> None:
        """Write the mean losses over the members, and how long the rest takes at most."""
        left = epoch.seconds / epoch.number * (plan.epochs - epoch.number)
        ends = math.inf if plan.minutes is None else 60.0 * plan.minutes
        self.diary.write(
            "epoch",
            number=epoch.number,
            of=plan.epochs,
            train=_mean(epoch.train_loss),
            val=_mean(epoch.val_loss),
            rows_per_second=epoch.rows_per_second,
            left=round(min(left, max(ends - epoch.seconds, 0.0)), 2),
        )

    def trials(self, done: int, of: int, best: float | None) -> None:
        """Write the lowest loss so far, and how long the rest takes at this pace."""
        passed = time.monotonic() - self._searching
        left = min(passed / done * (of - done), max(self._ends - passed, 0.0))
        self.diary.write("trials", done=done, of=of, best=best, left=round(left, 2))


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))


def training_summary(result: TrainResult) -> dict[str, object]:
    """Return the summary of a training: test metrics with their intervals, where the model is."""
    figures = {
        name: [None if math.isnan(value) else value for value in (measure.value, measure.low, measure.high)]
        for name, measure in result.evaluation.metrics.items()
    }
    return _delivered(result.delivery) | {
        "partial": result.partial,
        "name": result.name,
        "figures": figures,
        "text": result.text(),
        "seconds": round(result.seconds, 2),
    }


def search_summary(result: SweepResult) -> dict[str, object]:
    """Return the summary of a search: the best options, as `train` takes them."""
    return _delivered(result.delivery) | {
        "partial": result.searched.interrupted,
        "name": result.name,
        "best": result.best,
        "text": result.text(),
        "seconds": round(result.seconds, 2),
    }


def _delivered(delivery: Delivery) -> dict[str, object]:
    return {
        "run_id": delivery.run_id,
        "experiment_id": delivery.experiment_id,
        "model": delivery.model_uri,
        "version": delivery.version,
        "waiting": delivery.error,
    }
