"""Which losses belong to which epoch: told from the loops around the steps, with no help from the user.

A training has a *data loop*, the loop that goes over the batches: the one that a `DataLoader` drives, else
the innermost loop around the optimizer's steps. An epoch is one pass of it, that is, one iteration of the
loops around it. Where the steps stand in one loop only, each iteration is an epoch (a full batch) or the
training goes *by steps*: then it is cut where the script validates.

Nothing here knows PyTorch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from tabstudio.autologging.events import BackwardEvent, EvaluationEvent, Event
from tabstudio.autologging.trace.call_sites import NOWHERE, CallSite, CodeCall, CodeLoop, Entry
from tabstudio.autologging.trace.loss_values import LossMean, LossValue

MOST_WAITING = 1000
"""Number of backward passes without an optimizer's step after which each of them counts as a step."""

UNVALIDATED_STEPS = 100
"""Number of steps per mean where metrics go by steps and nothing is validated."""

_EPOCH = re.compile(r"(^|_)((n|i|num|cur|current)_?)?(epochs?|ep|e)(_?(idx|num|number|i|index|id))?$", re.I)

Where = Literal["inside", "middle", "other", "outside"]


@dataclass(slots=True)
class EpochMeans:
    """An epoch, or the steps between two validations: means by name, and when it was.

    `number` counts epochs from 1; by steps it is the number of steps made until then.
    """

    number: int = 0
    train: dict[str, LossMean] = field(default_factory=dict)
    evaluated: dict[str, dict[str, LossMean]] = field(default_factory=dict)
    passes_of: dict[str, list[int]] = field(default_factory=dict)
    passes: int = 0
    rows_of: dict[str, float] = field(default_factory=dict)
    batch: float = 0.0
    steps: int = 0
    began: float = 0.0
    trained: float = 0.0
    ended: float = 0.0
    ahead: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)

    @property
    def rows(self) -> float:
        """Return how many rows were trained on, NaN if unknown; several losses share the same rows."""
        counts = list(self.rows_of.values())
        return math.nan if any(map(math.isnan, counts)) else max(counts, default=0.0)

    def count(self, name: str, rows: list[float]) -> None:
        """Add the rows of backward passes, from the loss of this name."""
        self.passes += len(rows)
        self.rows_of[name] = self.rows_of.get(name, 0.0) + sum(rows)
        self.batch = max(self.batch, *rows)


@dataclass(frozen=True, slots=True)
class LoopNest:
    """The loops of a training: `key` stands around `data`, the data loop; None for a single loop."""

    key: tuple[CodeLoop | CodeCall, ...]
    data: CodeLoop | None
    driven: bool = False

    @classmethod
    def of(cls, step: CallSite, optimizer_site: CallSite, driven: Callable[[CodeLoop], bool]) -> LoopNest:
        """Find the loops around the optimizer's step; those around its creation are not the training's."""
        entries = [where for where, _ in step.entries]
        around = _common(entries, [where for where, _ in optimizer_site.entries])
        own = [n for n, where in enumerate(entries) if isinstance(where, CodeLoop) and n >= around]
        by_loader = [n for n in own if driven(entries[n])]  # type: ignore[arg-type]
        if by_loader or len(own) > 1:
            number = (by_loader or own)[-1]
            data = entries[number]
            assert isinstance(data, CodeLoop)
            return cls(tuple(entries[:number]), data, bool(by_loader))
        return cls(tuple(entries[: own[0] + 1 if own else around]), None)

    def matches(self, key: tuple[Entry, ...]) -> bool:
        """Say whether something stands in the same loops."""
        if len(key) != len(self.key):
            return False
        for (where, _), own in zip(key, self.key, strict=True):
            if where is not own and where != own:
                return False
        return True


def _common(entries: list[CodeLoop | CodeCall], others: list[CodeLoop | CodeCall]) -> int:
    """Count the entries that both share, up to the last loop among them."""
    shared = 0
    for number, (here, there) in enumerate(zip(entries, others, strict=False)):
        if here is not there and here != there:
            break
        shared = number + 1 if isinstance(here, CodeLoop) else shared
    return shared


