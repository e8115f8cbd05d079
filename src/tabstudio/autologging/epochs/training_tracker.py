"""Which training a step, a backward pass or an evaluation belongs to."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING

from tabstudio.autologging.epochs.epoch_detection import MOST_WAITING
from tabstudio.autologging.epochs.fast_path import FastPath
from tabstudio.autologging.epochs.pending_losses import free_name
from tabstudio.autologging.epochs.training_metrics import BackwardSite, TrainingMetrics
from tabstudio.autologging.events import (
    BackwardEvent,
    EvaluationEvent,
    LossSource,
    UnfinishedStep,
    WatchedEpoch,
    WatchedTraining,
)
from tabstudio.autologging.instrument.model_hooks import ModelHooks, unwrap_model
from tabstudio.autologging.trace import autograd_graph, run_parameters, variable_names
from tabstudio.autologging.trace.call_sites import NOWHERE, CallSite, CodeCall, CodeLoop, call_site
from tabstudio.autologging.trace.loss_values import LossValue

if TYPE_CHECKING:
    import torch

    from tabstudio.autologging.launch.session import AutologSession


class TrainingTracker:
    """All trainings of the process; `current` is the one that goes on."""

    def __init__(
        self,
        session: AutologSession,
        models: ModelHooks,
        driven: Callable[[CodeLoop], bool],
        settings: Mapping[str, Mapping[str, object]],
        fast_path: FastPath,
    ) -> None:
        self.current: TrainingMetrics | None = None
        self.has_optimizer = False
        self._session, self._models, self._driven, self._settings = session, models, driven, settings
        self._all: list[TrainingMetrics] = []
        self._owners: dict[
            int, TrainingMetrics
        ] = {}  # by the identity of optimizers, which their trainings hold
        self._steps: dict[int, int] = {}
        self._optimizer_sites: weakref.WeakKeyDictionary[torch.optim.Optimizer, CallSite] = (
            weakref.WeakKeyDictionary()
        )
        self._open_steps: list[UnfinishedStep] = []
        self._early_evaluations: list[EvaluationEvent] = []
        self._changes = _Changes()
        self._fast_path = fast_path
        self._before: tuple[CodeCall | None, int] | None = None

    @property
    def steps(self) -> int:
        """Return the number of steps of the current training."""
        return self.current.training.steps if self.current is not None else 0

    def optimizer_created(self, optimizer: torch.optim.Optimizer, site: CallSite) -> None:
        """Note where an optimizer was created."""
        self.has_optimizer = True
        self._optimizer_sites[optimizer] = site

    def backward(
        self, event: BackwardEvent, source: LossSource, point: CodeCall | None, tensor: torch.Tensor
    ) -> None:
        """Take a backward pass; it counts when a step follows, or when there is no optimizer."""
        self._loosen()
        if self.current is None and not self.has_optimizer and len(self._open_steps) < 3:
            self._changes.look(tensor)
        self._open_steps.append(UnfinishedStep(event, source, point))
        stepless = self._changes.any_changed if self.current is None else not self.current.training.optimizers
        if stepless or len(self._open_steps) >= MOST_WAITING:
            self.settle()

    def evaluated(self, event: EvaluationEvent) -> None:
        """Take an evaluated loss."""
        self._loosen()
        if self._open_steps:
            self.settle()
        if self.current is not None:
            self.current.evaluated(event)
        elif len(self._early_evaluations) < 100 * MOST_WAITING:
            self._early_evaluations.append(event)

    def trains_again(self, module: torch.nn.Module) -> None:
        """Tell the observers that an evaluated model is about to be trained again."""
        if self.current is not None:
            self._session.tell("trains_again", self.current.training, module)

    def about_to_train(self) -> None:
        """Note that a batch goes into a model that is trained."""
        if self.current is not None and not self._open_steps:
            self.current.epochs.about_to_train()

    def stepped(self, optimizer: torch.optim.Optimizer, frame: FrameType) -> TrainingMetrics:
        """Take an optimizer's step outside the fast path, with the backward passes before it."""
        owner = id(optimizer)
        self._loosen()
        metrics = self._owners.get(owner)
        if metrics is None:
            metrics = self._owners[owner] = self._owner(optimizer, call_site(frame))
            self._introduce(metrics, optimizer, frame)
        if metrics.epochs.shape is None:
            metrics.epochs.stepped(call_site(frame))
        self.current = metrics
        count = self._steps[owner] = self._steps.get(owner, 0) + 1
        open_steps = self._open_steps
        self._commit(metrics, owner, count)
        metrics.training.steps = max(metrics.training.steps, count)
        self._look_for_likeness(metrics, owner, open_steps)
        return metrics

    def _look_for_likeness(self, metrics: TrainingMetrics, owner: int, steps: list[UnfinishedStep]) -> None:
        """Enter the fast path after two steps in a row of the same kind in the same epoch."""
        before, self._before = self._before, (steps[0].point, owner) if len(steps) == 1 else None
        if self._before is None or self._before != before:
            return
        (step,) = steps
        loss_function = step.source.made_by
        loader_pass = step.event.loader_pass
        if loss_function is not None and metrics.epochs.goes_on(step.event.site.entries, loader_pass):
            count, backward_site = self._steps[owner], metrics.backward_sites[before]
            self._fast_path.begin(
                metrics, owner, count, backward_site, loss_function, step.point, loader_pass
            )

    def _loosen(self) -> None:
        """Leave the fast path: something other than a step like the last one happens."""
        fast_path = self._fast_path
        if not fast_path.on:
            return
        if (unfinished := fast_path.end()) is not None:
            self._open_steps.append(unfinished)
        self._steps[fast_path.owner] = fast_path.count

    def settle(self) -> None:
        """Decide about backward passes that no step has followed.

        Without an optimizer they are the steps, if they changed something. With one they are the rest of an
        accumulated gradient where others of their kind were followed by a step; else something else.
        """
        if self.current is None and not self.has_optimizer and self._open_steps and self._changes.any_changed:
            self.current = self._begin()
            params = run_parameters.environment_parameters()
            params |= self._introduce_models(
                self.current.training, self._changes.leaves(), sys._getframe(1), alone=True
            )
            self._params(params, self.current)
            self._session.tell("training_began", self.current.training)
        self._loosen()
        current, open_steps, self._open_steps = self.current, self._open_steps, []
        if current is None:
            return
        if not current.training.optimizers:
            self._open_steps = open_steps
            self._commit(current, 0)
            current.epochs.without_optimizer()
            return
        owners = dict(current.backward_sites.keys())
        for owner in set(owners.values()):
            self._open_steps = [backward for backward in open_steps if owners.get(backward.point) == owner]
            self._commit(current, owner, current.training.steps + 1)

    def end(self) -> None:
        """Close everything at the end of the process."""
        self.settle()
        self._end_current()

    def _commit(self, metrics: TrainingMetrics, owner: int, step: int = 0) -> None:
        losses: dict[str, list[LossValue]] = {}
        open_steps, self._open_steps = self._open_steps, []
        for backward in open_steps:
            backward_site, source, event = (
                self._backward_site(metrics, backward, owner),
                backward.source,
                backward.event,
            )
            losses.setdefault(backward_site.name, []).append(source.loss)
            event.losses = {backward_site.name: source.loss, **source.parts}
            event.steps = metrics.training.steps
            metrics.epochs.take(event)
            if not owner:
                metrics.training.steps += 1
                metrics.step_loss(backward_site.name, losses.pop(backward_site.name), metrics.training.steps)
        for name, several in losses.items():
            metrics.step_loss(name, several, step)

    def _backward_site(self, metrics: TrainingMetrics, backward: UnfinishedStep, owner: int) -> BackwardSite:
        key, source = (backward.point, owner), backward.source
        backward_site = metrics.backward_sites.get(key)
        if backward_site is None:
            used_names = {each.name for each in metrics.backward_sites.values()}
            backward_site = metrics.backward_sites[key] = BackwardSite(free_name(source.name, used_names))
        if source.label and not backward_site.label:
            name = "loss" if len(metrics.backward_sites) == 1 else f"loss.{backward_site.name}"
            settings = self._settings.get(source.loss_function, {})
            self._params({name: source.label, **{f"{name}.{k}": v for k, v in settings.items()}}, metrics)
        backward_site.label, backward_site.loss_function, backward_site.whole = (
            source.label,
            source.loss_function,
            source.whole,
        )
        return backward_site

    def _params(self, params: dict[str, object], metrics: TrainingMetrics) -> None:
        training = metrics.training
        named = {f"{name}{training.suffix}": value for name, value in params.items()}
        self._session.params(named, training.run)

    def _owner(self, optimizer: torch.optim.Optimizer, site: CallSite) -> TrainingMetrics:
        """Find the training of an optimizer that steps for the first time."""
        parameters = _parameters(optimizer)
        for metrics in reversed(self._all):
            if metrics.shares(parameters):
                metrics.epochs.optimizer_recreated()
                return metrics
        current = self.current
        if current is None or (current.training.optimizers and not current.epochs.joins(site)):
            current = self._begin()
        elif current.training.optimizers:
            current.epochs.join(site)
        if not current.training.optimizers:
            current.epochs.optimizer_created(self._optimizer_sites.get(optimizer, NOWHERE))
        return current

    def _begin(self) -> TrainingMetrics:
        self._end_current()
        training = self._session.begin_training()
        options = self._session.options
        metrics = TrainingMetrics(
            training,
            self._record,
            self._record_series,
            self._tell,
            self._params,
            self._driven,
            options.log_every_n_step,
        )
        self._all.append(metrics)
        early, self._early_evaluations = self._early_evaluations, []
        for event in early:
            metrics.evaluated(event)
        return metrics

    def _introduce(
        self, metrics: TrainingMetrics, optimizer: torch.optim.Optimizer, frame: FrameType
    ) -> None:
        """Record what a training is made of, as far as its optimizers so far tell."""
        training = metrics.training
        first = not training.optimizers
        alone = first and all(id(known) in self._owners for known in self._optimizer_sites)
        parameters = _parameters(optimizer)
        metrics.parameters |= {id(p): weakref.ref(p) for p in parameters}
        called = "optimizer" if alone else variable_names.name_of(optimizer, frame) or "optimizer"
        called = free_name(called, training.optimizers)
        training.optimizers[called] = optimizer
        params = run_parameters.environment_parameters() if first else {}
        params |= run_parameters.optimizer_parameters(called, optimizer)
        params |= self._introduce_models(training, parameters, frame, alone)
        for _, value in variable_names.variables(frame):
            if getattr(value, "optimizer", None) is optimizer and hasattr(value, "last_epoch"):
                params |= run_parameters.scheduler_parameters(
                    "scheduler" if alone else f"scheduler.{called}", value
                )
        self._params(params, metrics)
        self._session.tell("training_began" if first else "training_grew", training)

    def _introduce_models(
        self, training: WatchedTraining, parameters: list[torch.Tensor], frame: FrameType, alone: bool
    ) -> dict[str, object]:
        models = self._models.holding({id(p) for p in parameters}, frame)
        params: dict[str, object] = {}
        for called, module in models.items():
            inner = unwrap_model(module)
            self._models.hook(module)
            if all(inner is not known for known in training.models.values()):
                name = free_name("model" if alone and len(models) == 1 else called, training.models)
                training.models[name] = inner
                training.called[name] = module
                params |= run_parameters.model_parameters(name, inner)
        return params

    def _end_current(self) -> None:
        if self.current is not None:
            self.current.end()
            training = self.current.training
            epochs = {"epochs": training.epochs} if training.epochs else {}
            self._params({**epochs, "steps": training.steps}, self.current)
            self._session.tell("training_ended", self.current.training)

    def _record(self, training: WatchedTraining, values: dict[str, float], step: int) -> None:
        self._session.metrics(
            {f"{name}{training.suffix}": v for name, v in values.items()}, step, training.run
        )

    def _record_series(self, training: WatchedTraining, name: str, values: list[tuple[int, float]]) -> None:
        training.run.series(f"{name}{training.suffix}", values)

    def _tell(self, training: WatchedTraining, epoch: WatchedEpoch) -> None:
        self._session.tell("epoch_ended", training, epoch)


class _Changes:
    """Watches whether gradient leaves change: without an optimizer that makes a loop a training."""

    def __init__(self) -> None:
        self.any_changed = False
        self._before: list[tuple[weakref.ref[torch.Tensor], float]] = []

    def look(self, tensor: torch.Tensor) -> None:
        """Look at the leaves of a graph: for the first time, and whether they have changed since."""
        if not self._before:
            self._before = [
                (weakref.ref(leaf), _sum(leaf)) for leaf in autograd_graph.gradient_leaves(tensor)
            ]
        changed = ((leaf := known()) is not None and _sum(leaf) != was for known, was in self._before)
        self.any_changed = self.any_changed or any(changed)

    def leaves(self) -> list[torch.Tensor]:
        """Return the leaves that still exist."""
        return [leaf for known, _ in self._before if (leaf := known()) is not None]


def _sum(tensor: torch.Tensor) -> float:
    return float(tensor.detach().double().sum())


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
