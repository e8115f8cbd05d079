"""Search for better options: Optuna proposes them in batches, each batch is raced as packs.

What the user has set stays as it is; all other choices that matter are searched around what `train` would
choose. The first trial is that choice itself, so that a search never ends worse on its own rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tabstudio.errors import ConfigError, TrainingError
from tabstudio.model.encoder import Encoder
from tabstudio.model.inference.network_inputs import MAX_ONE_HOT
from tabstudio.model.networks import join
from tabstudio.options import Declared, NetworkConfig, TrainConfig, configure, searched_options
from tabstudio.recipes.fit import FittedModel, assemble_model, fit_encoder, weights_of
from tabstudio.recipes.labeled_rows import LabeledRows
from tabstudio.training.data import TrainingRows
from tabstudio.training.extended_training import may_pay
from tabstudio.training.plan import TrainingPlan, make_plan, sized
from tabstudio.training.successive_halving import RUNGS, HalvingOutcome, Trial, successive_halving
from tabstudio.training.trainer import TrainingOutcome, train_members

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import Trial as OptunaTrial

    from tabstudio.options.ranges import Dimensions

GENERATION = 16
"""Trials that are proposed and raced together: enough to fill packs, few enough for the search to learn."""
CANDIDATES = 24
"""So many of the best trials may enter an ensemble."""


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """A trial's options beside those that were given, and how it ended."""

    options: dict[str, Any]
    outcome: HalvingOutcome

    @property
    def number(self) -> int:
        """Number of the trial, from 0."""
        return self.outcome.trial.number

    def __str__(self) -> str:
        options = ", ".join(
            f"{name.replace('_', ' ')} {shown(value)}" for name, value in self.options.items()
        )
        return f"trial {self.number}: {options}"


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """All trials of a search in their order, and the encoder that they shared."""

    tried: tuple[TrialOutcome, ...]
    encoder: Encoder
    interrupted: bool

    @property
    def ranking(self) -> list[TrialOutcome]:
        """Trials that were trained to the end, the best first."""
        ended = [tried for tried in self.tried if tried.outcome.finalist is not None]
        return sorted(ended, key=lambda tried: (tried.outcome.loss, tried.number))

    @property
    def stopped(self) -> str:
        """What has ended it: `search`, `interrupted`, or `minutes` where trials were cut off by these."""
        if self.interrupted:
            return "interrupted"
        cut = any(tried.outcome.ending == "out of time" for tried in self.tried)
        return "minutes" if cut else "search"


def search(
    rows: LabeledRows,
    config: TrainConfig,
    *,
    given: frozenset[str] = frozenset(),
    on_tried: Callable[[Sequence[TrialOutcome]], None] = lambda _: None,
) -> SearchOutcome:
    """Try `config.search.trials` sets of options on the rows.

    `given` names the options that the user has set: they are not searched. With `config.training.minutes` no
    trial goes on after that time. `on_tried` is called with each batch of trials. Ctrl-C after the first
    batch ends in a result marked `interrupted`.

    Raises `ConfigError` where every option is given, or no rows are held out, and `TrainingError` where no
    trial could be trained to the end.
    """
    ends = math.inf if config.training.minutes is None else time.monotonic() + 60 * config.training.minutes
    config = replace(config, training=replace(config.training, minutes=None))
    encoder = fit_encoder(rows, config)
    encoded = rows.encoded(encoder)
    longer = _longer_training(encoded, config, ends)
    space = SearchSpace.around(configure(config, **longer), encoded, given, longer)
    rungs = RUNGS if config.search.halving else ()
    tried: list[TrialOutcome] = []
    interrupted = False
    try:
        for proposals in _proposals(space, config, tried):
            trials = [trial for _, trial in proposals]
            outcomes = successive_halving(encoded, trials, rungs=rungs, deadline=ends)
            pairs = zip(proposals, outcomes, strict=True)
            ended = [TrialOutcome(options, outcome) for (options, _), outcome in pairs]
            tried += ended
            on_tried(ended)
            if time.monotonic() >= ends:
                break
    except KeyboardInterrupt:
        if not tried:
            raise
        interrupted = True
    searched = SearchOutcome(tuple(tried), encoder, interrupted)
    if not searched.ranking:
        raise TrainingError(
            "no trial was trained to the end: their losses were not finite; look for extreme values in the "
            "table, or give a lower --learning-rate"
        )
    return searched


def fit_by_search(
    rows: LabeledRows,
    config: TrainConfig,
    *,
    given: frozenset[str] = frozenset(),
    on_tried: Callable[[Sequence[TrialOutcome]], None] = lambda _: None,
) -> FittedModel:
    """Search, and make one model of the best trials: see `search` for the arguments, `fit` for the result.

    The trials and their weights are chosen by greedy selection on held-out rows.
    """
    searched = search(rows, config, given=given, on_tried=on_tried)
    best = searched.ranking[:CANDIDATES]
    finalists = [tried.outcome.finalist for tried in best if tried.outcome.finalist is not None]
    rounds = np.stack([finalist.out_of_fold for finalist in finalists])
    mean, scale = finalists[0].target_mean, finalists[0].target_scale
    weights = weights_of(rounds, rows, mean, scale)
    chosen = np.flatnonzero(weights)
    pack = join([finalists[i].pack for i in chosen])
    outcome = TrainingOutcome(
        pack=pack,
        seeds=pack.seeds,
        history=finalists[0].history,
        rounds=rounds[chosen],
        target_mean=mean,
        target_scale=scale,
        stopped=searched.stopped,
        plan=best[0].outcome.plan,
        decided={"trials": len(searched.tried)} if len(searched.tried) < config.search.trials else {},
    )
    fitted = assemble_model(rows, config, searched.encoder, outcome, weights[chosen])
    notes = [f"{weights[i]:.0%} {best[i]} (validation loss {best[i].outcome.loss:.4f})" for i in chosen]
    return replace(fitted, notes=tuple(notes))


