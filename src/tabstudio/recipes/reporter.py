"""Progress of a job: the command line prints it, a notebook shows it, a test collects it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tabstudio.training.loop import Epoch
    from tabstudio.training.plan import TrainingPlan


class Reporter:
    """Receives a job's progress and ignores it: subclasses override the methods they need."""

    def step(self, title: str, lines: Sequence[str] = ()) -> None:
        """Report that a step is done, and what came of it, one thought a line."""

    def warn(self, text: str) -> None:
        """Report what the user should act on."""

    def epoch(self, epoch: Epoch, plan: TrainingPlan) -> None:
        """Report that an epoch has ended."""

    def trials(self, done: int, of: int, best: float | None) -> None:
        """Report how many trials of a search have ended, and the lowest validation loss among them."""
