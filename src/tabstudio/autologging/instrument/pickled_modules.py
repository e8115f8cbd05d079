"""Modules that carry our hooks look as if they did not, where the user saves or scripts them."""

from __future__ import annotations

import functools
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, SupportsIndex

from tabstudio._compat.torch_objects import FORWARD_HOOKS, forward_hooks
from tabstudio.autologging.instrument.patches import Patches

if TYPE_CHECKING:
    from torch import nn


class HookFreePickling:
    """`torch.save(model)`, `pickle` and `torch.jit` write what they would write of an unwatched module.

    A copy keeps its hooks: it may be what the user evaluates.
    """

    def __init__(self) -> None:
        self._patches = Patches()

    def install(self, torch: ModuleType) -> None:
        """Look on where modules are taken apart. There is no hook for it."""
        kind = torch.nn.Module
        reduce = kind.__reduce_ex__

        def watched_reduce(module: nn.Module, protocol: SupportsIndex) -> str | tuple[object, ...]:
            reduced: str | tuple[object, ...] = reduce(module, protocol)
            return (
                reduced if sys._getframe(1).f_globals.get("__name__") == "copy" else _without_hooks(reduced)
            )

        self._patches.set(kind, "__reduce_ex__", watched_reduce)
        for name in ("script", "trace"):
            self._patches.set(torch.jit, name, _unhooking(getattr(torch.jit, name), kind))

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()


def _is_ours(hook: object) -> bool:
    return str(getattr(hook, "__module__", "")).startswith("tabstudio.autologging.")


def _without_hooks(reduced: str | tuple[object, ...]) -> str | tuple[object, ...]:
    """Take our hooks out of what `__reduce_ex__` returns: (maker, arguments, state, ...)."""
    state = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else None
    if not isinstance(state, dict):
        return reduced
    plain = {}
    for name, others in FORWARD_HOOKS.items():
        hooks = state.get(name) or {}
        ours = {key for key, hook in hooks.items() if _is_ours(hook)}
        for each in (name, *others) if ours else ():
            plain[each] = OrderedDict((k, v) for k, v in state[each].items() if k not in ours)
    return (*reduced[:2], {**state, **plain}, *reduced[3:]) if plain else reduced


def _unhooking(function: Callable[..., object], kind: type[nn.Module]) -> Callable[..., object]:
    @functools.wraps(function)
    def watched(*args: object, **kwargs: object) -> object:
        with _without_forward_hooks(args[0] if args and isinstance(args[0], kind) else None):
            return function(*args, **kwargs)

    return watched


@contextmanager
def _without_forward_hooks(module: nn.Module | None) -> Iterator[None]:
    removed = [
        (hooks, key, hook)
        for part in (module.modules() if module is not None else ())
        for hooks in forward_hooks(part)
        for key, hook in list(hooks.items())
        if _is_ours(hook)
    ]
    for hooks, key, _ in removed:
        del hooks[key]
    try:
        yield
    finally:
        for hooks, key, hook in removed:
            hooks[key] = hook