def _usual(config: TrainConfig, rows: TrainingRows) -> tuple[NetworkConfig, TrainingPlan]:
    """The network and the training that `train` would begin with."""
    network = sized(config.network, rows.trained)
    return network, make_plan(config.training, network, rows.target.task, rows=rows.trained, folds=rows.folds)


def _longer_training(rows: TrainingRows, config: TrainConfig, ends: float) -> dict[str, object]:
    """Return the options that `train` finds to pay where a regression has little noise: it is trained longer.

    They are found by training once, where longer trainings are possible at all, until `ends` at most.
    """
    plan = _usual(config, rows)[1]
    if config.training.epochs is not None or not rows.folds or not may_pay(plan, rows.data(plan)):
        return {}
    left = None if math.isinf(ends) else max(ends - time.monotonic(), 0.0) / 60.0
    training = replace(config.training, members=plan.members, minutes=left)
    outcome = train_members(rows, config.network, training)
    if outcome.stopped == "interrupted":
        raise KeyboardInterrupt
    return outcome.decided if outcome.plan.epochs > plan.epochs else {}


def _usual_value(declared: Declared, network: NetworkConfig, plan: TrainingPlan) -> object:
    """The value of an option that `train` would choose; members have it in common."""
    if declared.section == "network":
        return getattr(network, declared.field)
    return (
        getattr(plan, declared.field)[0]
        if isinstance(getattr(plan, declared.field), tuple)
        else getattr(plan, declared.field)
    )


@dataclass(frozen=True)
class SearchSpace:
    """What is searched: a distribution for each name, and the point that `train` would choose.

    All trials have the options that are `settled`, as far as these are not searched.
    """

    distributions: dict[str, BaseDistribution]
    usual: dict[str, object]
    hidden: tuple[int, ...]
    settled: dict[str, object]

    @classmethod
    def around(
        cls, config: TrainConfig, rows: TrainingRows, given: frozenset[str], settled: dict[str, object]
    ) -> SearchSpace:
        """The space around the usual choice for these rows, without what is given.

        Raises `ConfigError` where nothing is left to search.
        """
        network, plan = _usual(config, rows)
        usual = {declared.name: _usual_value(declared, network, plan) for declared in searched_options()}
        if rows.target.task == "regression":
            del usual["label_smoothing"]
        if not plan.batch_size:
            del usual["batch_size"]
        if network.name == "mlp" or all(n <= MAX_ONE_HOT for n in rows.cardinalities):
            del usual["embedding"]
        dimensions: Dimensions = {}
        for declared in searched_options():
            if declared.name in usual and declared.name not in given and declared.option.search:
                dimensions |= declared.option.search.around(declared.name, usual[declared.name])
        if not dimensions:
            raise ConfigError(
                f"every option that is searched was given ({', '.join(usual)}): leave one of them open"
            )
        distributions = {name: distribution for name, (distribution, _) in dimensions.items()}
        point = {name: value for name, (_, value) in dimensions.items()}
        return cls(distributions, point, network.widths, settled)

    def options(self, point: dict[str, Any]) -> dict[str, Any]:
        """A point of the space as options of the command line."""
        options = self.settled | {n: value for n, value in point.items() if n not in ("width", "depth")}
        if "depth" in point:
            depth, share = point["depth"], point["width"]
            widths = [*self.hidden, *self.hidden[-1:] * depth][:depth]
            options["hidden"] = tuple(max(round(width * share), 1) for width in widths)
        return options


def given_options(config: TrainConfig, options: Collection[str]) -> frozenset[str]:
    """Names of the options that somebody has set: these, and what differs from the default."""
    usual = TrainConfig().flat()
    return frozenset(options) | {name for name, value in config.flat().items() if value != usual[name]}


def shown(value: object) -> str:
    """An option's value in few characters."""
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _proposals(
    space: SearchSpace, config: TrainConfig, tried: list[TrialOutcome]
) -> Iterator[list[tuple[dict[str, object], Trial]]]:
    """Yield batches of trials, and report each batch's outcome to Optuna."""
    import optuna

    # trials go by Optuna's own log; what is worth telling is told by the sweep
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=config.training.seed, constant_liar=True)
    )
    study.enqueue_trial(space.usual)
    while len(tried) < config.search.trials:
        trials = [
            study.ask(space.distributions) for _ in range(min(GENERATION, config.search.trials - len(tried)))
        ]
        proposals = []
        for trial in trials:
            options = space.options(trial.params)
            chosen = configure(config, **options)
            proposals.append((options, Trial(trial.number, chosen.network, chosen.training)))
        yield proposals
        for trial, ended in zip(trials, tried[-len(trials) :], strict=True):
            _tell(study, trial, ended.outcome)


def _tell(study: Study, trial: OptunaTrial, outcome: HalvingOutcome) -> None:
    from optuna.trial import TrialState

    if not math.isfinite(outcome.loss):
        study.tell(trial, state=TrialState.FAIL)
        return
    if outcome.ending == "finished":
        study.tell(trial, outcome.loss)
        return
    trial.report(outcome.loss, outcome.steps[-1].epoch)
    study.tell(trial, state=TrialState.PRUNED)
