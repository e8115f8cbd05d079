"""Events of a watched process, and the base class of their observers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType
from typing import TYPE_CHECKING

from tabstudio.autologging.trace.call_sites import NOWHERE, CallSite, CodeCall
from tabstudio.autologging.trace.loss_values import LossValue

if TYPE_CHECKING:
    import torch

    from tabstudio.autologging.launch.session import AutologSession
    from tabstudio.tracking import Run
    from tabstudio.tracking.run import Status


@dataclass(eq=False)
class WatchedTraining:
    """One training: the steps of one or several optimizers on one or several models in one loop.

    `models` and `optimizers` hold the objects of the user's process under names of their own (`model`, or
    `netD` and `netG`); `called` the same models as the user calls them, compiled or wrapped. `suffix` is
    appended to the names of metrics and parameters where a run has several trainings, '' for the first.
    `now` tells the number of the epoch that goes on, which is told as a `WatchedEpoch` when it has ended.
    """

    run: Run
    suffix: str = ""
    models: dict[str, torch.nn.Module] = field(default_factory=dict)
    called: dict[str, torch.nn.Module] = field(default_factory=dict)
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    epochs: int = 0
    steps: int = 0
    now: Callable[[], int] = lambda: 0


@dataclass(frozen=True, slots=True)
class WatchedEpoch:
    """An epoch has ended, its validation included, and no later step has changed the weights.

    Where the loop goes by steps, this is the stretch between two validations, and `number` is the last
    step's. `metrics` are by name: `train_loss`, `val_loss`, ...; what was not seen is not in it. `steps` is
    how many steps were made when it was validated: the first epochs are told late, when the loop is known.
    """

    number: int
    metrics: dict[str, float]
    steps: int = 0


@dataclass(eq=False, slots=True)
class LoaderPass:
    """One pass of a loader: what it goes over, what the user calls the loader, how many rows a batch has."""

    number: int
    part: int
    name: str
    batch: float
    began: bool = False


@dataclass(frozen=True, slots=True)
class LossFunction:
    """What computes a loss: one criterion, function or model.

    `label` is how it is called, `name` tells it from others that are called the same.
    """

    label: str
    name: str


@dataclass(slots=True)
class ComputedLoss:
    """A loss that was computed, as it counts in a mean. Its value is None where there are several elements.

    `inputs` stays the same as long as the same target tensor goes in. `with_grad` says whether the inputs
    want gradients, `called` which function of PyTorch was called by which code. `site` and `loader_pass` are
    set where it may be a figure of an evaluation.
    """

    loss_function: LossFunction
    loss: LossValue
    result: torch.Tensor | None
    inputs: int
    with_grad: bool
    site: CallSite = NOWHERE
    loader_pass: LoaderPass | None = None
    called: tuple[str, CodeType] | None = None


@dataclass(slots=True)
class BackwardEvent:
    """A backward pass, after so many `steps` of optimizers.

    `loader_pass` numbers the passes of data loaders, `rows` is NaN where it is not known. `inputs` is a
    number that stays the same as long as the same tensors go in, 0 where that is not known.
    """

    site: CallSite
    losses: dict[str, LossValue]
    loader_pass: int = 0
    steps: int = 0
    rows: float = 0.0
    inputs: int = 0
    time: float = field(default_factory=time.perf_counter)


@dataclass(slots=True)
class EvaluationEvent:
    """A loss that was computed only to look at it. `group` tells one evaluated part from another.

    `verified` says whether the network was asked for it: False for a figure of a batch that is trained on,
    None where that is not known. `driving_pass` is `loader_pass` in a loop over a data loader, 0 elsewhere.
    """

    site: CallSite
    group: str
    name: str
    loss: LossValue
    loader_pass: int = 0
    steps: int = 0
    verified: bool | None = None
    driving_pass: int = 0
    time: float = field(default_factory=time.perf_counter)


Event = BackwardEvent | EvaluationEvent


@dataclass(slots=True)
class LossSource:
    """What a loss that is trained on is: its value, what computed it and what the user calls it.

    `whole` says that it is what its producer has returned, not a sum of several or a multiple; `made_by` is
    that producer where nothing at all was done with it since. `parts` are the losses that it was computed
    from, where it is more than one of them.
    """

    loss: LossValue
    name: str = ""
    label: str = ""
    loss_function: str = ""
    whole: bool = False
    inputs: int = 0
    parts: dict[str, LossValue] = field(default_factory=dict)
    made_by: LossFunction | None = None


@dataclass(slots=True)
class UnfinishedStep:
    """A backward pass that no step of an optimizer has followed yet."""

    event: BackwardEvent
    source: LossSource
    point: CodeCall | None


class Observer:
    """Watches one library or one side of the process: every method is a hook, and does nothing here.

    An exception in any of them is told once; the observer is removed, and the code of the user goes on.
    """

    name = "observer"

    def install(self, session: AutologSession) -> None:
        """Begin. A library is patched when the user imports it: `session.imports.when("seaborn", ...)`."""

    def remove(self) -> None:
        """Put back what was changed."""

    def training_began(self, training: WatchedTraining) -> None:
        """The first step of a training was made; its models and optimizers are known."""

    def training_grew(self, training: WatchedTraining) -> None:
        """Another optimizer, with its models, has joined a training."""

    def trains_again(self, training: WatchedTraining, module: torch.nn.Module) -> None:
        """Take an evaluated model that is about to be trained on, its weights still unchanged."""

    def epoch_ended(self, training: WatchedTraining, epoch: WatchedEpoch) -> None:
        """An epoch has ended."""

    def model_logged(self, model: object, preprocessor: object, registered: bool) -> None:
        """The user's code has logged a model by `tabstudio.log_model`, as a registered version or not."""

    def training_ended(self, training: WatchedTraining) -> None:
        """A training is over: another one has begun, or the process ends."""

    def run_began(self, run: Run) -> None:
        """A run has been started; what comes now belongs to it."""

    def process_ends(self, status: Status) -> None:
        """The process is about to end: this is the last moment to record anything."""
