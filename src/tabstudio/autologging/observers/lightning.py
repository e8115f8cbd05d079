"""Records what a Lightning `Trainer` measures, by Lightning's own epochs."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from tabstudio.autologging.events import Observer, WatchedEpoch, WatchedTraining
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.trace import run_parameters

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tabstudio.autologging.launch.session import AutologSession


class Trainer(Protocol):
    """Attributes of a Lightning trainer that are read, and its list of callbacks."""

    callbacks: list[object]
    optimizers: list[torch.optim.Optimizer]
    callback_metrics: dict[str, torch.Tensor]
    current_epoch: int


class LightningObserver(Observer):
    """Records what a `Trainer` measures in each epoch. Accelerate needs no help: its loops are the user's."""

    name = "Lightning"

    def install(self, session: AutologSession) -> None:
        """Wrap `Trainer.fit` as soon as Lightning is imported."""
        self._session = session
        self._patches = Patches()
        for package in ("lightning.pytorch", "pytorch_lightning"):
            session.imports.when(package, self._watch)

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()

    def _watch(self, package: ModuleType) -> None:
        fit, begins = package.Trainer.fit, self._session.guarded(self, self._begins)
        session = self._session

        def watched(trainer: Trainer, model: nn.Module, *args: object, **kwargs: object) -> object:
            begins(package, trainer, model)
            with session.unwatched():  # the loop inside is Lightning's
                return fit(trainer, model, *args, **kwargs)

        self._patches.set(package.Trainer, "fit", watched)

    def _begins(self, package: ModuleType, trainer: Trainer, model: nn.Module) -> None:
        session = self._session
        training = session.begin_training()
        training.models["model"] = model
        record = self._record
        suffix = training.suffix

        class Recording(package.Callback):  # type: ignore[name-defined, misc]
            def on_fit_start(self, trainer: Trainer, module: nn.Module) -> None:
                params = run_parameters.model_parameters("model", module)
                for number, optimizer in enumerate(trainer.optimizers):
                    params |= run_parameters.optimizer_parameters(
                        f"optimizer_{number + 1}" if number else "optimizer", optimizer
                    )
                params |= run_parameters.environment_parameters()
                session.params({f"{name}{suffix}": v for name, v in params.items()}, training.run)

            def on_train_epoch_end(self, trainer: Trainer, module: nn.Module) -> None:
                record(training, trainer)

        trainer.callbacks.append(Recording())

    def _record(self, training: WatchedTraining, trainer: Trainer) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        training.epochs = trainer.current_epoch + 1
        self._session.metrics(
            {f"{name}{training.suffix}": value for name, value in values.items()},
            training.epochs,
            training.run,
        )
        self._session.tell("epoch_ended", training, WatchedEpoch(training.epochs, values))