class EpochDetector:
    """Takes what is seen of one training, in order, and hands over each epoch that is over."""

    def __init__(self, over: Callable[[EpochMeans], None], driven: Callable[[CodeLoop], bool]) -> None:
        self.shape: LoopNest | None = None
        self.by_steps: bool | None = None
        self.count = 0
        self._over, self._driven = over, driven
        self._optimizer_sites = NOWHERE
        self._waiting: list[Event] = []
        self._after: list[EvaluationEvent] = []
        self._now = EpochMeans()
        self._key: tuple[Entry, ...] = ()
        self._round: tuple[object, ...] = ()
        self._loader_pass = self._steps = self._restarts = 0
        self._at: object = None
        self._stepless = self._validated = self._is_sure = False

    def inside(self, site: CallSite) -> list[CodeCall]:
        """Return the calls of a place that stand in the loops of the training."""
        entries = [where for where, _ in site.entries]
        shared = _common(entries, [where for where, _ in self._key])
        return [where for where in entries[shared:] if isinstance(where, CodeCall)]

    def optimizer_created(self, site: CallSite) -> None:
        """Note where an optimizer of this training was created."""
        self._optimizer_sites = site

    def optimizer_recreated(self) -> None:
        """Forget the loops: a further optimizer was created inside a loop of the training."""
        self._optimizer_sites, self.shape = NOWHERE, None

    def stepped(self, site: CallSite) -> None:
        """Take the place of the first optimizer's step; called again whenever `shape` is None."""
        self._begin(LoopNest.of(site, self._optimizer_sites, self._driven))

    def joins(self, site: CallSite) -> bool:
        """Say whether another optimizer that steps here belongs to this training: in the same epoch."""
        if self.shape is None or not self._key:
            return False
        return self._where_is(site) in ("inside", "middle") and any(
            isinstance(w, CodeLoop) for w, _ in self._key
        )

    def join(self, site: CallSite) -> None:
        """Take the place of another optimizer's step: the loops around both are the training's."""
        assert self.shape is not None
        shape = LoopNest.of(site, self._optimizer_sites, self._driven)
        shared = 0
        for here, there in zip(self.shape.key, shape.key, strict=False):
            if here != there:
                break
            shared += 1
        if shared < len(self.shape.key):
            self.shape = replace(shape if shared == len(shape.key) else self.shape, key=shape.key[:shared])
            self._key = self._key[:shared]
            self._round = self._round_of(self._key, self._loader_pass, self._steps)
            self._is_sure = False

    def take(self, event: Event) -> None:
        """Take a backward pass or an evaluated loss."""
        if self._stepless:
            event.steps = self._steps + isinstance(event, BackwardEvent)
        if self.shape is None or self.by_steps is None:
            self._wait(event)
        elif isinstance(event, EvaluationEvent):
            self._evaluate(event)
        else:
            self._train(event)

    def goes_on(self, entries: tuple[Entry, ...], loader_pass: int) -> bool:
        """Say at little cost that a step here belongs to the epoch of the one before: nearly all do."""
        key = self._key
        return (
            self._is_sure
            and loader_pass == self._loader_pass
            and entries[: len(key)] == key
            and self.by_steps is False
        )

    @property
    def fixed(self) -> int:
        """Return how many outermost entries of a step's call site stay the same in an epoch.

        A pass of a data loader has its own number and needs none.
        """
        return 0 if self.shape is not None and self.shape.driven else len(self._key)

    @property
    def begun(self) -> int:
        """Return how many epochs have begun."""
        return self.count + bool(self._now.passes)

    @property
    def in_steps(self) -> bool:
        """Say whether it is known that an epoch has several steps, or that there are no epochs."""
        return bool(self.by_steps) or self._now.passes > 1

    def go_on(self, name: str, losses: list[LossValue], rows: list[float], time: float, steps: int) -> None:
        """Take many steps at once, `goes_on` being true of each; the last one was at `time`."""
        now = self._now
        mean = now.train[name]
        for loss in losses:
            mean.add(loss)
        now.count(name, rows)
        now.trained = now.ended = time
        now.steps = self._steps = steps

    def about_to_train(self) -> None:
        """Close an epoch whose evaluation is complete before the next batch is trained on."""
        if self._is_complete():
            self._close()

    def end(self, steps: int = 0) -> list[EvaluationEvent]:
        """Close what is open at the end of the training, after `steps` steps.

        Returns what was evaluated after the last epoch.
        """
        self.without_optimizer()
        self._decide(final=True)
        if self._now.passes:
            if not self._now.evaluated:
                self._now.steps = max(self._now.steps, steps)
            self._close()
        after, self._after = self._after, []
        return after

    def _wait(self, event: Event) -> None:
        """Keep an event until enough is known of the loops."""
        if len(self._waiting) < 100 * MOST_WAITING:
            self._waiting.append(event)
        if self.shape is not None:
            if isinstance(event, BackwardEvent):
                self._key = event.site.entries[: len(self.shape.key)]
            self._decide()
        elif len(self._waiting) >= MOST_WAITING and isinstance(event, BackwardEvent):
            self.without_optimizer()

    def without_optimizer(self) -> None:
        """Count each backward pass as a step, as no optimizer steps."""
        if self.shape is not None:
            return
        first = _first(self._waiting)
        if first is None:
            return
        self._stepless = True
        passes = 0
        for event in self._waiting:
            passes += isinstance(event, BackwardEvent)
            event.steps = passes
        self._begin(LoopNest.of(first.site, self._optimizer_sites, self._driven))

    def _begin(self, shape: LoopNest) -> None:
        self.shape, self._is_sure = shape, False
        first = _first(self._waiting)
        if first is not None:
            self._key = first.site.entries[: len(shape.key)]
        if self.by_steps is None:
            last = shape.key[-1] if shape.key else None
            named = isinstance(last, CodeLoop) and bool(_EPOCH.search(last.name))
            self.by_steps = False if shape.data is not None or named else None
        self._decide()

    def _decide(self, final: bool = False) -> None:
        """Decide whether an iteration of a single loop is an epoch: two validate, or get the same tensors."""
        if self.shape is None:
            return
        if self.by_steps is None:
            trained = [event for event in self._waiting if isinstance(event, BackwardEvent)]
            rounds = {event.steps for event in trained}
            if not trained or (len(rounds) < 3 and not final):
                return
            self.by_steps = not (self._all_validate(rounds) or self._full_batch(trained))
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self.take(event)

    def _all_validate(self, rounds: Iterable[int]) -> bool:
        """Say whether something was evaluated in each of the first two iterations."""
        trained: set[int] = set()
        evaluated: set[int] = set()
        first, second = (*sorted(rounds), -1)[:2]
        for event in self._waiting:
            if isinstance(event, BackwardEvent):
                trained.add(event.steps)
            elif trained:
                evaluated.add(max(trained))
        return first in evaluated and second in (*evaluated, -1)

    def _full_batch(self, trained: list[BackwardEvent]) -> bool:
        inputs = {event.inputs for event in trained}
        return len(inputs) == 1 and 0 not in inputs

    def _train(self, event: BackwardEvent) -> None:
        assert self.shape is not None
        key = event.site.entries[: len(self.shape.key)]
        if (
            self._is_sure
            and key == self._key
            and event.loader_pass == self._loader_pass
            and not self.by_steps
        ):
            self._steps = event.steps
            self._take_before()
            self._add(event)
            return
        if not self.shape.matches(key):  # another loop goes on with the same training: a notebook's next cell
            self._leave(event)
            return
        self._count_restarts(event)
        round_ = self._round_of(key, event.loader_pass, event.steps)
        if self._ends_before(event, round_):
            self._close()
        self._key, self._round = key, round_
        self._loader_pass, self._steps = event.loader_pass, event.steps
        self._is_sure = self.shape.data is not None and None not in round_
        self._take_before()
        self._add(event)

    def _leave(self, event: BackwardEvent) -> None:
        if self._now.passes:
            self._close()
        if self._stepless:
            self._begin(LoopNest.of(event.site, self._optimizer_sites, self._driven))
            self.take(event)
        else:
            self.shape = None
            self._wait(event)

    def _ends_before(self, event: BackwardEvent, round_: tuple[object, ...]) -> bool:
        if not self.by_steps:
            return bool(self._now.passes) and round_ != self._round
        self._validated = self._validated or bool(self._now.evaluated)
        steps = event.steps - self._stepless  # a backward pass that is a step itself is counted already
        long = not self._validated and steps and steps % UNVALIDATED_STEPS == 0
        self._now.steps = steps if long else self._now.steps
        return self._is_complete() or bool(long and event.steps > self._steps)

    def _is_complete(self) -> bool:
        """Say whether another step would begin something new: there was an evaluation after the last one."""
        now = self._now
        return bool(now.evaluated) and (bool(self.by_steps) or now.ended > now.trained > 0.0)

    def _add(self, event: BackwardEvent) -> None:
        now = self._now
        for name, loss in event.losses.items():
            mean = now.train.get(name)
            if mean is None:
                mean = now.train[name] = LossMean()
            mean.add(loss)
        if now.ended > now.trained > 0.0:
            now.stale = set(now.evaluated) - now.ahead
        now.count(next(iter(event.losses), ""), [event.rows])
        now.steps = event.steps
        now.began = now.began or event.time
        now.trained = now.ended = event.time

    def _count_restarts(self, event: BackwardEvent) -> None:
        """Where a loop around has no variable to tell its iterations apart, the data loop's starts do."""
        assert self.shape is not None
        if None not in self._round:
            return
        now, entries = self._now, event.site.entries
        value = entries[len(self._key)][1] if self.shape.data and len(entries) > len(self._key) else None
        back = isinstance(value, int) and isinstance(self._at, int) and value < self._at
        self._restarts += back or now.ended > now.trained > 0.0
        self._at = value

    def _round_of(self, key: tuple[Entry, ...], loader_pass: int, steps: int) -> tuple[object, ...]:
        assert self.shape is not None
        values = tuple([value for where, value in key if isinstance(where, CodeLoop)])
        if self.shape.data is None:  # without a variable an iteration ends with its step
            return (*values, steps if None in values or not values else 0)
        last = loader_pass if self.shape.driven else self._restarts
        return (*values, last)

    def _evaluate(self, event: EvaluationEvent) -> None:
        where = self._where(event)
        if self._is_of_a_batch(event, where):
            return
        if self.by_steps:
            where = "outside" if where == "outside" else "inside"
        elif where == "middle":
            if self.count:
                return  # epochs were told already: a point between two has no place on their axis
            self.by_steps, where = True, "inside"
        again = event.group in self._now.ahead and None in self._round and not self.by_steps
        if where == "inside" and not (again and self._now.passes):
            self._put(event)
            return
        if self._now.passes:
            self._close()
        self._after.append(event)

    def _is_of_a_batch(self, event: EvaluationEvent, where: Where) -> bool:
        """Say whether it is a figure of the batch that is trained on, for which no network was asked."""
        assert self.shape is not None
        if where == "middle":
            return not event.verified
        return self.shape.data is None and event.verified is False

    def _put(self, event: EvaluationEvent) -> None:
        now = self._now
        if event.group in now.stale:  # validated once more in the same epoch: the last time counts
            now.passes_of.pop(event.group, None)
        group = group_of_pass(event, now.passes_of)
        if group in now.stale:
            now.stale.discard(group)
            now.evaluated.pop(group)
        now.evaluated.setdefault(group, {}).setdefault(event.name, LossMean()).add(event.loss)
        if now.passes:
            now.ended = event.time
        else:
            now.ahead.add(event.group)
        if self.by_steps or now.passes:
            now.steps = event.steps

    def _take_before(self) -> None:
        """Take what was evaluated before the first step of an epoch, where it stands in the same loops."""
        if not self._after:
            return
        after, self._after = self._after, []
        for event in after:
            if not self.by_steps and self._where(event) == "inside":
                self._put(event)

    def _where(self, event: EvaluationEvent) -> Where:
        """Say where an evaluation stands in the loops of the training."""
        where = self._where_is(event.site)
        assert self.shape is not None
        other_pass = self.shape.driven and event.loader_pass != self._loader_pass
        return "inside" if where == "middle" and other_pass else where

    def _where_is(self, site: CallSite) -> Where:
        assert self.shape is not None
        there, matched = site.entries, 0
        for number, (where, value) in enumerate(self._key):
            here, its = there[number] if number < len(there) else (None, None)
            if here is not where and here != where:
                all_loops = sum(isinstance(entry, CodeLoop) for entry, _ in self._key)
                return "inside" if matched == all_loops else "outside"
            if isinstance(where, CodeLoop):
                if value != its and value is not None and its is not None:
                    # for phase in ("train", "val"): the same iteration of the loops around it
                    return "inside" if isinstance(value, str | bool) else "other"
                matched += 1
        in_data_loop = any(where == self.shape.data for where, _ in there[len(self._key) :])
        return "middle" if in_data_loop else "inside"

    def _close(self) -> None:
        now, self._now = self._now, EpochMeans()
        self._now.began = now.ended
        self.count += 1
        now.number = now.steps if self.by_steps else self.count
        self._over(now)


def group_of_pass(event: EvaluationEvent, passes: dict[str, list[int]]) -> str:
    """Return the group of what was evaluated in a pass over a loader.

    Another pass over the same rows evaluates something else, such as averaged weights: it is a group of its
    own, with its number behind `/`. `passes` are those that were seen, by group.
    """
    if not event.driving_pass:
        return event.group
    known_passes = passes.setdefault(event.group, [])
    if event.driving_pass not in known_passes:
        known_passes.append(event.driving_pass)
    number = known_passes.index(event.driving_pass) + 1
    return event.group if number == 1 else f"{event.group}/{number}"


def _first(events: Iterable[Event]) -> BackwardEvent | None:
    return next((event for event in events if isinstance(event, BackwardEvent)), None)
