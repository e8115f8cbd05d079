"""Losses with a graph that wait for `backward`: their names, and the parts they are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from types import FrameType
from typing import TYPE_CHECKING

from tabstudio._compat.torch_objects import sequence_number
from tabstudio.autologging.events import ComputedLoss, LossSource
from tabstudio.autologging.instrument.loss_functions import LossFunctions, read_later
from tabstudio.autologging.trace import autograd_graph, variable_names
from tabstudio.autologging.trace.call_sites import CodeCall, user_frames
from tabstudio.autologging.trace.loss_values import LossValue

if TYPE_CHECKING:
    import torch

_MOST_PENDING = 500
_MOST_PARTS = 4
"""Number of parts from the same function up to which each is a metric; more are a list of the user's."""


class PendingLosses:
    """The losses that were computed with a graph, until it is known whether they are trained on."""

    def __init__(self, losses: LossFunctions) -> None:
        self._losses = losses
        self.computed: dict[int, ComputedLoss] = {}
        self._scaled: dict[int, LossSource] = {}
        self._names: dict[CodeCall | None, str] = {}
        self._studied: set[CodeCall | None] = set()
        self._only_summed: set[CodeCall | None] = set()

    def add(self, computed: ComputedLoss) -> None:
        """Keep a loss; its graph is not kept."""
        node = None if computed.result is None else computed.result.grad_fn
        if node is not None:
            computed.result = None
            self.put(sequence_number(node), computed)

    def put(self, number: int, computed: ComputedLoss) -> None:
        """Keep a loss that the node of this number has computed."""
        if len(self.computed) >= _MOST_PENDING:
            self.computed.clear()
        self.computed[number] = computed

    def knows(self, tensor: torch.Tensor) -> bool:
        """Say whether a tensor is a loss that was seen, or a multiple of one."""
        return autograd_graph.find_ancestor(tensor, self.computed) is not None

    def scaled(self, loss: torch.Tensor, result: torch.Tensor) -> None:
        """Note the loss that a `GradScaler` has multiplied: the unscaled one is recorded."""
        number = autograd_graph.node_number(result)
        if number is not None:
            self._scaled = {number: self._resolve(loss)}

    def source(self, tensor: torch.Tensor, frame: FrameType, point: CodeCall | None) -> LossSource:
        """Find out what the tensor is that `backward` is called on."""
        source = self._was_scaled(tensor) if self._scaled else self._whole(tensor)
        source = source or self._resolve(tensor)
        name = self._names.get(point)
        if name is None:
            user = next(user_frames(frame), None)
            called = variable_names.name_of(tensor, user)
            if not called:
                self._only_summed.add(point)
            name = self._names[point] = called or source.label or "loss"
        source.name = name
        if point in self._only_summed and not source.label and not source.parts:
            rows = autograd_graph.rows_summed(tensor)  # for the backward pass: nobody has the sum but us
            source.loss = LossValue(source.loss.value, 1.0, rows) if rows else source.loss
        if not source.label and point not in self._studied:
            self._study(source, tensor, frame, point)
        return source

    def only(self, number: int) -> ComputedLoss | None:
        """Return the loss that a node has computed, if it is the only one that waits."""
        if len(self.computed) != 1 or self._scaled:
            return None
        computed = self.computed.get(number)
        return computed if computed is not None and computed.loss.value is not None else None

    def _was_scaled(self, tensor: torch.Tensor) -> LossSource | None:
        number = autograd_graph.node_number(tensor)
        return self._scaled.pop(number, None) if number is not None else None

    def _whole(self, tensor: torch.Tensor) -> LossSource | None:
        """Return the commonest source at little cost: a loss as its producer has returned it."""
        node = tensor.grad_fn
        number = -1 if node is None else int(sequence_number(node))
        computed = self.computed.get(number)
        if computed is None or computed.loss.value is None:
            return None
        del self.computed[number]
        loss_function = computed.loss_function
        return LossSource(
            computed.loss,
            "",
            loss_function.label,
            loss_function.name,
            True,
            computed.inputs,
            made_by=loss_function,
        )

    def unused(self) -> list[ComputedLoss]:
        """Return the losses that no backward pass has asked for, and forget them."""
        unused = list(self.computed.values())
        self.computed.clear()
        return unused

    def _study(
        self, source: LossSource, tensor: torch.Tensor, frame: FrameType, point: CodeCall | None
    ) -> None:
        """Watch the user's function or module that returns a loss which no watched function computed."""
        self._studied.add(point)
        user = next(user_frames(frame), None)
        if user is None:
            return
        makers = variable_names.result_sources(variable_names.name_of(tensor, user), user)
        watched = [maker for maker in makers if self._losses.watch(maker.holder, maker.name, maker.value)]
        if watched:
            source.parts = {}
            if source.loss.weight == 1.0 and watched[0].rows:
                source.loss = LossValue(source.loss.value, watched[0].rows, watched[0].rows)

    def _resolve(self, tensor: torch.Tensor) -> LossSource:
        ancestor = autograd_graph.find_ancestor(tensor, self.computed)
        if ancestor is not None:
            return self._multiple(tensor, ancestor)
        parts = [self.computed.pop(number) for number in autograd_graph.find_parts(tensor, self.computed)]
        rows = max((computed.loss.weight for computed in parts), default=1.0)
        summed = bool(parts) and all(computed.loss.factor == 1.0 for computed in parts)
        named: dict[str, LossValue] = {}
        labels = Counter(computed.loss_function.label for computed in parts)
        for computed in parts:
            if computed.loss.value is not None and labels[computed.loss_function.label] <= _MOST_PARTS:
                named[free_name(computed.loss_function.label, named)] = computed.loss
        inputs = parts[0].inputs if parts else 0
        loss = LossValue(read_later(tensor), 1.0 if summed else rows, rows)
        return LossSource(loss, parts=named, inputs=inputs)

    def _multiple(self, tensor: torch.Tensor, ancestor: autograd_graph.LossAncestor) -> LossSource:
        """Return the source of a multiple; divided by a whole number (accumulation) it counts undivided."""
        computed = self.computed.pop(ancestor.number)
        share = ancestor.exact and not ancestor.reduced and ancestor.divided == round(ancestor.divided) >= 1
        loss = computed.loss
        if not share or loss.value is None:
            factor = 1.0 if ancestor.reduced == "sum" else loss.factor
            loss = LossValue(read_later(tensor), factor, loss.weight)
        return LossSource(
            loss, "", computed.loss_function.label, computed.loss_function.name, share, computed.inputs
        )


def free_name(wanted: str, used_names: Container[str]) -> str:
    """Return a name that is not taken yet: `loss`, `loss_2`, ..."""
    name, number = wanted, 2
    while name in used_names:
        name, number = f"{wanted}_{number}", number + 1
    return name
