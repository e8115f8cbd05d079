"""The trials of a search as child runs of the run that searches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tabstudio.recipes import run_record
from tabstudio.tracking.recorder import PATIENCE

if TYPE_CHECKING:
    from tabstudio.recipes.reporter import Reporter
    from tabstudio.recipes.search import TrialOutcome
    from tabstudio.tracking import Delivery, Recorder, Run


class TrialRuns:
    """Records each batch of trials as child runs, and reports it."""

    def __init__(self, recorder: Recorder, parent: Run, reporter: Reporter, trials: int) -> None:
        self.recorder, self.parent, self.reporter, self.trials = recorder, parent, reporter, trials
        self.runs: list[Run] = []
        self.best: TrialOutcome | None = None

    def add(self, batch: Sequence[TrialOutcome]) -> None:
        """Record trials that have ended."""
        for tried in batch:
            self.runs.append(run_record.trial(self.recorder, self.parent, tried))
            ended = tried.outcome.finalist is not None
            if ended and (self.best is None or tried.outcome.loss < self.best.outcome.loss):
                self.best = tried
            if self.best is not None:
                self.parent.metrics({"best_val_loss": self.best.outcome.loss}, step=tried.number)
        lines = [f"{self.best.outcome.loss:.4f}  {self.best}"] if self.best else []
        best = self.best.outcome.loss if self.best is not None else None
        self.reporter.step(f"{len(self.runs)} of {self.trials} trials", lines)
        self.reporter.trials(len(self.runs), self.trials, best)

    def delivered(self) -> Delivery:
        """Wait until MLflow has the trials and their parent; what it has of them all."""
        ends = time.monotonic() + PATIENCE
        parts = [
            self.recorder.wait(max(ends - time.monotonic(), 0.0), run) for run in (*self.runs, self.parent)
        ]
        error = next((part.error for part in parts if part.error), "")
        return replace(parts[-1], pending=sum(part.pending for part in parts), error=error)
