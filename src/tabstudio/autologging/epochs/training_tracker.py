"""Which training a step, a backward pass or an evaluation belongs to."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

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
    from tabstudio.autologging.launch.session import AutologSession


class TrainingTracker:
    """All trainings of the process; `current` is the one that goes on."""

    def __init__(
        self,
        session: AutologSession,
        models: ModelHooks,
        driven: Callable[[CodeLoop], bool],
        settings: Mapping[str, dict[str, Any]],
        steady: FastPath,
    ) -> None:
        self.current: TrainingMetrics | None = None
        self.anything_made = False
        self._session, self._models, self._driven, self._settings = session, models, driven, settings
        self._all: list[TrainingMetrics] = []
        self._owners: dict[
            int, TrainingMetrics
        ] = {}  # by the identity of optimizers, which their trainings hold
        self._steps: dict[int, int] = {}
        self._made: weakref.WeakKeyDictionary[Any, CallSite] = weakref.WeakKeyDictionary()
        self._open: list[UnfinishedStep] = []
        self._early: list[EvaluationEvent] = []
        self._changes = _Changes()
        self._steady = steady
        self._before: tuple[CodeCall | None, int] | None = None

    @property
    def steps(self) -> int:
        """The number of steps of the current training."""
        return self.current.training.steps if self.current is not None else 0

    def made(self, optimizer: Any, place: CallSite) -> None:
        """An optimizer was made."""
        self.anything_made = True
        self._made[optimizer] = place

    def backward(self, event: BackwardEvent, source: LossSource, point: CodeCall | None, tensor: Any) -> None:
        """A backward pass is made. It counts when a step follows, or when there is no optimizer."""
        self._loosen()
        if self.current is None and not self.anything_made and len(self._open) < 3:
            self._changes.look(tensor)
        self._open.append(UnfinishedStep(event, source, point))
        stepless = self._changes.seen if self.current is None else not self.current.training.optimizers
        if stepless or len(self._open) >= MOST_WAITING:
            self.settle()

    def evaluated(self, event: EvaluationEvent) -> None:
        """A loss was computed only to be looked at."""
        self._loosen()
        if self._open:
            self.settle()
        if self.current is not None:
            self.current.evaluated(event)
        elif len(self._early) < 100 * MOST_WAITING:
            self._early.append(event)

    def trains_again(self, module: Any) -> None:
        """A model that was looked at is about to be trained on again."""
        if self.current is not None:
            self._session.tell("trains_again", self.current.training, module)

    def about_to_train(self) -> None:
        """A batch goes into a model that is trained."""
        if self.current is not None and not self._open:
            self.current.epochs.about_to_train()

    def stepped(self, optimizer: Any, frame: FrameType) -> TrainingMetrics:
        """An optimizer has made a step, no steady one: the backward passes before it are its own."""
        owner = id(optimizer)
        self._loosen()
        following = self._owners.get(owner)
        if following is None:
            following = self._owners[owner] = self._owner(optimizer, call_site(frame))
            self._introduce(following, optimizer, frame)
        if following.epochs.shape is None:
            following.epochs.stepped(call_site(frame))
        self.current = following
        count = self._steps[owner] = self._steps.get(owner, 0) + 1
        open_ = self._open
        self._commit(following, owner, count)
        following.training.steps = max(following.training.steps, count)
        self._look_for_likeness(following, owner, open_)
        return following

    def _look_for_likeness(self, following: TrainingMetrics, owner: int, steps: list[UnfinishedStep]) -> None:
        """Two steps in a row of the same kind in the same epoch: those that come will be so, too."""
        before, self._before = self._before, (steps[0].point, owner) if len(steps) == 1 else None
        if self._before is None or self._before != before:
            return
        (step,) = steps
        producer = step.source.made_by
        visit = step.event.visit
        if producer is not None and following.epochs.goes_on(step.event.place.entries, visit):
            count, site = self._steps[owner], following.sites[before]
            self._steady.begin(following, owner, count, site, producer, step.point, visit)

    def _loosen(self) -> None:
        """Something else happens than steps as the one before."""
        steady = self._steady
        if not steady.on:
            return
        if (unfinished := steady.end()) is not None:
            self._open.append(unfinished)
        self._steps[steady.owner] = steady.count

    def settle(self) -> None:
        """Decide about backward passes that no step has followed.

        Without an optimizer they are the steps, if they changed something. With one they are the rest of an
        accumulated gradient where others of their kind were followed by a step; else something else.
        """
        if self.current is None and not self.anything_made and self._open and self._changes.seen:
            self.current = self._begin()
            params = run_parameters.environment_parameters()
            params |= self._introduce_models(
                self.current.training, self._changes.leaves(), sys._getframe(1), alone=True
            )
            self._params(params, self.current)
            self._session.tell("training_began", self.current.training)
        self._loosen()
        current, open_, self._open = self.current, self._open, []
        if current is None:
            return
        if not current.training.optimizers:
            self._open = open_
            self._commit(current, 0)
            current.epochs.without_optimizer()
            return
        owners = dict(current.sites.keys())
        for owner in set(owners.values()):
            self._open = [backward for backward in open_ if owners.get(backward.point) == owner]
            self._commit(current, owner, current.training.steps + 1)

    def end(self) -> None:
        """The process ends: close everything."""
        self.settle()
        self._end_current()

    def _commit(self, following: TrainingMetrics, owner: int, step: int = 0) -> None:
        losses: dict[str, list[LossValue]] = {}
        open_, self._open = self._open, []
        for backward in open_:
            site, source, event = self._site(following, backward, owner), backward.source, backward.event
            losses.setdefault(site.name, []).append(source.loss)
            event.losses = {site.name: source.loss, **source.parts}
            event.steps = following.training.steps
            following.epochs.take(event)
            if not owner:
                following.training.steps += 1
                following.step_loss(site.name, losses.pop(site.name), following.training.steps)
        for name, several in losses.items():
            following.step_loss(name, several, step)

    def _site(self, following: TrainingMetrics, backward: UnfinishedStep, owner: int) -> BackwardSite:
        key, source = (backward.point, owner), backward.source
        site = following.sites.get(key)
        if site is None:
            taken = {each.name for each in following.sites.values()}
            site = following.sites[key] = BackwardSite(free_name(source.name, taken))
        if source.label and not site.label:
            name = "loss" if len(following.sites) == 1 else f"loss.{site.name}"
            settings = self._settings.get(source.producer, {})
            self._params({name: source.label, **{f"{name}.{k}": v for k, v in settings.items()}}, following)
        site.label, site.producer, site.whole = source.label, source.producer, source.whole
        return site

    def _params(self, params: dict[str, Any], following: TrainingMetrics) -> None:
        training = following.training
        named = {f"{name}{training.suffix}": value for name, value in params.items()}
        self._session.params(named, training.run)

    def _owner(self, optimizer: Any, place: CallSite) -> TrainingMetrics:
        """Find the training of an optimizer that steps for the first time."""
        parameters = _parameters(optimizer)
        for following in reversed(self._all):
            if following.shares(parameters):
                following.epochs.remade()
                return following
        current = self.current
        if current is None or (current.training.optimizers and not current.epochs.joins(place)):
            current = self._begin()
        elif current.training.optimizers:
            current.epochs.join(place)
        if not current.training.optimizers:
            current.epochs.made(self._made.get(optimizer, NOWHERE))
        return current

    def _begin(self) -> TrainingMetrics:
        self._end_current()
        training = self._session.begin_training()
        options = self._session.options
        following = TrainingMetrics(
            training,
            self._record,
            self._record_series,
            self._tell,
            self._params,
            self._driven,
            options.log_every_n_step,
        )
        self._all.append(following)
        early, self._early = self._early, []
        for event in early:
            following.evaluated(event)
        return following

    def _introduce(self, following: TrainingMetrics, optimizer: Any, frame: FrameType) -> None:
        """Record what a training is made of, as far as its optimizers so far tell."""
        training = following.training
        first = not training.optimizers
        alone = first and all(id(made) in self._owners for made in self._made)
        parameters = _parameters(optimizer)
        following.parameters |= {id(p): weakref.ref(p) for p in parameters}
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
        self._params(params, following)
        self._session.tell("training_began" if first else "training_grew", training)

    def _introduce_models(
        self, training: WatchedTraining, parameters: list[Any], frame: FrameType, alone: bool
    ) -> dict[str, Any]:
        found = self._models.found({id(p) for p in parameters}, frame)
        params: dict[str, Any] = {}
        for called, module in found.items():
            inner = unwrap_model(module)
            self._models.hook(module)
            if all(inner is not known for known in training.models.values()):
                name = free_name("model" if alone and len(found) == 1 else called, training.models)
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
    """Without an optimizer, a loop of backward passes is a training if what they go to changes."""

    def __init__(self) -> None:
        self.seen = False
        self._before: list[tuple[weakref.ref[Any], float]] = []

    def look(self, tensor: Any) -> None:
        """Look at the leaves of a graph: for the first time, and whether they have changed since."""
        if not self._before:
            self._before = [
                (weakref.ref(leaf), _sum(leaf)) for leaf in autograd_graph.gradient_leaves(tensor)
            ]
        changed = ((leaf := known()) is not None and _sum(leaf) != was for known, was in self._before)
        self.seen = self.seen or any(changed)

    def leaves(self) -> list[Any]:
        """Return the leaves that still exist."""
        return [leaf for known, _ in self._before if (leaf := known()) is not None]


def _sum(tensor: Any) -> float:
    return float(tensor.detach().double().sum())


def _parameters(optimizer: Any) -> list[Any]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
