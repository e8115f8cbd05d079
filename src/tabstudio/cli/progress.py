"""A job's progress on the terminal: a live bar where there is one, plain lines where there is not."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from tabstudio.recipes.reporter import Reporter

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from tabstudio.training.loop import Epoch
    from tabstudio.training.plan import TrainingPlan

LINES_WANTED = 10
"""About so many lines tell a training's course where no bar can be drawn."""


class TerminalReporter(Reporter):
    """Prints steps as they end; epochs as a bar with rows/s, losses and time left, or as plain lines."""

    def __init__(self, every_epoch: bool = False) -> None:
        self._started = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._every_epoch = every_epoch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._close_bar()

    def step(self, title: str, lines: Sequence[str] = ()) -> None:
        """Print when it was done and what came of it."""
        self._close_bar()
        print(f"[{time.monotonic() - self._started:5.1f} s] {title}", flush=True)
        for line in lines:
            print(f"          {line}", flush=True)

    def warn(self, text: str) -> None:
        """Print it so that it is seen."""
        self._close_bar()
        first, *rest = text.splitlines()
        print(f"WARNING   {first}", *(f"          {line}" for line in rest), sep="\n", flush=True)

    def epoch(self, epoch: Epoch, plan: TrainingPlan) -> None:
        """Move the bar, or print one of a few lines."""
        if sys.stdout.isatty() and not self._every_epoch:
            self._advance(epoch, plan.epochs)
        elif (
            self._every_epoch or epoch.number == 1 or epoch.number % max(plan.epochs // LINES_WANTED, 1) == 0
        ):
            print(
                f"          {_members(plan)}epoch {epoch.number}/{plan.epochs}  {_losses(epoch)}", flush=True
            )

    def _advance(self, epoch: Epoch, epochs: int) -> None:
        if self._bar is None:
            self._open_bar(epochs)
        assert self._bar is not None
        assert self._task is not None
        self._bar.update(self._task, completed=epoch.number, losses=_losses(epoch))

    def _open_bar(self, epochs: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("          epoch"),
            MofNCompleteColumn(),
            BarColumn(20),
            TextColumn("{task.fields[losses]}"),
        )
        self._bar = Progress(*columns, TimeRemainingColumn(), transient=True)
        self._task = self._bar.add_task("", total=epochs, losses="")
        self._bar.start()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def _members(plan: TrainingPlan) -> str:
    """Which networks these are, where others came before."""
    return f"networks {plan.first + 1} to {plan.first + plan.members}, " if plan.first else ""


def _losses(epoch: Epoch) -> str:
    train, val = float(np.mean(epoch.train_loss)), epoch.val_loss
    shown = f"train {train:.4f}"
    if not np.all(np.isnan(val)):
        shown += f"  val {float(np.nanmean(val)):.4f}"
    return f"{shown}  {epoch.rows_per_second:,.0f} rows/s"
