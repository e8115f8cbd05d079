"""Fast path for the steps of one epoch that differ only in their losses, as nearly all do."""

from __future__ import annotations

import time
from threading import get_ident
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from tabstudio._compat.torch_objects import sequence_number
from tabstudio.autologging.epochs.training_metrics import FLUSH_SECONDS, BackwardSite, TrainingMetrics
from tabstudio.autologging.events import BackwardEvent, ComputedLoss, LossFunction, LossSource, UnfinishedStep
from tabstudio.autologging.instrument.watched_loop import WatchedLoop
from tabstudio.autologging.trace.call_sites import CallPath, CodeCall, call_site
from tabstudio.autologging.trace.loss_values import LossValue

if TYPE_CHECKING:
    import torch

AT_ONCE = 64
"""Number of steps that are taken in at once, unless `FLUSH_SECONDS` pass before."""


class FastPath:
    """What the next step has to be like to go on with an epoch, and those that did since the last `take_in`.

    `on` is set when two steps in a row were of the same kind. The third one shows where its loss is computed
    and how `backward` is reached; from the fourth on only these are compared. `number` is that of the node
    which has computed the next step's loss, 0 while there is none; `stepped` says that a step has followed
    the last backward pass.
    """

    def __init__(self, loop: WatchedLoop) -> None:
        self._loop = loop
        self.on = False
        self.stepped = True
        self.number = self.owner = 0
        self.loss = LossValue(None)
        self.rows: list[float] = []
        self._losses: list[LossValue] = []
        self._name = ""
        self._code: CodeType | None = None
        self._trail: CallPath | None = None

    def begin(
        self,
        metrics: TrainingMetrics,
        owner: int,
        count: int,
        backward_site: BackwardSite,
        loss_function: LossFunction,
        point: CodeCall | None,
        loader_pass: int,
    ) -> None:
        """Expect further steps like the last one, the `count`-th of the optimizer `owner`."""
        self.on, self.stepped = True, True
        self.metrics, self.owner, self.count = metrics, owner, count
        self._backward_site, self._loss_function, self._point, self._loader_pass = (
            backward_site,
            loss_function,
            point,
            loader_pass,
        )
        self._began = self._last = 0.0
        self._thread = get_ident()

    def expects(self, name: str, code: CodeType, result: torch.Tensor) -> bool:
        """Say whether a loss that was computed is the next step's, by its function and who has called it."""
        if (
            code is not self._code
            or name is not self._name
            or self.number
            or self._loop.evaluating
            or not self.stepped
            or get_ident() != self._thread
            or result.dim()
        ):
            return False
        node = result.grad_fn
        self.number = 0 if node is None else sequence_number(node)
        return node is not None

    def takes(self, computed: ComputedLoss, number: int) -> bool:
        """Say whether a loss that has come another way is of the same kind, and await its backward pass."""
        if computed.loss_function is not self._loss_function:
            return False
        self.number, self.loss = number, computed.loss
        if computed.called is not None:
            self._name, self._code = computed.called
        return True

    def goes_on(self, number: int, loader_pass: int, frame: FrameType) -> bool:
        """Take a backward pass, and say so, if it is that of the next step. The caller appends to `rows`."""
        if (
            number != self.number
            or loader_pass != self._loader_pass
            or not self.stepped
            or not (self._trail.leads_to(frame) if self._trail is not None else self._finds_way(frame))
        ):
            return False
        self.number, self.stepped = 0, False
        self._losses.append(self.loss)
        self._last = time.perf_counter()
        return True

    def step(self) -> None:
        """Count the optimizer's step after the backward pass."""
        self.stepped = True
        self.count = count = self.count + 1
        training = self.metrics.training
        if count > training.steps:
            training.steps = count
        self._began = self._began or self._last
        if len(self._losses) >= AT_ONCE or self._last - self._began > FLUSH_SECONDS:
            self._take_in()

    def end(self) -> UnfinishedStep | None:
        """Leave the fast path; return the backward pass that no step has followed."""
        unfinished = None if self.stepped else self._unfinished()
        self._take_in()
        self.on, self.stepped = False, True
        self._code = self._trail = None
        return unfinished

    def recall(self) -> tuple[int, ComputedLoss] | None:
        """Return the loss whose backward pass is awaited, for the pending losses."""
        if not self.number:
            return None
        number, self.number = self.number, 0
        return number, ComputedLoss(self._loss_function, self.loss, None, 0, True)

    def _take_in(self) -> None:
        """Bring the epoch up to date with the steps that were made."""
        losses, self._losses = self._losses, []
        rows, self.rows = self.rows, []
        if losses:
            metrics, name = self.metrics, self._backward_site.name
            metrics.epochs.go_on(name, losses, rows, self._last, metrics.training.steps - 1)
            metrics.step_losses(name, losses, self.count - len(losses) + 1)
            self._began = 0.0

    def _unfinished(self) -> UnfinishedStep:
        assert self._trail is not None
        loss, rows, backward_site = self._losses.pop(), self.rows.pop(), self._backward_site
        event = BackwardEvent(
            self._trail.site, {}, self._loader_pass, self.metrics.training.steps, rows, 0, self._last
        )
        return UnfinishedStep(
            event,
            LossSource(loss, backward_site.name, backward_site.label, backward_site.loss_function, True),
            self._point,
        )

    def _finds_way(self, frame: FrameType) -> bool:
        at, epochs = call_site(frame), self.metrics.epochs
        if at.point is not self._point or not epochs.goes_on(at.entries, self._loader_pass):
            return False
        self._trail = CallPath(frame, at, epochs.fixed)
        return True
