"""Private attributes of PyTorch's modules, graph nodes and data loaders. It does not import torch itself."""

from __future__ import annotations

from collections.abc import Sequence
from operator import methodcaller
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

sequence_number = methodcaller("_sequence_nr")
"""The number of a node of the autograd graph: later nodes have higher ones, leaves 2**64 - 1."""

FORWARD_HOOKS = {
    "_forward_pre_hooks": ("_forward_pre_hooks_with_kwargs",),
    "_forward_hooks": ("_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
}
"""The hooks of a module, and the marks that go with them under the same keys."""
ALL_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


def forward_hooks(module: nn.Module) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return the hooks before and after a module's forward pass, themselves and no copies."""
    return module._forward_pre_hooks, module._forward_hooks


def original_module(module: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile(module)`; any other as it is."""
    original: nn.Module = getattr(module, "_orig_mod", module)
    return original


def is_compiled_in_place(module: nn.Module) -> bool:
    """Return whether `module.compile()` was called."""
    return getattr(module, "_compiled_call_impl", None) is not None


def batch_iterator_class(data: ModuleType) -> type[Any]:
    """Return the class whose `__next__` gives the batches of a `DataLoader`; `data` is its module."""
    iterator: type[Any] = data._BaseDataLoaderIter
    return iterator


def divisor(node: torch.autograd.graph.Node) -> torch.Tensor | None:
    """Return the tensor by which a `DivBackward0` divides; None where the node has kept none."""
    return getattr(node, "_saved_other", None)


def summed_shape(node: torch.autograd.graph.Node) -> Sequence[int]:
    """Return the shape of what a `SumBackward0` has summed."""
    shape: Sequence[int] = node._saved_self_sym_sizes  # type: ignore[attr-defined]
    return shape
