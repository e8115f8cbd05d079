"""Parameters that describe a training on the page of its run."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

_LIBRARIES = ("accelerate", "lightning", "numpy", "pandas", "polars", "scikit-learn", "torch", "torchmetrics")
_TREE_LENGTH = 5500


def optimizer_parameters(name: str, optimizer: torch.optim.Optimizer) -> dict[str, object]:
    """Describe an optimizer: its class, and every hyperparameter of every group.

    What is the same in all groups is said once.
    """
    groups = [{k: _plain(v) for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    described: dict[str, object] = {name: type(optimizer).__name__}
    for key in groups[0]:
        values = [group.get(key) for group in groups]
        if all(each == values[0] for each in values):
            described[f"{name}.{key}"] = values[0]
        else:
            described |= {f"{name}.{number}.{key}": each for number, each in enumerate(values)}
    if len(groups) > 1:
        described[f"{name}.groups"] = len(groups)
    return described


def model_parameters(name: str, module: nn.Module) -> dict[str, object]:
    """Describe a model: its class, its tree of modules, how many parameters it has, of which kind."""
    parameters = list(module.parameters())
    count = sum(parameter.numel() for parameter in parameters)
    return {
        name: type(module).__name__,
        f"{name}.modules": _cut(repr(module)),
        f"{name}.parameters": count,
        f"{name}.trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        f"{name}.dtype": _kinds(p.dtype for p in parameters),
        f"{name}.device": _kinds(p.device for p in parameters),
    }


def environment_parameters() -> dict[str, object]:
    """Describe what the training runs in: versions, seeds, autocast, threads."""
    import torch

    described: dict[str, object] = {f"version.{name}": number for name, number in _versions().items()}
    described["python"] = sys.version.split()[0]
    described["command"] = " ".join([sys.argv[0], *sys.argv[1:]])
    described["seed.torch"] = torch.initial_seed()
    described["threads"] = torch.get_num_threads()
    described["autocast"] = _autocast(torch)
    if torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        described["world_size"] = torch.distributed.get_world_size()
    return described


def scheduler_parameters(name: str, value: object) -> dict[str, object]:
    """Describe a scheduler of learning rates: its class and its settings."""
    described: dict[str, object] = {name: type(value).__name__}
    for key in inspect.signature(type(value)).parameters:
        setting = vars(value).get(key)
        if key != "last_epoch" and isinstance(setting, int | float | str | list | tuple):
            described[f"{name}.{key}"] = _plain(setting)
    return described


def criterion_parameters(module: nn.Module) -> dict[str, object]:
    """Describe a criterion's settings: what its class was made with."""
    return {
        key: _plain(value)
        for key, value in vars(module).items()
        if not key.startswith("_") and key != "training" and isinstance(value, int | float | str)
    }


def learning_rates(name: str, rates: list[object]) -> dict[str, float]:
    """Name the learning rates of the groups; one name where all are the same."""
    numbers = [rate for rate in rates if isinstance(rate, float | int)]
    if len(numbers) != len(rates) or not numbers:
        return {}
    if all(rate == numbers[0] for rate in numbers):
        return {name: float(numbers[0])}
    return {f"{name}_group_{number}": float(rate) for number, rate in enumerate(numbers)}


def gradient_norm(optimizer: torch.optim.Optimizer) -> torch.Tensor | None:
    """Return the norm of all gradients of an optimizer's parameters, not waited for; None without."""
    import torch

    from tabstudio._compat.torch_functions import foreach_norm

    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not grads or any(grad.is_sparse or grad.device != grads[0].device for grad in grads):
        return None
    with torch.no_grad():
        norms = foreach_norm(grads)
        norm: torch.Tensor = torch.linalg.vector_norm(torch.stack([norm.float() for norm in norms]))
        return norm


def _versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        if name.replace("scikit-learn", "sklearn") in sys.modules:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return versions


def _autocast(torch: ModuleType) -> str:
    for device in ("cuda", "cpu"):
        if torch.is_autocast_enabled(device):
            return str(torch.get_autocast_dtype(device)).removeprefix("torch.")
    return "off"


def _kinds(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value).removeprefix("torch.") for value in values}))


def _cut(text: str) -> str:
    return text if len(text) <= _TREE_LENGTH else text[:_TREE_LENGTH] + "\n..."


def _plain(value: object) -> object:
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=str)
    return value if isinstance(value, int | float | str | bool | None) else str(value)
