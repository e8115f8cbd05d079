"""The models of a training: the modules that hold what an optimizer changes, and what the user calls them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, TypeGuard

from tabstudio._compat.torch_objects import is_compiled_in_place, original_module
from tabstudio.autologging.trace import variable_names

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.hooks import RemovableHandle


class ModelHooks:
    """Finds models, and has `before_forward(module, args)` called before each of their forward passes."""

    def __init__(self, before_forward: Callable[[nn.Module, tuple[object, ...]], None]) -> None:
        self._before_forward = before_forward
        self._handles: list[RemovableHandle] = []
        self._hooked: set[int] = set()
        self.compiled = False

    def holding(self, parameters: set[int], frame: FrameType) -> dict[str, nn.Module]:
        """Return the modules, outermost ones only, of which some parameters are among these (by `id`)."""
        named = _holding(parameters, variable_names.variables(frame))
        if not named:
            named = _holding(parameters, (("", each) for each in gc.get_objects() if _is_module(each)))
        inside = {id(m) for module in named.values() for m in module.modules() if m is not module}
        return {name: module for name, module in named.items() if id(module) not in inside}

    def hook(self, module: nn.Module) -> None:
        """Register a forward pre-hook on a module and on the one inside it.

        A compiled module is hooked outside only: a hook inside would have it compiled anew.
        """
        self.compiled = self.compiled or _is_compiled(module)
        inner = module if _is_compiled(module) else unwrap_model(module)
        for each in {id(module): module, id(inner): inner}.values():
            if id(each) not in self._hooked and not is_compiled_in_place(each):
                self._hooked.add(id(each))
                self._handles.append(each.register_forward_pre_hook(self._before_forward))

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._hooked.clear()


def unwrap_model(module: nn.Module) -> nn.Module:
    """Return the user's own module: inside `torch.compile`, `DataParallel`, `DistributedDataParallel`."""
    while True:
        if _is_compiled(module):
            inner = original_module(module)
        elif type(module).__name__.endswith("DataParallel"):
            inner = getattr(module, "module", module)
        else:
            return module
        if inner is module:
            return module
        module = inner


def _is_compiled(module: nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule"


def _is_module(value: object) -> TypeGuard[nn.Module]:
    from torch import nn

    return issubclass(type(value), nn.Module)


def _holding(parameters: set[int], variables: Iterable[tuple[str, object]]) -> dict[str, nn.Module]:
    models: dict[str, nn.Module] = {}
    known: set[int] = set()
    for name, value in variables:
        if _is_module(value) and id(value) not in known:
            known.add(id(value))
            if any(id(parameter) in parameters for parameter in value.parameters()):
                called = name if name not in ("", "self") else type(unwrap_model(value)).__name__
                models.setdefault(called if called not in models else f"{called}_{len(models) + 1}", value)
    return models
