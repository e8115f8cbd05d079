"""A backward pass: which loss it is of, what the user calls that, and of which parts it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

from tabstudio._compat.torch_objects import sequence_number
from tabstudio.autologging import finding, lineage
from tabstudio.autologging.epochs import Trained
from tabstudio.autologging.losses import Losses, Producer, Seen, read_later
from tabstudio.autologging.places import Call, users_frames
from tabstudio.autologging.values import Loss

if TYPE_CHECKING:
    import torch

_MOST_PENDING = 500
_MOST_PARTS = 4
"""So many parts of a loss are told that come from the same function: more are a list of the user's."""


@dataclass(slots=True)
class Source:
    """What a loss that is trained on is: its value, what computed it and what the user calls it.

    `whole` says that it is what its producer has returned, not a sum of several or a multiple; `made_by` is
    that producer where nothing at all was done with it since. `parts` are the losses that it was computed
    from, where it is more than one of them.
    """

    loss: Loss
    name: str = ""
    label: str = ""
    producer: str = ""
    whole: bool = False
    inputs: int = 0
    parts: dict[str, Loss] = field(default_factory=dict)
    made_by: Producer | None = None


@dataclass(slots=True)
class Backward:
    """A backward pass that no step of an optimizer has followed yet."""

    event: Trained
    source: Source
    point: Call | None


class Pending:
    """The losses that were computed with a graph, until it is known whether they are trained on."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self.seen: dict[int, Seen] = {}
        self._scaled: dict[int, Source] = {}
        self._names: dict[Call | None, str] = {}
        self._studied: set[Call | None] = set()
        self._only_summed: set[Call | None] = set()

    def add(self, seen: Seen) -> None:
        """Keep a loss; its graph is not kept."""
        node = None if seen.result is None else seen.result.grad_fn
        if node is not None:
            seen.result = None
            self.put(sequence_number(node), seen)

    def put(self, number: int, seen: Seen) -> None:
        """Keep a loss that the node of this number has computed."""
        if len(self.seen) >= _MOST_PENDING:
            self.seen.clear()
        self.seen[number] = seen

    def knows(self, tensor: torch.Tensor) -> bool:
        """Say whether a tensor is a loss that was seen, or a multiple of one."""
        return lineage.ancestor(tensor, self.seen) is not None

    def scaled(self, loss: torch.Tensor, result: torch.Tensor) -> None:
        """A loss was multiplied by the factor of a `GradScaler`: what counts is the loss."""
        number = lineage.number_of(result)
        if number is not None:
            self._scaled = {number: self._resolve(loss)}

    def source(self, tensor: torch.Tensor, frame: FrameType, point: Call | None) -> Source:
        """Find out what the tensor is that `backward` is called on."""
        source = self._was_scaled(tensor) if self._scaled else self._whole(tensor)
        source = source or self._resolve(tensor)
        name = self._names.get(point)
        if name is None:
            user = next(users_frames(frame), None)
            called = finding.name_of(tensor, user)
            if not called:
                self._only_summed.add(point)
            name = self._names[point] = called or source.label or "loss"
        source.name = name
        if point in self._only_summed and not source.label and not source.parts:
            rows = lineage.rows_summed(tensor)  # for the backward pass: nobody has the sum but us
            source.loss = Loss(source.loss.value, 1.0, rows) if rows else source.loss
        if not source.label and point not in self._studied:
            self._study(source, tensor, frame, point)
        return source

    def only(self, number: int) -> Seen | None:
        """Return the loss that a node has computed, if it is the only one that waits."""
        if len(self.seen) != 1 or self._scaled:
            return None
        seen = self.seen.get(number)
        return seen if seen is not None and seen.loss.value is not None else None

    def _was_scaled(self, tensor: torch.Tensor) -> Source | None:
        number = lineage.number_of(tensor)
        return self._scaled.pop(number, None) if number is not None else None

    def _whole(self, tensor: torch.Tensor) -> Source | None:
        """Return the commonest source at little cost: a loss as its producer has returned it."""
        node = tensor.grad_fn
        number = -1 if node is None else int(sequence_number(node))
        seen = self.seen.get(number)
        if seen is None or seen.loss.value is None:
            return None
        del self.seen[number]
        producer = seen.producer
        return Source(seen.loss, "", producer.label, producer.name, True, seen.inputs, made_by=producer)

    def unused(self) -> list[Seen]:
        """Return the losses that no backward pass has asked for, and forget them."""
        unused = list(self.seen.values())
        self.seen.clear()
        return unused

    def _study(self, source: Source, tensor: torch.Tensor, frame: FrameType, point: Call | None) -> None:
        """Nobody has seen this loss come into being: watch the user's function or module that returns it."""
        self._studied.add(point)
        user = next(users_frames(frame), None)
        if user is None:
            return
        makers = finding.makers(finding.name_of(tensor, user), user)
        watched = [maker for maker in makers if self._losses.watch(maker.holder, maker.name, maker.value)]
        if watched:
            source.parts = {}
            if source.loss.weight == 1.0 and watched[0].rows:
                source.loss = Loss(source.loss.value, watched[0].rows, watched[0].rows)

    def _resolve(self, tensor: torch.Tensor) -> Source:
        found = lineage.ancestor(tensor, self.seen)
        if found is not None:
            return self._multiple(tensor, found)
        parts = [self.seen.pop(number) for number in lineage.parts(tensor, self.seen)]
        rows = max((seen.loss.weight for seen in parts), default=1.0)
        summed = bool(parts) and all(seen.loss.factor == 1.0 for seen in parts)
        named: dict[str, Loss] = {}
        labels = Counter(seen.producer.label for seen in parts)
        for seen in parts:
            if seen.loss.value is not None and labels[seen.producer.label] <= _MOST_PARTS:
                named[free_name(seen.producer.label, named)] = seen.loss
        inputs = parts[0].inputs if parts else 0
        loss = Loss(read_later(tensor), 1.0 if summed else rows, rows)
        return Source(loss, parts=named, inputs=inputs)

    def _multiple(self, tensor: torch.Tensor, found: lineage.Ancestor) -> Source:
        """Divided by a whole number, it is a share of an accumulated gradient: the loss itself counts."""
        seen = self.seen.pop(found.number)
        share = found.exact and not found.reduced and found.divided == round(found.divided) >= 1
        loss = seen.loss
        if not share or loss.value is None:
            factor = 1.0 if found.reduced == "sum" else loss.factor
            loss = Loss(read_later(tensor), factor, loss.weight)
        return Source(loss, "", seen.producer.label, seen.producer.name, share, seen.inputs)


def free_name(wanted: str, taken: Container[str]) -> str:
    """Return a name that is not taken yet: `loss`, `loss_2`, ..."""
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name
