"""Names, values and steps of the metrics of one training."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tabstudio.autologging.epochs.epoch_detection import EpochDetector, EpochMeans, group_of_pass
from tabstudio.autologging.events import EvaluationEvent, WatchedEpoch, WatchedTraining
from tabstudio.autologging.trace import run_parameters, variable_names
from tabstudio.autologging.trace.call_sites import CallSite, CodeCall, CodeLoop
from tabstudio.autologging.trace.loss_values import LossMean, LossValue, read_values, sum_losses
from tabstudio.autologging.trace.variable_names import VALIDATION, part_of

if TYPE_CHECKING:
    import torch

_EVERY_STEP = 1000
"""Number of steps that are all recorded; up to twice as many, every second one, and so on."""
FLUSH_SECONDS = 1.0
"""Seconds between two flushes: a killed process loses the losses of no more."""
_ALL_ARE_KNOWN = 20
"""Number of steps after which every loss has occurred once and their names are settled."""


@dataclass(slots=True)
class BackwardSite:
    """A place where `backward` is called: what its loss is called, and what computed it.

    `whole` is False where the loss is more than what its producer has returned, such as a sum of several.
    """

    name: str
    label: str = ""
    loss_function: str = ""
    whole: bool = True


class TrainingMetrics:
    """One training, its epochs and its metrics."""

    def __init__(
        self,
        training: WatchedTraining,
        record: Callable[[WatchedTraining, dict[str, float], int], None],
        record_series: Callable[[WatchedTraining, str, list[tuple[int, float]]], None],
        tell: Callable[[WatchedTraining, WatchedEpoch], None],
        describe: Callable[[dict[str, object], TrainingMetrics], None],
        driven: Callable[[CodeLoop], bool],
        every: int | None,
    ) -> None:
        self.training = training
        self.epochs = EpochDetector(self._over, driven)
        training.now = self._number
        self.backward_sites: dict[tuple[CodeCall | None, int], BackwardSite] = {}
        self.parameters: dict[int, weakref.ref[torch.Tensor]] = {}
        self._record, self._record_series = record, record_series
        self._tell, self._describe, self._every = tell, describe, every
        self._groups: dict[str, str] = {}
        self._sites: dict[str, CallSite] = {}
        self._names: dict[str, str] = {}
        self._steps: list[tuple[int, str, LossValue]] = []
        self._rates: dict[int, list[object]] = {}
        self._first_rates: dict[int, dict[int, list[object]]] = {}
        self._last_rates: dict[str, float] = {}
        self._norms: list[torch.Tensor | None] = []
        self._sized = False
        self._last: EpochMeans | None = None
        self._flushed = time.perf_counter()

    def _number(self) -> int:
        """Return the number of the current epoch; each step is one as long as no loops are known."""
        return self.epochs.begun if self.epochs.by_steps is False else self.training.steps

    def evaluated(self, event: EvaluationEvent) -> None:
        """Take an evaluated loss."""
        self._sites.setdefault(event.group, event.site)
        self.epochs.take(event)

    def shares(self, parameters: list[torch.Tensor]) -> bool:
        """Say whether some of these are trained here already."""
        known = ((self.parameters.get(id(each)), each) for each in parameters)
        return any(reference is not None and reference() is each for reference, each in known)

    def step_loss(self, name: str, losses: list[LossValue], step: int) -> None:
        """Keep the loss of a step, of ever fewer the longer it takes. Several were accumulated."""
        if step % self._stride(step) == 0:
            self._steps.append((step, name, sum_losses(losses)))
            self._flush_now_and_then()

    def step_losses(self, name: str, losses: list[LossValue], first: int) -> None:
        """Keep the losses of many steps, one each, from step `first` on."""
        for step, loss in enumerate(losses, first):
            if step % self._stride(step) == 0:
                self._steps.append((step, name, loss))
        self._flush_now_and_then()

    def _stride(self, step: int) -> int:
        return self._every or 1 << (step // _EVERY_STEP).bit_length()

    def _flush_now_and_then(self) -> None:
        """Flush the losses from time to time, except while one step may still turn out to be an epoch."""
        late = time.perf_counter() - self._flushed > FLUSH_SECONDS and self.epochs.in_steps
        if len(self._steps) >= _EVERY_STEP or (late and self.training.steps > _ALL_ARE_KNOWN):
            self._flush_steps()

    def stepped(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep the learning rates of this moment, and the norm of the gradients once in each epoch."""
        groups = optimizer.param_groups
        rates = [group.get("lr") for group in groups] if len(groups) > 1 else [groups[0].get("lr")]
        self._rates[id(optimizer)] = rates
        if self.epochs.by_steps is None:
            self._first_rates[self.training.steps] = dict(self._rates)
        if not self._norms:
            self._norms.append(run_parameters.gradient_norm(optimizer))

    def end(self) -> None:
        """Record what is open at the end of the training."""
        after = self.epochs.end(self.training.steps)
        if self._last is not None:
            self._describe_sizes(self._last)
        if self.epochs.by_steps or self.epochs.count < self.training.steps:
            self._flush_steps()
        self._tests(after)
        if not self.epochs.by_steps:
            self.training.epochs = self.epochs.count

    def _over(self, stretch: EpochMeans) -> None:
        values = dict(self._train_values(stretch))
        for group, means in self._grouped(stretch).items():
            values |= dict(self._evaluated_values(group, means))
        values |= self._times(stretch)
        values |= self._changed_rates(self._rates_of(stretch))
        if self._norms and stretch.passes:
            norm = self._norms[0]
            if norm is not None:  # as it is where gradients are sparse
                values["grad_norm"] = read_values([norm])[0]
            self._norms.clear()
        self._record(self.training, values, stretch.number)
        if self.epochs.count > 1:  # the first step was made before anybody looked at what goes in
            self._describe_sizes(stretch)
        self._last = stretch
        if stretch.passes > 1 or self.epochs.by_steps:
            self._flush_steps()
        if not self.epochs.by_steps:
            self.training.epochs = self.epochs.count
        self._tell(self.training, WatchedEpoch(stretch.number, values, stretch.steps))

    def _describe_sizes(self, stretch: EpochMeans) -> None:
        if self._sized or not stretch.batch > 0 or not stretch.rows > 0:
            return
        self._sized = True
        rows = {} if self.epochs.by_steps else {"rows": int(stretch.rows)}
        self._describe({"batch_size": int(stretch.batch), **rows}, self)

    def _rates_of(self, stretch: EpochMeans) -> dict[int, list[object]]:
        """Return the learning rates of an epoch's last step, which may differ from the present ones."""
        steps = stretch.steps if stretch.evaluated else stretch.steps + 1
        return self._first_rates.get(steps, self._rates) if stretch.passes else {}

    def _changed_rates(self, known: dict[int, list[object]]) -> dict[str, float]:
        rates: dict[str, float] = {}
        for name, optimizer in self.training.optimizers.items():
            called = "learning_rate" if name == "optimizer" else f"learning_rate_{name}"
            rates |= run_parameters.learning_rates(called, known.get(id(optimizer), []))
        changed = {name: rate for name, rate in rates.items() if self._last_rates.get(name) != rate}
        self._last_rates |= changed
        return changed

    def _train_values(self, stretch: EpochMeans) -> Iterator[tuple[str, float]]:
        for name, mean in stretch.train.items():
            yield f"train_{self._called(name)}", mean.value

    def _called(self, name: str) -> str:
        """Return a loss's metric name: `loss`, or with several the user's name of each."""
        if name not in self._names:
            wholes = [backward_site.name for backward_site in self.backward_sites.values()]
            first = not self._names and len(wholes) == 1 and name == wholes[0]
            wanted = "loss" if first or not name else name
            used_names = set(self._names.values())
            number = 2
            free = wanted
            while free in used_names:
                free, number = f"{wanted}_{number}", number + 1
            self._names[name] = free
        return self._names[name]

    def _grouped(self, stretch: EpochMeans) -> dict[str, dict[str, LossMean]]:
        """Give the evaluated parts their names: `val`, `test`, `train_eval`, or the user's."""
        parts = {key.partition("/")[0] for key in stretch.evaluated}
        alone = sum(self._hint(key) != "train" for key in parts) == 1
        for key in stretch.evaluated:
            if key not in self._groups:
                self._groups[key] = self._group_name(key, alone)
        return {self._groups[key]: means for key, means in stretch.evaluated.items()}

    def _hint(self, key: str) -> str:
        """Return the evaluated part of the data, by its loader's name or by the innermost code with one."""
        hint = key.partition("#")[0]
        if hint or key not in self._sites:
            return hint
        calls = reversed(self.epochs.inside(self._sites[key]))
        return next(
            (part for call in calls if (part := variable_names.part_named(call.code, call.start))), ""
        )

    def _group_name(self, key: str, alone: bool) -> str:
        part, _, number_of_pass = key.partition("/")
        if number_of_pass:
            return f"{self._groups[part]}_{number_of_pass}"
        hint = self._hint(key)
        used_names = set(self._groups.values())
        if hint == "train":
            wanted = "train_eval"
        elif "val" not in used_names and (alone or not hint or VALIDATION.search(hint)):
            wanted = "val"
        else:
            wanted = hint or "eval"
        name, number = wanted, 2
        while name in used_names:
            name, number = f"{wanted}_{number}", number + 1
        return name

    def _evaluated_values(self, group: str, means: dict[str, LossMean]) -> Iterator[tuple[str, float]]:
        main = self._main(means)
        for loss_function, mean in means.items():
            label = loss_function.partition("#")[0]
            yield f"{group}_{'loss' if loss_function == main else label}", mean.value

    def _main(self, means: dict[str, LossMean]) -> str:
        """Return the name of the evaluated loss that is trained on, '' if it cannot be determined."""
        backward_sites = list(self.backward_sites.values())
        if len(backward_sites) != 1 or not backward_sites[0].whole:
            return ""
        if backward_sites[0].loss_function in means:
            return backward_sites[0].loss_function
        return next(iter(means)) if len(means) == 1 else ""

    def _times(self, stretch: EpochMeans) -> dict[str, float]:
        seconds = stretch.ended - stretch.began
        training = stretch.trained - stretch.began
        unknown = self.epochs.count < 2 and stretch.passes < 2  # the first one began before it was seen
        if self.epochs.by_steps or unknown or seconds <= 0:
            return {}
        values = {"epoch_seconds": seconds}
        if stretch.rows > 0 and training > 0:  # NaN where a batch's rows are not known
            values["rows_per_second"] = stretch.rows / training
        return values

    def _flush_steps(self) -> None:
        losses = read_values([loss.value for _, _, loss in self._steps])
        series: dict[str, list[tuple[int, float]]] = {}
        for (step, name, loss), value in zip(self._steps, losses, strict=True):
            series.setdefault(name, []).append((step, value * loss.factor / loss.weight))
        for name, means in series.items():
            self._record_series(self.training, f"train_{self._called(name)}_step", means)
        self._steps.clear()
        self._flushed = time.perf_counter()

    def _tests(self, after: list[EvaluationEvent]) -> None:
        """Record what was evaluated after the last epoch: a test, unless the part was evaluated before."""
        means: dict[str, dict[str, LossMean]] = {}
        passes: dict[str, list[int]] = {}
        for event in after:
            if event.group not in self._groups:
                named = means.setdefault(group_of_pass(event, passes), {})
                named.setdefault(event.name, LossMean()).add(event.loss)
        values: dict[str, float] = {}
        for group, named in means.items():
            part, _, number = group.partition("/")
            hint = self._hint(part)
            name = "test" if not hint or VALIDATION.search(hint) else hint
            name = (name if name != "train" else "train_eval") + (number and f"_{number}")
            for metric, value in self._evaluated_values(name, named):
                values.setdefault(metric, value)
        if values:
            self._record(self.training, values, max(self.epochs.count, 1))


def evaluation_group(site: CallSite, loader: str, loader_key: int, is_training: bool) -> str:
    """Return what tells one evaluated part from another: a hint at its name, and a key behind `#`."""
    labels = [
        value for where, value in site.entries if isinstance(where, CodeLoop) and isinstance(value, str)
    ]
    if labels and len(labels[-1]) <= 30:
        return f"{part_of(labels[-1])}#label"
    if loader_key:
        return f"{'train' if is_training else part_of(loader)}#{loader_key}"
    calls = tuple((id(where.code), where.start) for where, _ in site.entries if isinstance(where, CodeCall))
    return f"#{calls}"
