"""Watches PyTorch: what is computed, where `backward` is called, which optimizer steps.

The hooks are PyTorch's own where it has some: steps of optimizers, the forward of modules. What has none is
patched: `torch.autograd.backward` and `grad`, the scaling of a loss, the making of an optimizer, the
functions that compute losses, and the iteration of data loaders.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from threading import get_ident
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from tabstudio._compat.torch_objects import sequence_number
from tabstudio.autologging.epochs.fast_path import FastPath
from tabstudio.autologging.epochs.pending_losses import PendingLosses
from tabstudio.autologging.epochs.training_metrics import evaluation_group
from tabstudio.autologging.epochs.training_tracker import TrainingTracker
from tabstudio.autologging.events import BackwardEvent, ComputedLoss, EvaluationEvent, LoaderPass, Observer
from tabstudio.autologging.instrument.data_loaders import LoaderPasses
from tabstudio.autologging.instrument.loss_functions import LossFunctions
from tabstudio.autologging.instrument.loss_reads import BY_HAND, LossReads, ReadSite
from tabstudio.autologging.instrument.model_hooks import ModelHooks
from tabstudio.autologging.instrument.module_pickling import HookFreePickling
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.trace.call_sites import CallSite, call_site
from tabstudio.autologging.trace.loss_values import LossValue

if TYPE_CHECKING:
    import torch

    from tabstudio.autologging.launch.session import AutologSession
    from tabstudio.tracking.run import Status


class TrainingLoopObserver(Observer):
    """The observer of training loops."""

    name = "the training loop"

    def install(self, session: AutologSession) -> None:
        """Watch PyTorch as soon as it is imported."""
        self._session = session
        self._patches = Patches()
        self._handles: list[Any] = []
        self._steady = FastPath()
        self._losses = LossFunctions(self._computed, self._steady)
        self._loaders = LoaderPasses()
        self._models = ModelHooks(self._guard(self._before_forward))
        self._unhooked = HookFreePickling()
        self._reads = LossReads(self._read)
        self._pending = PendingLosses(self._losses)
        self._trainings = TrainingTracker(
            session, self._models, self._loaders.drives, self._losses.settings, self._steady
        )
        self._in_backward = 0
        self._step_began = self._step_went_back = False
        self._looking: bool | None = None
        self._looked: set[int] = set()
        self._trains = False
        self._evaluated_in: Any = None
        self._read_at: dict[int, ReadSite] = {}
        self._rows = math.nan
        self._asked = 0.0
        self._thread = 0
        session.imports.when("torch", self._install)

    def remove(self) -> None:
        """Put everything back."""
        self._models.remove()
        self._losses.remove()
        self._loaders.remove()
        self._unhooked.remove()
        self._reads.remove()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._patches.undo()

    def process_ends(self, status: Status) -> None:
        """Record what is open."""
        self._look_at_unused()
        self._trainings.end()

    def _guard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self._session.guarded(self, function)

    def _install(self, torch: ModuleType) -> None:
        from torch.optim import optimizer

        self._torch = torch
        self._is_compiling, self._grads_wanted = torch.compiler.is_compiling, torch.is_grad_enabled
        self._losses.install(torch, self._guard)
        self._loaders.install(sys.modules["torch.utils.data.dataloader"], self._guard)
        self._handles += [
            optimizer.register_optimizer_step_pre_hook(self._before_step),
            optimizer.register_optimizer_step_post_hook(self._guard(self._after_step)),
        ]
        self._patch_making(optimizer.Optimizer)
        self._patch_backward(torch.autograd)
        self._patch_scaling(torch.amp.GradScaler)
        self._unhooked.install(torch)
        self._reads.install(torch, self._guard)

    def _patch_making(self, kind: Any) -> None:
        make, made = kind.__init__, self._guard(self._optimizer_made)

        def watched(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            make(optimizer, *args, **kwargs)
            made(optimizer, sys._getframe(1))

        self._patches.set(kind, "__init__", watched)

    def _patch_backward(self, autograd: Any) -> None:
        backward, grad = autograd.backward, autograd.grad
        asked, asked_grad = self._guard(self._backward_asked), self._guard(self._gradient_asked)

        def watched(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            asked(tensors, sys._getframe(1))
            self._in_backward += 1
            try:
                return backward(tensors, *args, **kwargs)
            finally:
                self._in_backward -= 1

        def watched_grad(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            asked_grad(outputs, inputs, sys._getframe(1))
            return grad(outputs, inputs, *args, **kwargs)

        self._patches.set(autograd, "backward", watched)
        self._patches.set(autograd, "grad", watched_grad)

    def _patch_scaling(self, kind: Any) -> None:
        scale, scaled = kind.scale, self._guard(self._loss_scaled)

        def watched(scaler: Any, outputs: Any) -> Any:
            result = scale(scaler, outputs)
            scaled(outputs, result)
            return result

        self._patches.set(kind, "scale", watched)

    def _computed(self, seen: ComputedLoss, frame: FrameType) -> None:
        """A loss was computed: to train on, or to look at."""
        result = seen.result
        if self._in_backward or result is None or (get_ident() != self._thread and not self._is_here()):
            return
        self._recall()
        if result.requires_grad:
            if self._looking:  # in evaluation mode; whether to train on it will show
                seen.place, seen.visit = call_site(frame), self._loaders.visit
            self._pending.add(seen)
        elif not seen.with_grad and seen.loss.value is not None:
            seen.place, seen.visit = call_site(frame), self._loaders.visit
            self._evaluated(seen, self._looking)

    def _evaluated(self, seen: ComputedLoss, verified: bool | None) -> None:
        self._evaluated_in = self._trainings.current
        self._evaluate(seen.place, seen.visit, seen.producer.name, seen.loss, verified)

    def _evaluate(
        self, at: CallSite, last: LoaderPass | None, name: str, loss: LossValue, verified: bool | None
    ) -> None:
        visit = last if self._is_driven(at) else None
        part = visit.part if visit is not None else 0
        group = evaluation_group(at, visit.name if visit else "", part, part in self._loaders.training)
        number = last.number if last is not None else 0
        steps = self._trainings.steps
        of_pass = number if visit is not None else 0
        self._trainings.evaluated(EvaluationEvent(at, group, name, loss, number, steps, verified, of_pass))

    def _read(self, value: float, site: ReadSite, frame: FrameType) -> None:
        """The user reads what is called a validation loss, where no function has ever computed one."""
        current = self._trainings.current
        if current is None or current is self._evaluated_in or self._in_backward or not self._is_here():
            return
        if self._read_at.setdefault(id(current), site) is not site:
            return  # the same once more, as a list's item, say
        rows = 1.0 if not site.reduced or math.isnan(self._reads.rows) else self._reads.rows
        loss = LossValue(value, 1.0 if site.reduced == "sum" else rows, rows)
        self._evaluate(call_site(frame), self._loaders.visit, BY_HAND, loss, True)

    def _is_driven(self, at: CallSite) -> bool:
        """Say whether a place is inside a loop over a data loader."""
        return any(self._loaders.drives(loop) for loop, _ in at.loops)

    def _before_forward(self, module: torch.nn.Module, args: Any) -> None:
        """A model that is trained is about to compute: to be trained, or to be looked at."""
        if self._in_backward or self._is_compiling() or (get_ident() != self._thread and not self._is_here()):
            return
        looking = not (module.training and self._grads_wanted())
        self._looking = self._reads.wanted = self._steady.looking = looking
        if looking:
            self._looked.add(id(module))
            self._reads.rows = _rows_in(args)
            return
        if self._looked and id(module) in self._looked:
            self._looked.discard(id(module))
            self._trainings.trains_again(module)
        rows, asked = _rows_in(args), self._asked
        self._rows = rows if asked in (0.0, rows) else math.nan  # which of several, nobody can tell
        self._asked = rows
        if not self._steady.on:
            self._trainings.about_to_train()

    def _loss_scaled(self, outputs: Any, result: Any) -> None:
        self._recall()
        if isinstance(outputs, self._torch.Tensor) and outputs.grad_fn is not None:
            self._pending.scaled(outputs, result)

    def _backward_asked(self, tensors: Any, frame: FrameType) -> None:
        if self._in_backward or (get_ident() != self._thread and not self._is_here()):
            return
        if self._step_began:  # a closure may be called many times in a step: its first loss is the step's
            if self._step_went_back:
                self._pending.unused()
                return
            self._step_went_back = True
        if self._steady.on and self._goes_on(tensors, frame):
            return
        self._recall()
        for tensor in (tensors,) if isinstance(tensors, self._torch.Tensor) else tuple(tensors):
            if tensor.numel() == 1 and tensor.grad_fn is not None:
                self._train_on(tensor, frame)

    def _goes_on(self, tensor: Any, frame: FrameType) -> bool:
        """Take a backward pass that is as the one before, as nearly all are, and say so."""
        node = tensor.grad_fn if type(tensor) is self._torch.Tensor else None
        if node is None:
            return False
        steady, number, visit = self._steady, sequence_number(node), self._loaders.visit
        if not steady.number:
            only = self._pending.only(number)
            if only is None or not steady.takes(only, number):
                return False
            self._pending.seen.clear()
        elif self._pending.seen:
            return False
        if not steady.goes_on(number, visit.number if visit is not None else 0, frame):
            return False
        rows, loss = self._rows, steady.loss
        steady.rows.append(rows if rows == loss.weight else _plausible(rows, loss, visit))
        self._rows, self._asked = math.nan, 0.0
        if self._looking is not False:
            self._looks_no_more()
        return True

    def _recall(self) -> None:
        """What was taken for the loss of a step like the one before is pending like any other."""
        recalled = self._steady.recall()
        if recalled is not None:
            self._pending.put(*recalled)

    def _gradient_asked(self, outputs: Any, inputs: Any, frame: FrameType) -> None:
        """A loop without an optimizer may ask for gradients in this way."""
        self._recall()
        if self._in_backward or self._trainings.anything_made or not self._is_here():
            return
        tensors = (inputs,) if isinstance(inputs, self._torch.Tensor) else tuple(inputs)
        is_loss = isinstance(outputs, self._torch.Tensor) and self._pending.knows(outputs)
        if is_loss and all(tensor.is_leaf for tensor in tensors):
            self._train_on(outputs, frame)

    def _train_on(self, tensor: torch.Tensor, frame: FrameType) -> None:
        if not self._trains:
            self._trains = True
            self._session.muted = _rank() != 0
        if self._session.muted:
            return
        at, last = call_site(frame), self._loaders.visit
        number = last.number if last is not None else 0
        asked, self._rows, self._asked = self._rows, math.nan, 0.0
        point = at.point
        source = self._pending.source(tensor, frame, point)
        if self._pending.seen:
            self._look_at_unused()
        if last is not None and self._is_driven(at):
            self._loaders.training.add(last.part)
        known = source.label or source.parts or source.loss.weight != 1.0
        rows = _plausible(asked, source.loss, last) if known else asked
        event = BackwardEvent(at, {}, number, self._trainings.steps, rows, source.inputs)
        self._looks_no_more()
        self._trainings.backward(event, source, point, tensor)

    def _looks_no_more(self) -> None:
        self._looking = None if self._models.compiled else False
        self._reads.wanted = self._steady.looking = False

    def _look_at_unused(self) -> None:
        """What had a graph, but no backward pass came, was only looked at, if it was in evaluation mode."""
        self._recall()
        for seen in self._pending.unused():
            if seen.place.entries and seen.loss.value is not None:
                self._evaluated(seen, True)

    def _optimizer_made(self, optimizer: Any, frame: FrameType) -> None:
        if self._is_here():
            self._trainings.made(optimizer, call_site(frame))

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._step_began, self._step_went_back = True, False

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._step_began = False
        if get_ident() != self._thread and not self._is_here():
            return
        steady = self._steady
        if not steady.on or steady.stepped or steady.owner != id(optimizer):
            self._recall()
            self._trainings.stepped(optimizer, sys._getframe(1)).stepped(optimizer)
        else:
            steady.step()
            steady.following.stepped(optimizer)

    def _is_here(self) -> bool:
        """Say whether this is the thread that trains: the first one that was seen."""
        here = get_ident()
        self._thread = self._thread or here
        return self._thread == here


def _rows_in(args: Any) -> float:
    """Return how many rows go into a network, NaN where that cannot be told: one vector is no batch."""
    shape = getattr(args[0], "shape", None) if args else None
    if not shape or (len(shape) == 1 and args[0].is_floating_point()):
        return math.nan
    return float(shape[0])


def _plausible(asked: float, loss: LossValue, visit: LoaderPass | None) -> float:
    """Return how many rows a batch has, NaN where that cannot be told.

    The network got `asked`, and the loss has gone over so many as it weighs: words of sentences, it may be.
    """
    most = visit.batch if visit is not None else math.nan
    if math.isnan(asked):
        return math.nan if loss.weight > most or loss.weight == 1.0 else loss.weight
    return asked if asked in (loss.weight, most) or asked < most < loss.weight else math.nan


def _rank() -> int:
    """Return the number of this process among those that train one model together."""
    import torch

    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if together else 0
