"""Search the autograd graph of the tensor that `backward` is called on for the losses it is made of.

Nodes of the graph are known by their sequence numbers, so that nothing here keeps a graph alive.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tabstudio._compat.torch_objects import divisor, sequence_number, summed_shape

if TYPE_CHECKING:
    import torch
    from torch.autograd.graph import Node

_LONGEST = 8
_MOST_NODES = 200
_SAME_VALUE = ("AliasBackward0", "CloneBackward0", "SqueezeBackward0", "ToCopyBackward0", "ViewBackward0")
_REDUCING = {"MeanBackward0": "mean", "SumBackward0": "sum"}


@dataclass(slots=True)
class LossAncestor:
    """The loss that a tensor is a multiple of: the number of its node, and by what it was divided.

    `exact` is False where it was multiplied, or by what is not known. `reduced` is `mean` or `sum` where the
    loss held more than one element.
    """

    number: int
    divided: float = 1.0
    exact: bool = True
    reduced: str = ""


def node_number(tensor: torch.Tensor) -> int | None:
    """Return the sequence number of the node that made a tensor, None for one that nothing made."""
    node = tensor.grad_fn
    return None if node is None else int(sequence_number(node))


def find_ancestor(tensor: torch.Tensor, losses: Container[int]) -> LossAncestor | None:
    """Find the one of `losses` that the tensor is, or is a multiple of, on a path that does not branch."""
    node: Node | None = tensor.grad_fn
    divided, exact, reduced = 1.0, True, ""
    for _ in range(_LONGEST):
        if node is None:
            return None
        number = sequence_number(node)
        if number in losses:
            return LossAncestor(number, divided, exact, reduced)
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        name = node.name()
        if len(parents) != 1:
            return None
        if name == "DivBackward0":
            by = _number(divisor(node))
            divided, exact = divided * (by or 1.0), exact and by is not None
        elif name == "MulBackward0":
            exact = False
        elif name in _REDUCING and not reduced:
            reduced = _REDUCING[name]
        elif name not in _SAME_VALUE:
            return None
        node = parents[0]
    return None


def find_parts(tensor: torch.Tensor, losses: Mapping[int, object]) -> list[int]:
    """Find all of `losses` that a tensor was computed from. What is older than they are is not looked at."""
    if not losses:
        return []
    oldest = min(losses)
    parts: set[int] = set()
    waiting: list[Node | None] = [tensor.grad_fn]
    for _ in range(_MOST_NODES):
        if not waiting:
            break
        node = waiting.pop()
        if node is None or not oldest <= (number := sequence_number(node)) < 2**62:
            continue
        if number in losses:
            parts.add(number)
        else:
            waiting += [parent for parent, _ in node.next_functions]
    return sorted(parts)


def rows_summed(tensor: torch.Tensor) -> float:
    """Return over how many values of a batch a tensor is the sum, 0 where it is none: `losses.sum()`."""
    node: Node | None = tensor.grad_fn
    if node is None or node.name() != "SumBackward0":
        return 0.0
    sizes = summed_shape(node)
    made_by = node.next_functions[0][0]
    collected = made_by is None or made_by.name() in ("CatBackward0", "StackBackward0")
    return float(sizes[0]) if sizes and not collected and max(sizes) == sizes[0] == math.prod(sizes) else 0.0


def gradient_leaves(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return the tensors that gradients go to."""
    leaves: dict[int, torch.Tensor] = {}
    waiting: list[Node | None] = [tensor.grad_fn]
    known: set[Node] = set()
    while waiting and len(known) < _MOST_NODES:
        node = waiting.pop()
        if node is None or node in known:
            continue
        known.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            leaves[id(leaf)] = leaf
        waiting += [parent for parent, _ in node.next_functions]
    return list(leaves.values())


def _number(saved: torch.Tensor | None) -> float | None:
    """Read a number that a node has kept; never one that stands on a device."""
    if saved is None or saved.device.type != "cpu" or saved.numel() != 1:
        return None
    return float(saved)
