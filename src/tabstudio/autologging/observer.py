"""What happens in a watched process, and the base class of those who watch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tabstudio.autologging.session import Session
    from tabstudio.tracking import Run
    from tabstudio.tracking.run import Status


@dataclass(eq=False)
class Training:
    """One training: the steps of one or several optimizers on one or several models in one loop.

    `models` and `optimizers` hold the objects of the user's process under names of their own (`model`, or
    `netD` and `netG`); `called` the same models as the user calls them, compiled or wrapped. `suffix` is
    appended to the names of metrics and parameters where a run has several trainings, '' for the first.
    `now` tells the number of the epoch that goes on, which is told as an `Epoch` when it has ended.
    """

    run: Run
    suffix: str = ""
    models: dict[str, Any] = field(default_factory=dict)
    called: dict[str, Any] = field(default_factory=dict)
    optimizers: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0
    steps: int = 0
    now: Callable[[], int] = lambda: 0


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch has ended, its validation included, and no later step has changed the weights.

    Where the loop goes by steps, this is the stretch between two validations, and `number` is the last
    step's. `metrics` are by name: `train_loss`, `val_loss`, ...; what was not seen is not in it. `steps` is
    how many steps were made when it was validated: the first epochs are told late, when the loop is known.
    """

    number: int
    metrics: dict[str, float]
    steps: int = 0


class Observer:
    """Watches one library or one side of the process: every method is a hook, and does nothing here.

    An exception in any of them is told once; the observer is removed, and the code of the user goes on.
    """

    name = "observer"

    def install(self, session: Session) -> None:
        """Begin. A library is patched when the user imports it: `session.imports.when("seaborn", ...)`."""

    def remove(self) -> None:
        """Put back what was changed."""

    def training_began(self, training: Training) -> None:
        """The first step of a training was made; its models and optimizers are known."""

    def training_grew(self, training: Training) -> None:
        """Another optimizer, with its models, has joined a training."""

    def trains_again(self, training: Training, module: Any) -> None:
        """A model that was looked at is about to be trained on: its weights are still those of before."""

    def epoch_ended(self, training: Training, epoch: Epoch) -> None:
        """An epoch has ended."""

    def model_logged(self, model: Any, preprocessor: Any, registered: bool) -> None:
        """The user's code has logged a model by `tabstudio.log_model`, as a registered version or not."""

    def training_ended(self, training: Training) -> None:
        """A training is over: another one has begun, or the process ends."""

    def run_began(self, run: Run) -> None:
        """A run has been started; what comes now belongs to it."""

    def process_ends(self, status: Status) -> None:
        """The process is about to end: this is the last moment to record anything."""
