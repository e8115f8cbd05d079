"""Records the data of a training as inputs of its run: splits, tensors and loaders."""

from __future__ import annotations

import hashlib
import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from tabstudio.autologging.events import Observer, WatchedTraining
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.trace import call_arguments, variable_names
from tabstudio.autologging.trace.call_sites import user_frames
from tabstudio.errors import DataError

if TYPE_CHECKING:
    import polars as pl
    from torch import nn
    from torch.utils.data import DataLoader
    from torch.utils.hooks import RemovableHandle

    from tabstudio.autologging.launch.session import AutologSession
    from tabstudio.table.schema import Schema
    from tabstudio.tracking import Run
    from tabstudio.tracking.signature import TensorSpec

HASHED_BYTES = 2**28
"""Bytes up to which all rows are hashed; of more data evenly spaced rows are."""
_CONTEXTS = {"val": "validation", "test": "testing", "train": "training"}
LOOKS = 3
"""Number of forward passes that are compared to find a tensor that all of them get."""


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """One data set: its name, its use (training, validation, testing), fingerprint and schema."""

    name: str
    context: str
    fingerprint: str
    schema: Schema | Sequence[TensorSpec]
    rows: int
    source: str


class Digest(Protocol):
    """A hash that bytes are added to."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""


class DatasetObserver(Observer):
    """Notes data when it is split or first read, and records it when there is a training."""

    name = "data"

    def install(self, session: AutologSession) -> None:
        """Wrap scikit-learn's split and `DataLoader.__iter__`: there are no hooks for them."""
        self._session = session
        self._patches = Patches()
        self._noted: list[DatasetRecord] = []
        self._loaders: weakref.WeakSet[DataLoader[object]] = weakref.WeakSet()
        self._known: set[tuple[int, str, str]] = set()
        self._handles: list[RemovableHandle] = []
        session.imports.when("sklearn.model_selection", self._watch_splits)
        session.imports.when("torch.utils.data.dataloader", self._watch_loaders)

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()
        self._unhook()

    def training_began(self, training: WatchedTraining) -> None:
        """Record the splits; without one, watch whether the model is trained on one tensor all the time."""
        if not self._session.options.log_datasets:
            return
        for data in self._noted:
            self._record(training.run, data)
        if not self._noted:
            self._unhook()
            for name, module in training.called.items():
                hook = self._session.guarded(self, _Same(self, training.run, f"{name}_input").look)
                self._handles.append(module.register_forward_pre_hook(hook))

    def training_ended(self, training: WatchedTraining) -> None:
        """Remove the forward hooks."""
        self._unhook()

    def same_tensor(self, run: Run, name: str, tensor: Any) -> None:
        """Record the one tensor that a model is trained on at every step."""
        self._unhook()
        self._record(run, of_tensors(name, "training", [("input", tensor)]))

    def _unhook(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _record(self, run: Run, data: DatasetRecord | None) -> None:
        if data is not None and (id(run), data.context, data.fingerprint) not in self._known:
            self._known.add((id(run), data.context, data.fingerprint))
            run.dataset(data.name, data.fingerprint, data.schema, data.rows, data.source, data.context)

    def _note(self, data: DatasetRecord) -> None:
        """Keep it for the trainings to come, and record it where there is one."""
        self._noted.append(data)
        if self._session.trainings:
            self._record(self._session.trainings[-1].run, data)

    def _watch_loaders(self, module: ModuleType) -> None:
        iterate = module.DataLoader.__iter__
        on_loader = self._session.guarded(self, self._was_iterated)

        def watched_iter(loader: DataLoader[object]) -> object:
            on_loader(loader)
            return iterate(loader)

        self._patches.set(module.DataLoader, "__iter__", watched_iter)

    def _was_iterated(self, loader: DataLoader[object]) -> None:
        if loader in self._loaders or not self._session.options.log_datasets:
            return
        frame = next(user_frames(sys._getframe(1)), None)
        if frame is None or not call_arguments.is_user_code(frame.f_code):
            return
        self._loaders.add(loader)
        names = list(variable_names.names_of(loader, frame)) or ["loader"]
        name = next((name for name in names if variable_names.part_of(name) in _CONTEXTS), names[0])
        data = _loaded(loader, name, _context(variable_names.part_of(name)))
        if data is not None:
            self._unhook()
            self._note(data)

    def _watch_splits(self, module: ModuleType) -> None:
        split = module.train_test_split
        on_split = self._session.guarded(self, self._was_split)

        def watched(*args: object, **kwargs: object) -> object:
            parts = split(*args, **kwargs)
            on_split(parts)
            return parts

        self._patches.set_function(module, "train_test_split", split, watched)

    def _was_split(self, parts: Sequence[object]) -> None:
        frame = call_arguments.calling_frame()
        if frame is None or not self._session.options.log_datasets:
            return
        names = call_arguments.argument_names(frame)
        for pair in reversed(range(len(parts) // 2)):  # the rows last: a model is linked to the last one
            called = names[pair] if pair < len(names) else ""
            for context, part in zip(("training", "testing"), parts[2 * pair :], strict=False):
                data = _of(called or f"data_{pair + 1}", context, part)
                if data is not None:
                    self._note(data)


class _Same:
    """Compares the inputs of the first forward passes of a training."""

    def __init__(self, inputs: DatasetObserver, run: Run, name: str) -> None:
        self._inputs, self._run, self._name = inputs, run, name
        self._last: Callable[[], Any] = lambda: None
        self._looks = 0

    def look(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if not module.training or not args or not hasattr(args[0], "data_ptr"):
            return
        self._looks += 1
        if self._last() is args[0] and args[0].dim():
            self._inputs.same_tensor(self._run, self._name, args[0])
        elif self._looks == LOOKS:
            self._inputs._unhook()
        self._last = weakref.ref(args[0])


def _of(name: str, context: str, part: Any) -> DatasetRecord | None:
    """Describe one part of a split; None for what is neither a frame nor numbers."""
    import numpy as np

    if hasattr(part, "columns") or hasattr(part, "to_frame"):
        return _of_frame(name, context, part)
    array = part if hasattr(part, "dtype") and hasattr(part, "shape") else np.asarray(part)
    return of_tensors(name, context, [(name, array)]) if str(array.dtype) != "object" else None


def _of_frame(name: str, context: str, frame: Any) -> DatasetRecord | None:
    from tabstudio.table.dataframes import to_polars
    from tabstudio.table.fingerprint import fingerprint
    from tabstudio.table.schema import Column, Kind, Schema

    plain = frame if hasattr(frame, "columns") else frame.to_frame()
    try:
        table = to_polars(plain, name)
    except DataError:  # a frame that no model of ours could read: it is the user's affair
        return None

    def kind(dtype: pl.DataType) -> Kind:
        if dtype.is_numeric():
            return "number"
        return "date" if dtype.is_temporal() else "boolean" if str(dtype) == "Boolean" else "category"

    columns = [
        Column(column, kind(dtype), dtype=str(dtype), missing=table[column].null_count())
        for column, dtype in table.schema.items()
    ]
    return DatasetRecord(name, context, fingerprint(table), Schema(tuple(columns)), len(table), name)


def of_tensors(name: str, context: str, tensors: Sequence[tuple[str, Any]]) -> DatasetRecord:
    """Describe arrays or tensors, (name, array) each, that have their rows in common."""
    from tabstudio.tracking.signature import TensorSpec

    digest = hashlib.sha256()
    specs = []
    for called, tensor in tensors:
        dtype = str(tensor.dtype).removeprefix("torch.").replace("bfloat16", "float32")
        specs.append(TensorSpec(called, dtype, (-1, *map(int, tensor.shape[1:]))))
        _hash(tensor, digest)
    rows = int(tensors[0][1].shape[0]) if tensors and len(tensors[0][1].shape) else 1
    return DatasetRecord(name, context, digest.hexdigest(), specs, rows, name)


def _hash(tensor: Any, digest: Digest) -> None:
    import numpy as np

    digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    size = int(np.prod(tensor.shape)) * 8
    if size > HASHED_BYTES:
        tensor = tensor[:: -(-size // HASHED_BYTES)]
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        tensor = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    digest.update(np.ascontiguousarray(tensor).tobytes())


def _context(part: str) -> str:
    """Return the use of data, by its variable's name, else by whether gradients are enabled."""
    import torch

    return _CONTEXTS.get(part, "training" if torch.is_grad_enabled() else "validation")


def _loaded(loader: DataLoader[object], name: str, context: str) -> DatasetRecord | None:
    """Describe what a `DataLoader` loads: tensors by their content, anything else by its kind and length."""
    dataset = loader.dataset
    indices = getattr(dataset, "indices", None)
    tensors = getattr(getattr(dataset, "dataset", dataset), "tensors", None)
    if tensors is not None:
        if indices is not None:
            tensors = [tensor[list(indices)] for tensor in tensors]
        return of_tensors(
            name, context, [(f"tensor_{position}", tensor) for position, tensor in enumerate(tensors)]
        )
    if not hasattr(dataset, "__len__"):
        return None
    kind = f"{type(dataset).__module__}.{type(dataset).__qualname__}"
    fingerprint = hashlib.sha256(f"{kind} {len(dataset)}".encode()).hexdigest()
    return DatasetRecord(name, context, fingerprint, [], len(dataset), kind)
