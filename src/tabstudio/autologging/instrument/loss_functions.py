"""Sees every loss that is computed: PyTorch's functions and modules, and what the user's own code returns.

PyTorch has no hook on a function, so those of `torch.nn.functional` are replaced by ones that look at the
result. They are the originals under `torch.compile` and in TorchScript, and do nothing once autologging ends.
"""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from tabstudio.autologging.events import ComputedLoss, LossFunction
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.trace import run_parameters
from tabstudio.autologging.trace.call_sites import is_user_file
from tabstudio.autologging.trace.loss_values import LossValue

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.hooks import RemovableHandle

    from tabstudio.autologging.epochs.fast_path import FastPath

_MORE_NAMES = ("cross_entropy", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div")


class LossFunctions:
    """Watches everything that computes a loss and calls `on_loss` with it and the calling frame."""

    def __init__(self, on_loss: Callable[[ComputedLoss, FrameType], None], fast_path: FastPath) -> None:
        self._on_loss, self._fast_path = on_loss, fast_path
        self._patches = Patches()
        self._handles: list[RemovableHandle] = []
        self._watched: set[int] = set()
        self._within = self._inputs = 0
        self._target: weakref.ref[torch.Tensor] | None = None
        self._inner: list[tuple[float, bool]] = []
        self._loss_functions: dict[tuple[object, ...], LossFunction] = {}
        self._criteria: dict[int, tuple[weakref.ref[nn.Module], LossFunction]] = {}
        self.settings: dict[str, dict[str, object]] = {}

    def install(self, torch: ModuleType, guard: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
        """Replace the functions, also where a module of the user has imported them by name."""
        from tabstudio._compat.torch_functions import function_transforms, tensor_item

        functional = torch.nn.functional
        self._guard, self._kind = guard, torch.Tensor
        self._item = tensor_item  # not the one of `torch.Tensor` that is listened to
        self._loss_modules = vars(torch.nn.modules.loss)
        self._transforms = function_transforms
        self._of_function = guard(self._function_returned)
        replacements = {}
        for name in [n for n in dir(functional) if n.endswith("_loss") or n in _MORE_NAMES]:
            original = getattr(functional, name)
            if isinstance(original, FunctionType):
                replacements[original] = self._wrapped(original, name)
                self._patches.set(functional, name, replacements[original])
        for module, name, original in _imported_by_name(set(replacements)):
            self._patches.set(module, name, replacements[original])

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def watch(self, holder: object, name: str, value: object) -> bool:
        """Watch a function or module of the user from now on: its result seems to be the loss.

        Returns whether it can be watched.
        """
        import torch

        if id(value) in self._watched:
            return True
        if isinstance(value, torch.nn.Module):
            self._watch_module(value)
        elif inspect.ismethod(value):
            return self._replace(value.__self__.__class__, name, value.__func__)
        elif isinstance(value, FunctionType) and is_user_file(value.__code__.co_filename):
            return self._replace(sys.modules.get(value.__module__, holder), name, value)
        else:
            return False
        self._watched.add(id(value))
        return True

    def _replace(self, owner: object, name: str, function: Callable[..., object]) -> bool:
        if vars(owner).get(name) is not function:
            return False
        self._patches.set(owner, name, self._watched_function(function))
        return True

    def _loss_function(self, key: tuple[object, ...], label: str) -> LossFunction:
        known = self._loss_functions.get(key)
        if known is None or known.label != label:  # another object may have come to the same place in memory
            known = self._loss_functions[key] = LossFunction(label, f"{label}#{len(self._loss_functions)}")
        return known

    def _enter(self) -> None:
        if not self._within:
            self._inner.clear()
        self._within += 1

    def _watch_module(self, module: nn.Module) -> None:
        """Watch a criterion, or a model that returns its loss, that the user has written."""
        label = type(module).__name__

        def before(*_: object) -> None:
            self._enter()

        def after(
            module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], result: object
        ) -> None:
            self._within -= 1
            self._returned(("module", id(module)), label, result, args, kwargs, sys._getframe(1))

        # Always called: an exception of the user's inside must not leave the count wrong.
        self._handles += [
            module.register_forward_pre_hook(self._guard(before)),
            module.register_forward_hook(self._guard(after), with_kwargs=True, always_call=True),
        ]

    def _watched_function(self, function: Callable[..., object]) -> Callable[..., object]:
        key, label, report = ("function", id(function)), function.__name__, self._guard(self._returned)

        @functools.wraps(function)
        def watched(*args: object, **kwargs: object) -> object:
            self._enter()
            try:
                result = function(*args, **kwargs)
            finally:
                self._within -= 1
            report(key, label, result, args, kwargs, sys._getframe(1))
            return result

        return watched

    def _returned(
        self,
        key: tuple[object, ...],
        label: str,
        result: object,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        frame: FrameType,
    ) -> None:
        rows = max((rows for rows, _ in self._inner), default=0.0) or rows_of((*args, *kwargs.values()))
        summed = bool(self._inner) and all(summed for _, summed in self._inner)
        for position, tensor in _scalars(result):
            self._tell(self._loss_function((*key, position), label), tensor, args, rows, summed, frame)

    def _wrapped(self, function: FunctionType, name: str) -> Callable[..., object]:
        from torch.compiler import is_compiling

        report = self._of_function

        @functools.wraps(function)
        def watched(*args: object, **kwargs: object) -> object:
            if is_compiling():
                return function(*args, **kwargs)
            result = function(*args, **kwargs)
            report(name, result, args, kwargs, sys._getframe(1))
            return result

        # TorchScript compiles what these names say instead of what stands here.
        vars(watched).update({"__script_if_tracing_wrapper": True, "__original_fn": function})
        return watched

    def _function_returned(
        self, name: str, result: Any, args: tuple[object, ...], kwargs: dict[str, object], frame: FrameType
    ) -> None:
        target = args[1] if len(args) > 1 else kwargs.get("target")
        shape = getattr(target, "shape", None)
        rows, summed = float(shape[0]) if shape else rows_of(args), kwargs.get("reduction") == "sum"
        if self._within:
            self._inner.append((rows, summed))
            return
        fast_path = self._fast_path
        if (
            fast_path.on
            and type(result) is self._kind
            and self._transforms() is None
            and fast_path.expects(name, frame.f_code, result)
        ):
            value = self._item(result) if result.is_cpu else read_later(result)
            fast_path.loss = LossValue(value, 1.0 if summed else rows or 1.0, rows or 1.0)
            return
        if frame.f_globals is not self._loss_modules:
            loss_function = self._loss_function(("function", name), name)
        else:
            loss_function = self._criterion(frame.f_locals["self"])
        self._tell(loss_function, result, args, rows, summed, frame, (name, frame.f_code))

    def _criterion(self, criterion: nn.Module) -> LossFunction:
        known = self._criteria.get(id(criterion))
        if known is not None and known[0]() is criterion:
            return known[1]
        label, settings = type(criterion).__name__, run_parameters.criterion_parameters(criterion)
        loss_function = self._gone(label, settings)
        if loss_function is None:
            loss_function = self._loss_function(("module", len(self.settings)), label)
            self.settings[loss_function.name] = settings
        self._criteria[id(criterion)] = weakref.ref(criterion), loss_function
        return loss_function

    def _gone(self, label: str, settings: dict[str, object]) -> LossFunction | None:
        """Find the like of a criterion that is no more: some make theirs anew for every loss."""
        for key, (criterion, loss_function) in list(self._criteria.items()):
            if (
                criterion() is None
                and loss_function.label == label
                and self.settings[loss_function.name] == settings
            ):
                del self._criteria[key]
                return loss_function
        return None

    def _tell(
        self,
        loss_function: LossFunction,
        result: Any,
        args: Sequence[object],
        rows: float,
        summed: bool,
        frame: FrameType,
        called: tuple[str, CodeType] | None = None,
    ) -> None:
        rows, kind = rows or 1.0, self._kind
        if type(result) is not kind or self._transforms() is not None:
            return
        value = read_later(result) if result.numel() == 1 else None
        loss = LossValue(value, 1.0 if summed else rows, rows)
        with_grad = result.requires_grad or any(isinstance(v, kind) and v.requires_grad for v in args)
        computed = ComputedLoss(loss_function, loss, result, self._number(args), with_grad, called=called)
        self._on_loss(computed, frame)

    def _number(self, args: Sequence[object]) -> int:
        for target in reversed(args):
            if isinstance(target, self._kind):
                if self._target is None or self._target() is not target:
                    self._target = weakref.ref(target)
                    self._inputs += 1
                return self._inputs
        return 0


def read_later(tensor: torch.Tensor) -> float | torch.Tensor:
    """Return the value of a tensor of one element: a float, or on a device a copy to be read later."""
    if tensor.is_cpu:
        return tensor.item()
    return tensor.detach().clone()


def rows_of(values: Iterable[object]) -> float:
    """Return the length of the first tensor that has one, 0 without."""
    for value in values:
        shape = getattr(value, "shape", None)
        if shape:
            return float(shape[0])
    return 0.0


def _scalars(result: object) -> Iterator[tuple[object, torch.Tensor]]:
    """Iterate over the results of one element, with their places in a tuple, list or dictionary."""
    if isinstance(result, tuple | list):
        items: Iterable[tuple[object, Any]] = enumerate(result)
    elif hasattr(result, "items"):
        items = result.items()
    else:
        items = [("", result)]
    for position, value in items:
        if getattr(value, "ndim", None) == 0 and value.is_floating_point():
            yield position, value


def _imported_by_name(functions: set[FunctionType]) -> Iterator[tuple[ModuleType, str, FunctionType]]:
    """Find `from torch.nn.functional import mse_loss` in the modules of the user."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if module.__name__ != "__main__" and (path is None or not is_user_file(path)):
            continue
        for name, value in list(vars(module).items()):
            if isinstance(value, FunctionType) and value in functions:
                yield module, name, value
