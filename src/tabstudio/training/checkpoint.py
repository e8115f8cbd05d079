"""Checkpoints: one file of tensors and JSON from which a training goes on to the same bits.

It is replaced in one step, so that it is whole or not there at all.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tabstudio._util.atomic_files import draft_path
from tabstudio.errors import TrainingError
from tabstudio.model.networks import Pack
from tabstudio.training.data import TrainingTensors
from tabstudio.training.loop import Epoch, LoopState
from tabstudio.training.plan import TrainingPlan

FILE = "training.safetensors"
VERSION = 2
SECONDS = 2.0
"""At most so often a checkpoint is written: more than that is lost by no kill."""


class CheckpointWriter:
    """Keeps a training's checkpoint in a folder. `key` is the `digest` of the training."""

    def __init__(self, folder: Path, state: LoopState, key: str) -> None:
        self.folder, self.state, self.key = folder, state, key
        self._epoch = 0
        self._written = time.monotonic() - SECONDS

    def resume(self) -> None:
        """Go on from the folder's checkpoint, where there is one."""
        if load(self.folder, self.state, self.key):
            self._epoch = len(self.state.history)

    def keep(self) -> None:
        """Write a checkpoint if the last one is old, or the training is at its end."""
        if self.state.stopped or time.monotonic() - self._written >= SECONDS:
            save(self.folder, self.state, self.key)
            self._epoch, self._written = len(self.state.history), time.monotonic()

    def summary(self) -> str:
        """Where the last good weights are."""
        if not self._epoch:
            return "no checkpoint was kept: no epoch went well"
        return f"the last good checkpoint is of epoch {self._epoch}: {self.folder / FILE}"


def digest(pack: Pack, data: TrainingTensors, plan: TrainingPlan) -> str:
    """SHA-256 (hex) of all that decides a training's course: rows, who holds out what, network, plan.

    `minutes` is left out, so that a training that ran out of time can be given more.
    """
    record = asdict(plan)
    for name in ("minutes", "reasons"):
        record.pop(name)
    shapes = {name: list(tensor.shape) for name, tensor in pack.tensors().items()}
    sha = hashlib.sha256(json.dumps([VERSION, record, pack.description(), shapes], sort_keys=True).encode())
    for tensor in (data.numbers, data.codes, data.labels, data.weights, data.held):
        sha.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        sha.update(tensor.cpu().contiguous().numpy().data)
    return sha.hexdigest()


def save(folder: Path, state: LoopState, key: str) -> None:
    """Write what `load` needs to go on after the last epoch.

    Raises `TrainingError` where the folder cannot be written to; the checkpoint before is then still there.
    """
    from safetensors.torch import save_file

    record = {
        "version": VERSION,
        "digest": key,
        "seconds": state.seconds,
        "steps": state.steps,
        "stopped": state.stopped,
        "best_loss": state.best_loss.tolist(),
        "waited": state.waited.tolist(),
        "members": state.members.tolist(),
        "history": [_epoch_record(epoch) for epoch in state.history],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft_path(folder / FILE) as draft:
            save_file(_tensors(state), draft, metadata={"state": json.dumps(record)})
    except Exception as error:
        raise TrainingError(f"{folder}: the checkpoint cannot be written: {error}") from error


def load(folder: Path, state: LoopState, key: str) -> bool:
    """Put the state where the checkpoint in `folder` left them. False where there is none.

    Raises `TrainingError` for a damaged checkpoint, and for one of other rows or another configuration.
    """
    path = folder / FILE
    if not path.exists():
        return False
    record, tensors = _read(path)
    if record.get("version") != VERSION or record.get("digest") != key:
        raise TrainingError(
            f"{path}: this checkpoint is of other rows or of another configuration; train with the same "
            f"table and options, or start anew without resume"
        )
    state.keep(record["members"])
    with torch.no_grad():
        for kind, tensors_by_name in _kept(state).items():
            for name, tensor in tensors_by_name.items():
                tensor.copy_(tensors[f"{kind}.{name}"])
    adam = {name.removeprefix("adam."): t for name, t in tensors.items() if name.startswith("adam.")}
    state.optimizer.load(adam)
    for m, generator in enumerate(state.pack.generators):
        generator.set_state(tensors[f"random.{m}"])
    state.order.set_state(tensors["order"])
    state.seconds, state.steps = record["seconds"], record["steps"]
    state.stopped = record["stopped"] if record["stopped"] != "minutes" else ""
    state.best_loss = np.asarray(record["best_loss"])
    state.waited = np.asarray(record["waited"])
    state.history = [_epoch(epoch) for epoch in record["history"]]
    return True


def _kept(state: LoopState) -> dict[str, Mapping[str, torch.Tensor]]:
    """Weights of three kinds, by name: as they are, averaged if they are, and the best."""
    averages = {} if state.averages is state.learned else state.averages
    return {"weights": state.learned, "averages": averages, "best": state.best}


def _tensors(state: LoopState) -> dict[str, torch.Tensor]:
    tensors = {
        f"{kind}.{name}": t
        for kind, tensors_by_name in _kept(state).items()
        for name, t in tensors_by_name.items()
    }
    tensors |= {f"adam.{name}": tensor for name, tensor in state.optimizer.state().items()}
    tensors |= {f"random.{m}": generator.get_state() for m, generator in enumerate(state.pack.generators)}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return tensors | {"order": state.order.get_state()}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})["state"])
            return record, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(
            f"{path}: this checkpoint is damaged ({error}); start anew without resume"
        ) from error


def _epoch_record(epoch: Epoch) -> dict[str, object]:
    return {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in asdict(epoch).items()}


def _epoch(record: dict[str, Any]) -> Epoch:
    fields: dict[str, Any] = {n: np.asarray(v) if isinstance(v, list) else v for n, v in record.items()}
    return Epoch(**fields)
