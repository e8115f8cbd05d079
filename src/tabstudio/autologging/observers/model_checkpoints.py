"""Keeps the models of a training, the best by validation loss and the last, as `mlflow.pytorch` does."""

from __future__ import annotations

import inspect
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabstudio.autologging.events import Observer, WatchedEpoch, WatchedTraining
from tabstudio.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.export import ExportedProgram
    from torch.utils.hooks import RemovableHandle

    from tabstudio.autologging.launch.session import AutologSession
    from tabstudio.tracking.signature import TensorSpec

EXAMPLE_ROWS = 8
"""Number of rows of a model's input example."""
MOST_EARLY = 4
MOST_EXAMPLE_VALUES = 100_000
"""Number of values up to which the input example is written as text beside the model."""
BY = "val_loss"


@dataclass(eq=False)
class WatchedModel:
    """What is known of one model: how it is called, and its weights in its best epoch.

    The first epochs are told late, when further steps have changed the weights. So whenever training goes on
    after the model was looked at, `versions` notes, by the steps made, which weights these are, and at first
    `early` keeps a copy.
    """

    name: str
    module: nn.Module
    called: nn.Module
    example: tuple[tuple[object, ...], dict[str, object]] | None = None
    rows: int = 0
    handle: RemovableHandle | None = None
    best: dict[str, torch.Tensor] | None = None
    early: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)


@dataclass(eq=False)
class TrainingProgress:
    """Models of one training, with its best epoch and its last one."""

    models: dict[str, WatchedModel] = field(default_factory=dict)
    best: float = math.inf
    epoch: int = 0
    last: WatchedEpoch | None = None


