"""The steps of a training that a reproduction repeats: prepare, fit, measure. Nothing is tracked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tabstudio.options import TrainConfig
from tabstudio.recipes import tutorial
from tabstudio.recipes.labeled_rows import LabeledRows
from tabstudio.recipes.reporter import Reporter

if TYPE_CHECKING:
    from tabstudio.evaluation import Evaluation
    from tabstudio.evaluation.slices import Slice
    from tabstudio.exploration import Exploration
    from tabstudio.model.row_evidence import RowEvidence
    from tabstudio.recipes.fit import FittedModel, NetworkFactory
    from tabstudio.recipes.search import TrialOutcome
    from tabstudio.table import Split, Table
    from tabstudio.training.loop import Epoch
    from tabstudio.training.plan import TrainingPlan


@dataclass(frozen=True)
class TrainJob:
    """The options of one training. `given` names those that the user has set."""

    source: Any
    target: str
    name: str
    config: TrainConfig
    network: NetworkFactory | None
    reporter: Reporter
    resume: bool = False
    given: frozenset[str] = frozenset()
    started: float = field(default_factory=time.monotonic)

    @property
    def tutorial(self) -> bool:
        """Whether the steps are those of the tutorial."""
        return self.config.recipe == "tutorial"


@dataclass(frozen=True)
class PreparedData:
    """The rows of a job: read, looked at and set apart.

    `rows` are those that members train on or hold out.
    """

    exploration: Exploration
    parts: Split
    rows: LabeledRows
    test: Table

    @property
    def table(self) -> Table:
        """All rows."""
        return self.exploration.table

    def evidence(self, prediction: np.ndarray) -> RowEvidence:
        """Return the evidence on the rows for the bundle; `prediction` is that of the test part."""
        from tabstudio.model.row_evidence import RowEvidence

        return RowEvidence.of(
            self.table.schema,
            self.table.frame[self.parts.train],
            self.test.frame,
            self.parts.test,
            self.test.labels(),
            prediction,
        )


@dataclass(frozen=True)
class MeasuredModel:
    """The predictions of the test part, and the figures on the test part and the held-out rows."""

    prediction: np.ndarray
    test: Evaluation
    validation: Evaluation | None
    slices: tuple[Slice, ...]


def prepare(job: TrainJob, table: Table | None = None) -> PreparedData:
    """Read the table, unless it was, look for trouble, set the test part and the folds apart.

    Raises `DataError` where the table cannot be used, `ConfigError` for columns that it does not have.
    """
    from tabstudio.exploration import explore
    from tabstudio.table import read, split

    table = table or read(job.source, target=job.target, config=job.config.read)
    for column, role in _split_roles(job.config):
        table = table.with_role(column, role, "it decides the split")
    for column in job.config.evaluation.slices:
        table.column(column)
    size = f"{len(table):,} rows, {len(table.schema.features)} features"
    job.reporter.step(f"{table.source.name}: {size}, target {job.target}", [*map(str, table.notes)])
    exploration = explore(table)
    for finding in exploration.findings:
        if finding.severity == "danger":
            job.reporter.warn(f"{finding.message}\n{finding.remedy}")
    if job.tutorial:
        job.reporter.warn(tutorial.WARNING)
    parts = tutorial.split(table, job.config) if job.tutorial else split(table, job.config.split)
    job.reporter.step(
        f"{len(parts.train):,} rows to train, {len(parts.test):,} to test: {parts.how}",
        [*map(str, parts.notes)],
    )
    rows, fold = tutorial.learning(parts) if job.tutorial else (parts.train, parts.fold)
    labeled = LabeledRows.of(table.take(rows), fold)
    return PreparedData(exploration, parts, labeled, table.take(parts.test))


def _split_roles(config: TrainConfig) -> list[tuple[str, Literal["group", "time", "split"]]]:
    options = config.split
    named: list[tuple[str | None, Literal["group", "time", "split"]]] = [
        (options.group, "group"),
        (options.time, "time"),
        (options.column, "split"),
    ]
    return [(column, role) for column, role in named if column is not None]


def fit_model(
    job: TrainJob,
    data: PreparedData,
    on_epoch: Callable[[Epoch, TrainingPlan], None] | None = None,
    checkpoint: Path | None = None,
    on_plan: Callable[[TrainingPlan], None] | None = None,
    on_tried: Callable[[Sequence[TrialOutcome]], None] = lambda _: None,
) -> FittedModel:
    """Train or search, calibrate, choose the threshold; errors are those of `tabstudio.recipes.fit.fit`."""
    from tabstudio.recipes.fit import fit

    if job.config.search.search:
        from tabstudio.recipes.search import fit_by_search, given_options

        given = given_options(job.config, job.given)
        return fit_by_search(data.rows, job.config, given=given, on_tried=on_tried)
    return fit(
        data.rows,
        job.config,
        network=job.network,
        choose=not job.tutorial,
        on_plan=on_plan,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        resume=job.resume,
    )


def distil(job: TrainJob, data: PreparedData, fitted: FittedModel) -> FittedModel:
    """Put one network in the place of many."""
    from tabstudio.recipes import distillation

    return distillation.distil(fitted, data.rows, job.config, job.network)


def measure(job: TrainJob, data: PreparedData, fitted: FittedModel) -> MeasuredModel:
    """Score the test part, once, whole and by slices, and the held-out rows."""
    from tabstudio.evaluation import evaluate
    from tabstudio.evaluation.slices import evaluate_slices

    target = data.table.schema.target
    assert target is not None
    options, threshold, labels = job.config.evaluation, fitted.model.threshold, data.test.labels()
    prediction = fitted.model.answers(data.test.frame)
    held_out = data.rows.labels[fitted.validated]
    return MeasuredModel(
        prediction,
        evaluate(target, labels, prediction, threshold=threshold, resamples=options.resamples),
        evaluate(target, held_out, fitted.validation, threshold=threshold, resamples=0)
        if len(held_out)
        else None,
        evaluate_slices(
            options.slices,
            data.test.frame,
            target,
            labels,
            prediction,
            threshold=threshold,
            resamples=options.resamples,
        ),
    )
