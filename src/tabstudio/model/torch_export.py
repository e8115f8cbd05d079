"""A network as a graph of operators by `torch.export`: a copy, evaluating, for any number of rows."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tabstudio._compat.torch_objects import ALL_HOOKS, original_module
from tabstudio.errors import ModelError

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def exported(
    module: nn.Module, args: Sequence[object], kwargs: Mapping[str, object] | None = None
) -> ExportedProgram:
    """The graph of `module.eval()`, traced with an example of at least 2 rows.

    The first dimension of every tensor that has as many rows as the first one is free, the others are those
    of the example. The module, its mode and the random state stay as they are: a copy on the CPU is traced.

    Raises `ModelError` saying in one sentence why a module cannot be exported.
    """
    from torch.export import Dim, export

    example = _on_cpu((tuple(args), dict(kwargs or {})))
    rows = _rows(example)
    shapes = _mapped(
        example, lambda t: {0: Dim.AUTO} if t.dim() and t.shape[0] == rows else {}, lambda _: None
    )
    with untouched_random_state(), warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")  # of the exporter's own doings, such as those with an LSTM's weights
        try:
            twin = evaluating_copy(module)
            named = _shapes_by_name(twin, shapes)
            program = export(twin, *example, dynamic_shapes=named, strict=False)
            if not program.range_constraints:  # frozen by `len(x)`, say; the slower way sees through it
                program = export(twin, *example, dynamic_shapes=named, strict=True)
        except Exception as error:
            raise ModelError(_reason(error)) from error
    if not program.range_constraints:
        raise ModelError(f"it works for {rows} rows only: its code turns the number of rows into a constant")
    return program


def few_rows(example: object, most: int) -> tuple[Any, int]:
    """A copy on the CPU of what a module was called with, cut to `most` rows, and how many it has."""
    tensors = [tensor for tensor in _tensors(example) if tensor.dim()]
    rows = tensors[0].shape[0] if tensors else 0
    count = min(rows, most)
    cut = _mapped(example, lambda t: (t[:count] if t.dim() and t.shape[0] == rows else t).detach().clone())
    return _on_cpu(cut), count


def two_rows(example: object) -> Any:
    """The example, its one row twice where it has one only."""
    sizes = {tensor.shape[0] for tensor in _tensors(example) if tensor.dim()}
    if sizes != {1}:
        return example
    return _mapped(example, lambda t: torch.cat([t, t]) if t.dim() else t)


def _rows(example: object) -> int:
    sizes = [tensor.shape[0] for tensor in _tensors(example) if tensor.dim()]
    if not sizes or sizes[0] < 2:
        raise ModelError("an example of at least 2 rows was expected: one would freeze their number")
    return int(sizes[0])


def evaluating_copy(module: nn.Module) -> nn.Module:
    """A copy of a module on the CPU, in evaluation mode, without hooks, free of its compiled form."""
    module = original_module(module)
    if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
        module = module.module
    memo: dict[int, object] = {}
    for part in module.modules():
        for name in ALL_HOOKS:  # what hooks hold (open files, trackers, whole tensors) is not the model's
            memo[id(part.__dict__[name])] = type(part.__dict__[name])()
    twin = copy.deepcopy(module, memo)
    try:
        twin.eval()
    except TypeError:  # the user has a method `train` of another meaning
        for part in twin.modules():
            part.training = False
    return twin.cpu().requires_grad_(requires_grad=False)


def untouched_random_state() -> AbstractContextManager[None]:
    """A context that puts the CPU's random state back."""
    return torch.random.fork_rng(devices=[])


def _shapes_by_name(twin: nn.Module, shapes: Any) -> Any:
    """Dynamic shapes as `export` wants them: positions where there are no keywords, else names."""
    args, kwargs = shapes
    if not kwargs:
        return args
    import inspect

    names = [
        name for name, p in inspect.signature(twin.forward).parameters.items() if p.kind is not p.VAR_KEYWORD
    ]
    return dict(zip(names, args, strict=False)) | kwargs


def _mapped(
    value: object,
    function: Callable[[Tensor], object],
    other: Callable[[object], object] = lambda value: value,
) -> Any:
    """Apply `function` to every tensor of nested containers, and `other` to every other leaf."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: _mapped(inner, function, other) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        parts = [_mapped(inner, function, other) for inner in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return other(value)


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return [tensor for part in inner for tensor in _tensors(part)]


def _on_cpu(value: object) -> Any:
    return _mapped(value, lambda tensor: tensor.detach().cpu())


_LOUD = ("torch.fx.experimental.symbolic_shapes", "torch._subclasses.fake_tensor")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's logs and output; an error is reported in one sentence."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was


def _reason(error: Exception) -> str:
    if type(error).__name__.startswith("GuardOnDataDependent"):
        return "its path through the code depends on the values of tensors; torch.where would not"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