class CheckpointObserver(Observer):
    """Copies weights when the validation loss has improved; exports when the training has ended.

    The first call of a model with 2 rows or more gives the example that it is exported with. The user's
    module is neither changed nor moved: a copy is exported, in evaluation mode.
    """

    name = "models"

    def install(self, session: AutologSession) -> None:
        """Start without models: they are watched when a training begins."""
        self._session = session
        self._courses: dict[WatchedTraining, TrainingProgress] = {}
        self._registered = False

    def remove(self) -> None:
        """Take the hooks away."""
        for course in self._courses.values():
            for watched in course.models.values():
                _unhook(watched)
        self._courses.clear()

    def training_began(self, training: WatchedTraining) -> None:
        """Hook each model to record an example of its inputs."""
        if not self._session.options.log_models:
            return
        course = self._courses.setdefault(training, TrainingProgress())
        for name, module in training.models.items():
            if name not in course.models:
                watched = course.models[name] = WatchedModel(name, module, training.called.get(name, module))
                hook = self._hook(watched)
                watched.handle = watched.called.register_forward_pre_hook(
                    hook, prepend=True, with_kwargs=True
                )

    def training_grew(self, training: WatchedTraining) -> None:
        """Watch the models that have joined, too."""
        self.training_began(training)

    def epoch_ended(self, training: WatchedTraining, epoch: WatchedEpoch) -> None:
        """Copy the weights if the validation loss is the lowest so far."""
        course = self._courses.get(training)
        if course is None:
            return
        course.last = epoch
        if epoch.metrics.get(BY, math.nan) < course.best:
            course.best, course.epoch = epoch.metrics[BY], epoch.number
            for watched in course.models.values():
                watched.best = _weights(watched, epoch, training)

    def model_logged(self, model: object, preprocessor: object, registered: bool) -> None:
        """Note that the user has registered a model, so that no second version is made."""
        self._registered = self._registered or registered

    def training_ended(self, training: WatchedTraining) -> None:
        """Export the best and the last weights of every model."""
        course = self._courses.pop(training, TrainingProgress())
        for watched in course.models.values():
            _unhook(watched)
            self._keep(training, course, watched)

    def trains_again(self, training: WatchedTraining, module: object) -> None:
        """Note the version of the weights that were evaluated."""
        course = self._courses.get(training, TrainingProgress())
        for watched in course.models.values():
            if module is watched.module or module is watched.called:
                watched.versions[training.steps] = _version(watched.module)
                if len(watched.versions) <= MOST_EARLY:
                    watched.early[training.steps] = _copied(watched.module.state_dict(), None)

    def _hook(self, watched: WatchedModel) -> Callable[..., None]:
        def called(_: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            self._called(watched, args, kwargs)

        return self._session.guarded(self, called)

    def _called(self, watched: WatchedModel, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        from tabstudio.model.torch_export import few_rows

        watched.example, watched.rows = few_rows((args, kwargs), EXAMPLE_ROWS)
        if watched.rows >= 2:
            _unhook(watched)

    def _keep(self, training: WatchedTraining, course: TrainingProgress, watched: WatchedModel) -> None:
        from tabstudio.model.torch_export import evaluating_copy

        name = "model" if len(course.models) == 1 else watched.name
        name += training.suffix
        last = evaluating_copy(watched.module)
        best_is_last = course.last is not None and course.epoch == course.last.number
        if watched.best is None or best_is_last:
            self._log(
                training, course, watched, last, name, "last" if watched.best is None else "best and last"
            )
            return
        best = evaluating_copy(watched.module)
        best.load_state_dict(watched.best)
        self._log(training, course, watched, best, name, "best")
        self._log(training, course, watched, last, f"{name}_last", "last")

    def _log(
        self,
        training: WatchedTraining,
        course: TrainingProgress,
        watched: WatchedModel,
        module: nn.Module,
        name: str,
        which: str,
    ) -> None:
        wanted = self._session.options.registered_model_name if name == "model" else None
        wanted = None if self._registered else wanted
        with tempfile.TemporaryDirectory(prefix="tabstudio-") as scratch:
            try:
                with self._session.unwatched():
                    exported = _export(module, watched, Path(scratch))
            except ModelError as error:
                self._keep_weights(training, watched, module, name, str(error), wanted)
                return
            epoch = course.epoch if which.startswith("best") else training.epochs
            metrics = {f"best_{BY}": course.best} if which.startswith("best") else {}
            training.run.network(
                Path(scratch),
                exported.inputs,
                exported.outputs,
                exported.example,
                version=exported.version,
                registered_name=wanted,
                metrics=metrics,
                card=_card(watched, which, epoch),
                tags={"tabstudio.weights": which, "tabstudio.epoch": epoch},
                name=name,
                step=epoch,
            )
            self._registered = self._registered or wanted is not None

    def _keep_weights(
        self,
        training: WatchedTraining,
        watched: WatchedModel,
        module: nn.Module,
        name: str,
        why: str,
        wanted: str | None,
    ) -> None:
        from safetensors.torch import save

        tensors = {key: value.contiguous().clone() for key, value in module.state_dict().items()}
        run = training.run
        run.artifact(save(tensors), f"{name}/weights.safetensors")
        run.artifact(_source(module).encode(), f"{name}/source.py")
        run.artifact(f"{why}\n".encode(), f"{name}/why-not-exported.txt")
        unregistered = f", and no version of {wanted} is registered" if wanted else ""
        self._session.warn(
            f"{watched.name} ({type(module).__name__}) cannot be exported ({why}); its weights and its "
            f"source are kept under {name}/ instead{unregistered}"
        )


@dataclass(frozen=True, slots=True)
class _Exported:
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    example: list[object] | None
    version: str


def _export(module: nn.Module, watched: WatchedModel, folder: Path) -> _Exported:
    """Write `model.pt2`. Raises `ModelError` where the module cannot be exported."""
    import torch

    from tabstudio.model.torch_export import exported, two_rows

    if watched.example is None:
        raise ModelError("it was not called after the first step, so nothing is known of what it takes")
    args, kwargs = two_rows(watched.example)
    program = exported(module, args, kwargs)
    torch.export.save(program, folder / "model.pt2")
    inputs = _specs(program, program.graph_signature.user_inputs)
    outputs = _specs(program, program.graph_signature.user_outputs)
    single = not kwargs and len(args) == 1 and isinstance(args[0], torch.Tensor)
    small = single and args[0].numel() <= MOST_EXAMPLE_VALUES
    return _Exported(inputs, outputs, args[0].tolist() if small else None, str(torch.__version__))


def _specs(program: ExportedProgram, names: Iterable[Any]) -> list[TensorSpec]:
    from tabstudio.tracking.signature import TensorSpec

    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    tensors = [(name, values[name]) for name in names if hasattr(values.get(name), "shape")]
    return [
        TensorSpec(
            name,
            _numpy_name(str(tensor.dtype).removeprefix("torch.")),
            tuple(int(size) if str(size).isdigit() else -1 for size in tensor.shape),
        )
        for name, tensor in tensors
    ]


def _numpy_name(dtype: str) -> str:
    return "float32" if dtype == "bfloat16" else dtype


def _copied(
    state: Mapping[str, torch.Tensor], into: dict[str, torch.Tensor] | None
) -> dict[str, torch.Tensor]:
    """Copy weights to the CPU's memory, into the copy of an earlier epoch where there is one."""
    tensors = {key: value for key, value in state.items() if hasattr(value, "detach")}
    if into is None or into.keys() != tensors.keys():
        return {key: value.detach().to("cpu", copy=True) for key, value in tensors.items()}
    for key, value in tensors.items():
        into[key].copy_(value.detach())
    return into


def _weights(
    watched: WatchedModel, epoch: WatchedEpoch, training: WatchedTraining
) -> dict[str, torch.Tensor] | None:
    """Return the weights that an epoch was validated with, None if they were not copied in time."""
    now = _version(watched.module)
    if epoch.steps == training.steps and watched.versions.get(epoch.steps, now) == now:
        return _copied(watched.module.state_dict(), watched.best)
    return watched.early.get(epoch.steps)


def _version(module: nn.Module) -> int:
    """Return a number that changes with every step of an optimizer."""
    return sum(parameter._version for parameter in module.parameters())


def _unhook(watched: WatchedModel) -> None:
    if watched.handle is not None:
        watched.handle.remove()
        watched.handle = None


def _card(watched: WatchedModel, which: str, epoch: int) -> str:
    return (
        f"`{watched.name}` ({type(watched.module).__name__}), weights: {which}, epoch {epoch}. Load it with "
        "`mlflow.pytorch.load_model`: it is in evaluation mode and takes preprocessed tensors."
    )


def _source(module: nn.Module) -> str:
    """Return the source of the user's own classes in a module, outermost first."""
    classes = dict.fromkeys(type(part) for part in module.modules())
    texts = []
    for kind in classes:
        if not kind.__module__.startswith("torch.") and kind.__module__ in sys.modules:
            try:
                texts.append(inspect.getsource(kind))
            except (OSError, TypeError):  # typed into a prompt: the source is nowhere
                texts.append(f"# the source of {kind.__qualname__} is not at hand\n")
    return "\n\n".join([*texts, f"# as it prints itself:\n{_commented(repr(module))}\n"])


def _commented(text: str) -> str:
    return "\n".join(f"# {line}" for line in text.splitlines())
