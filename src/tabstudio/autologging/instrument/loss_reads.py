"""Validation losses that are written out by hand: no function computes them, but the user reads a number.

PyTorch has no hook on reading a tensor. So `item` and `float` tell of it while the network is only looked
at, and so does a scheduler that is given what to watch. What counts is what the number is called: one that
nothing calls a validation loss is let pass, an accuracy above all.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType, ModuleType
from typing import TYPE_CHECKING, SupportsFloat

from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.instrument.watched_loop import WatchedLoop
from tabstudio.autologging.trace import call_arguments, variable_names

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BY_HAND = "loss#by hand"
_LOSS = re.compile(r"loss|mse|nll|bce", re.IGNORECASE)
_OTHER = re.compile(r"train|acc|score", re.IGNORECASE)
_PART = re.compile(r"(^|_)(v|val|valid|validation|test|dev|eval)(_|$)", re.IGNORECASE)


@dataclass(eq=False, slots=True)
class ReadSite:
    """A place where a validation loss is read; `reduced` is `mean` or `sum`, '' where that cannot be told."""

    reduced: str


class LossReads:
    """Tells of numbers that are read while a network is evaluated: the value, the place, and the frame."""

    def __init__(self, read: Callable[[float, ReadSite, FrameType], None], loop: WatchedLoop) -> None:
        self._read, self._loop = read, loop
        self._patches = Patches()
        self._sites: dict[tuple[int, int], tuple[CodeType, ReadSite | None]] = {}

    def install(self, torch: ModuleType, guard: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
        """Listen to `Tensor.item`, `float(tensor)` and `ReduceLROnPlateau.step`."""
        kind, plateau = torch.Tensor, torch.optim.lr_scheduler.ReduceLROnPlateau
        loop = self._loop
        step, on_read, on_plateau_step = (
            plateau.step,
            guard(self._after_read),
            guard(self._before_plateau_step),
        )

        def listening(read: Callable[[Tensor], object]) -> Callable[[Tensor], object]:
            def watched(tensor: Tensor) -> object:
                value = read(tensor)
                if loop.evaluating:
                    on_read(tensor, value, sys._getframe(1))
                return value

            return watched

        def watched_step(scheduler: object, metrics: object, *args: object, **kwargs: object) -> object:
            on_plateau_step(scheduler, metrics, sys._getframe(1))
            return step(scheduler, metrics, *args, **kwargs)

        self._patches.set(kind, "item", listening(kind.item))
        self._patches.set(kind, "__float__", listening(kind.__float__))
        self._patches.set(plateau, "step", watched_step)

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()

    def _after_read(self, tensor: torch.Tensor, value: object, frame: FrameType) -> None:
        if isinstance(value, float) and not tensor.requires_grad:
            self._tell(value, frame, _is_validation_loss)

    def _before_plateau_step(
        self, scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau, metrics: SupportsFloat, frame: FrameType
    ) -> None:
        if scheduler.mode == "min":
            self._tell(float(metrics), frame, _is_watched_loss)

    def _tell(self, value: float, frame: FrameType, is_loss: Callable[[ast.Call, _Tree], bool]) -> None:
        key = (id(frame.f_code), frame.f_lasti)
        if key not in self._sites:  # the code is kept, so that no other one takes its place in memory
            site = _site(frame, is_loss) if call_arguments.is_user_code(frame.f_code) else None
            self._sites[key] = frame.f_code, site
        site = self._sites[key][1]
        if site is not None:
            self._read(value, site, frame)


class _Tree:
    """A function's source, and where in it each part stands."""

    def __init__(self, code: CodeType) -> None:
        self.nodes = variable_names.body(code)
        self._above = {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    def call(self, frame: FrameType) -> ast.Call | None:
        """Return the call that a frame is in."""
        at = list(frame.f_code.co_positions())[frame.f_lasti // 2]
        for node in self.nodes:
            if isinstance(node, ast.Call) and at == (
                node.lineno,
                node.end_lineno,
                node.col_offset,
                node.end_col_offset,
            ):
                return node
        return None

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """Iterate over what a part stands in, innermost first."""
        while (parent := self._above.get(node)) is not None:
            yield parent
            node = parent

    def adds_up(self, name: str) -> bool:
        """Say whether something is added to a variable: what it holds in the end is no mean."""
        return any(isinstance(n, ast.AugAssign) and _name(n.target) == name for n in self.nodes)

    def assigned(self, name: str) -> ast.expr | None:
        """Return what a variable is assigned, if it is assigned once."""
        values = [n.value for n in self.nodes if isinstance(n, ast.Assign) and _name(n.targets[0]) == name]
        return values[0] if len(values) == 1 else None


def _site(frame: FrameType, is_loss: Callable[[ast.Call, _Tree], bool]) -> ReadSite | None:
    tree = _Tree(frame.f_code)
    call = tree.call(frame)
    if call is None or not is_loss(call, tree):
        return None
    value: ast.expr | None = _value(call)
    value = tree.assigned(_name(value)) if isinstance(value, ast.Name) else value
    return ReadSite(_reduced(value))


def _is_watched_loss(call: ast.Call, _: _Tree) -> bool:
    """What a scheduler shall bring down is a validation loss if that is its name."""
    return _is_called_validation(_name(call.args[0])) if call.args else False


def _is_validation_loss(call: ast.Call, tree: _Tree) -> bool:
    """Of an expression, its target says what it is; of a variable, the variable itself."""
    value = _value(call)
    names = _targets(call, tree)
    if names is None:
        return False
    if isinstance(value, ast.Name | ast.Attribute):
        return _is_called_validation(_name(value)) and not tree.adds_up(_name(value))
    compares = any(isinstance(node, ast.Compare) for node in ast.walk(value))
    return not compares and any(_is_called_loss(name) or _PART.fullmatch(name) for name in names)


def _is_called_validation(name: str) -> bool:
    return bool(_PART.fullmatch(name) or (_PART.search(name) and _is_called_loss(name)))


def _is_called_loss(name: str) -> bool:
    return bool(_LOSS.search(name)) and not _OTHER.search(name)


def _targets(call: ast.Call, tree: _Tree) -> list[str] | None:
    """Names of what a number is assigned, added or appended to; None where it is computed with first."""
    for node in tree.above(call):
        if isinstance(node, ast.Assign):
            return [_name(target) for target in node.targets]
        if isinstance(node, ast.AugAssign):
            return [_name(node.target)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append":
            return [_name(node.func.value)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return None
        if isinstance(node, ast.stmt):
            break
    return []


def _value(call: ast.Call) -> ast.expr:
    """What is read: `x` of `x.item()` and of `float(x)`."""
    if isinstance(call.func, ast.Attribute):
        return call.func.value
    return call.args[0] if call.args else call


def _name(node: ast.AST | None) -> str:
    if isinstance(node, ast.Subscript):
        inner = node.slice
        return str(inner.value) if isinstance(inner, ast.Constant) else _name(node.value)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _reduced(value: ast.expr | None) -> str:
    called = _name(value.func) if isinstance(value, ast.Call) else ""
    return called if called in ("mean", "sum") else ""
