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
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.instrument.pickled_modules import HookFreePickling
from tabstudio.autologging.instrument.watched_loop import WatchedLoop
from tabstudio.autologging.trace.call_sites import CallSite, call_site
from tabstudio.autologging.trace.loss_values import LossValue

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch.utils.hooks import RemovableHandle

    from tabstudio.autologging.launch.session import AutologSession
    from tabstudio.tracking.run import Status

    Tensors = torch.Tensor | Sequence[torch.Tensor]


class TrainingLoopObserver(Observer):
    """The observer of training loops."""

    name = "the training loop"

    def install(self, session: AutologSession) -> None:
        """Watch PyTorch as soon as it is imported."""
        self._session = session
        self._patches = Patches()
        self._handles: list[RemovableHandle] = []
        self._loop = WatchedLoop()
        self._fast_path = FastPath(self._loop)
        self._losses = LossFunctions(self._computed, self._fast_path)
        self._loaders = LoaderPasses()
        self._models = ModelHooks(self._guard(self._before_forward))
        self._unhooked = HookFreePickling()
        self._reads = LossReads(self._read, self._loop)
        self._pending = PendingLosses(self._losses)
        self._trainings = TrainingTracker(
            session, self._models, self._loaders.drives, self._losses.settings, self._fast_path
        )
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

    def _guard(self, function: Callable[..., None]) -> Callable[..., None]:
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

    def _patch_making(self, kind: type[torch.optim.Optimizer]) -> None:
        initialize: Callable[..., None] = kind.__init__
        on_optimizer = self._guard(self._after_optimizer_init)

        def watched(optimizer: torch.optim.Optimizer, *args: object, **kwargs: object) -> None:
            initialize(optimizer, *args, **kwargs)
            on_optimizer(optimizer, sys._getframe(1))

        self._patches.set(kind, "__init__", watched)

    def _patch_backward(self, autograd: ModuleType) -> None:
        loop = self._loop
        backward, grad = autograd.backward, autograd.grad
        on_backward, on_gradient = self._guard(self._before_backward), self._guard(self._before_gradient)

        def watched(tensors: Tensors, *args: object, **kwargs: object) -> object:
            on_backward(tensors, sys._getframe(1))
            loop.in_backward += 1
            try:
                return backward(tensors, *args, **kwargs)
            finally:
                loop.in_backward -= 1

        def watched_grad(outputs: Tensors, inputs: Tensors, *args: object, **kwargs: object) -> object:
            on_gradient(outputs, inputs, sys._getframe(1))
            return grad(outputs, inputs, *args, **kwargs)

        self._patches.set(autograd, "backward", watched)
        self._patches.set(autograd, "grad", watched_grad)

    def _patch_scaling(self, kind: type[torch.amp.GradScaler]) -> None:
        scale, on_scaled_loss = kind.scale, self._guard(self._loss_scaled)

        def watched(scaler: torch.amp.GradScaler, outputs: Tensors) -> object:
            result = scale(scaler, outputs)
            on_scaled_loss(outputs, result)
            return result

        self._patches.set(kind, "scale", watched)

    def _computed(self, computed: ComputedLoss, frame: FrameType) -> None:
        """Take a computed loss, to be trained on or only evaluated."""
        loop = self._loop
        result = computed.result
        if loop.in_backward or result is None or (get_ident() != loop.thread and not self._is_here()):
            return
        self._recall()
        if result.requires_grad:
            if loop.evaluating:  # in evaluation mode; whether to train on it will show
                computed.site, computed.loader_pass = call_site(frame), self._loaders.loader_pass
            self._pending.add(computed)
        elif not computed.with_grad and computed.loss.value is not None:
            computed.site, computed.loader_pass = call_site(frame), self._loaders.loader_pass
            self._evaluated(computed, loop.evaluating)

    def _evaluated(self, computed: ComputedLoss, verified: bool | None) -> None:
        self._loop.evaluated_training = self._trainings.current
        self._evaluate(
            computed.site, computed.loader_pass, computed.loss_function.name, computed.loss, verified
        )

    def _evaluate(
        self, at: CallSite, last: LoaderPass | None, name: str, loss: LossValue, verified: bool | None
    ) -> None:
        loader_pass = last if self._is_driven(at) else None
        part = loader_pass.part if loader_pass is not None else 0
        group = evaluation_group(
            at, loader_pass.name if loader_pass else "", part, part in self._loaders.training
        )
        number = last.number if last is not None else 0
        steps = self._trainings.steps
        driving_pass = number if loader_pass is not None else 0
        self._trainings.evaluated(
            EvaluationEvent(at, group, name, loss, number, steps, verified, driving_pass)
        )

    def _read(self, value: float, site: ReadSite, frame: FrameType) -> None:
        """Take a validation loss that the user's code computes by hand and reads as a number."""
        loop = self._loop
        current = self._trainings.current
        if current is None or current is loop.evaluated_training or loop.in_backward or not self._is_here():
            return
        if loop.read_sites.setdefault(id(current), site) is not site:
            return  # the same once more, as a list's item, say
        rows = 1.0 if not site.reduced or math.isnan(loop.evaluated_rows) else loop.evaluated_rows
        loss = LossValue(value, 1.0 if site.reduced == "sum" else rows, rows)
        self._evaluate(call_site(frame), self._loaders.loader_pass, BY_HAND, loss, True)

    def _is_driven(self, at: CallSite) -> bool:
        """Say whether a place is inside a loop over a data loader."""
        return any(self._loaders.drives(loop) for loop, _ in at.loops)

    def _before_forward(self, module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        """Note before a forward pass of a trained model whether it trains or evaluates, and its rows."""
        loop = self._loop
        if loop.in_backward or self._is_compiling() or (get_ident() != loop.thread and not self._is_here()):
            return
        evaluating = not (module.training and self._grads_wanted())
        loop.evaluating = evaluating
        if evaluating:
            loop.evaluated_models.add(id(module))
            loop.evaluated_rows = _rows_in(args)
            return
        if loop.evaluated_models and id(module) in loop.evaluated_models:
            loop.evaluated_models.discard(id(module))
            self._trainings.trains_again(module)
        rows, network_rows = _rows_in(args), loop.forward_rows
        loop.rows = rows if network_rows in (0.0, rows) else math.nan  # which of several, nobody can tell
        loop.forward_rows = rows
        if not self._fast_path.on:
            self._trainings.about_to_train()

    def _loss_scaled(self, outputs: object, result: torch.Tensor) -> None:
        self._recall()
        if isinstance(outputs, self._torch.Tensor) and outputs.grad_fn is not None:
            self._pending.scaled(outputs, result)

    def _before_backward(self, tensors: Tensors, frame: FrameType) -> None:
        loop = self._loop
        if loop.in_backward or (get_ident() != loop.thread and not self._is_here()):
            return
        if loop.in_step:  # a closure may be called many times in a step: its first loss is the step's
            if loop.went_back_in_step:
                self._pending.unused()
                return
            loop.went_back_in_step = True
        if self._fast_path.on and self._goes_on(tensors, frame):
            return
        self._recall()
        for tensor in (tensors,) if isinstance(tensors, self._torch.Tensor) else tuple(tensors):
            if tensor.numel() == 1 and tensor.grad_fn is not None:
                self._train_on(tensor, frame)

    def _goes_on(self, tensor: Any, frame: FrameType) -> bool:
        """Take a backward pass that is as the one before, as nearly all are, and say so."""
        loop = self._loop
        node = tensor.grad_fn if type(tensor) is self._torch.Tensor else None
        if node is None:
            return False
        fast_path, number, loader_pass = self._fast_path, sequence_number(node), self._loaders.loader_pass
        if not fast_path.number:
            only = self._pending.only(number)
            if only is None or not fast_path.takes(only, number):
                return False
            self._pending.computed.clear()
        elif self._pending.computed:
            return False
        if not fast_path.goes_on(number, loader_pass.number if loader_pass is not None else 0, frame):
            return False
        rows, loss = loop.rows, fast_path.loss
        fast_path.rows.append(rows if rows == loss.weight else _plausible(rows, loss, loader_pass))
        loop.rows, loop.forward_rows = math.nan, 0.0
        if loop.evaluating is not False:
            self._looks_no_more()
        return True

    def _recall(self) -> None:
        """Return the loss that the fast path holds to the pending losses."""
        recalled = self._fast_path.recall()
        if recalled is not None:
            self._pending.put(*recalled)

    def _before_gradient(self, outputs: Any, inputs: Tensors, frame: FrameType) -> None:
        """Take `torch.autograd.grad` as the backward pass of a loop without an optimizer."""
        self._recall()
        if self._loop.in_backward or self._trainings.has_optimizer or not self._is_here():
            return
        tensors = (inputs,) if isinstance(inputs, self._torch.Tensor) else tuple(inputs)
        is_loss = isinstance(outputs, self._torch.Tensor) and self._pending.knows(outputs)
        if is_loss and all(tensor.is_leaf for tensor in tensors):
            self._train_on(outputs, frame)

    def _train_on(self, tensor: torch.Tensor, frame: FrameType) -> None:
        loop = self._loop
        if not loop.trains:
            loop.trains = True
            self._session.muted = _rank() != 0
        if self._session.muted:
            return
        at, last = call_site(frame), self._loaders.loader_pass
        number = last.number if last is not None else 0
        network_rows, loop.rows, loop.forward_rows = loop.rows, math.nan, 0.0
        point = at.point
        source = self._pending.source(tensor, frame, point)
        if self._pending.computed:
            self._look_at_unused()
        if last is not None and self._is_driven(at):
            self._loaders.training.add(last.part)
        known = source.label or source.parts or source.loss.weight != 1.0
        rows = _plausible(network_rows, source.loss, last) if known else network_rows
        event = BackwardEvent(at, {}, number, self._trainings.steps, rows, source.inputs)
        self._looks_no_more()
        self._trainings.backward(event, source, point, tensor)

    def _looks_no_more(self) -> None:
        self._loop.evaluating = None if self._models.compiled else False

    def _look_at_unused(self) -> None:
        """Count losses that no backward pass came for as evaluated, if computed in evaluation mode."""
        self._recall()
        for computed in self._pending.unused():
            if computed.site.entries and computed.loss.value is not None:
                self._evaluated(computed, True)

    def _after_optimizer_init(self, optimizer: torch.optim.Optimizer, frame: FrameType) -> None:
        if self._is_here():
            self._trainings.optimizer_created(optimizer, call_site(frame))

    def _before_step(self, optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        loop = self._loop
        loop.in_step, loop.went_back_in_step = True, False

    def _after_step(self, optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
        loop = self._loop
        loop.in_step = False
        if get_ident() != loop.thread and not self._is_here():
            return
        fast_path = self._fast_path
        if not fast_path.on or fast_path.stepped or fast_path.owner != id(optimizer):
            self._recall()
            self._trainings.stepped(optimizer, sys._getframe(1)).stepped(optimizer)
        else:
            fast_path.step()
            fast_path.metrics.stepped(optimizer)

    def _is_here(self) -> bool:
        """Say whether this is the thread that trains: the first one that was seen."""
        loop = self._loop
        here = get_ident()
        loop.thread = loop.thread or here
        return loop.thread == here


def _rows_in(args: tuple[Any, ...]) -> float:
    """Return how many rows go into a network, NaN where that cannot be told: one vector is no batch."""
    shape = getattr(args[0], "shape", None) if args else None
    if not shape or (len(shape) == 1 and args[0].is_floating_point()):
        return math.nan
    return float(shape[0])


def _plausible(network_rows: float, loss: LossValue, loader_pass: LoaderPass | None) -> float:
    """Return how many rows a batch has, NaN where that cannot be told.

    The network got `network_rows`; the loss has gone over as many as it weighs, words of sentences perhaps.
    """
    most = loader_pass.batch if loader_pass is not None else math.nan
    if math.isnan(network_rows):
        return math.nan if loss.weight > most or loss.weight == 1.0 else loss.weight
    return (
        network_rows if network_rows in (loss.weight, most) or network_rows < most < loss.weight else math.nan
    )


def _rank() -> int:
    """Return the number of this process among those that train one model together."""
    import torch

    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if together else 0
