"""The main job: read, look, split, train, evaluate, track and register.

`train` reads as the list of its steps. Each step tells the reporter what came of it and is recorded at once,
so that a run which ends early holds what was reached.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tabstudio.config import TrainConfig, configure
from tabstudio.errors import ConfigError
from tabstudio.recipes import recording, tutorial, writing
from tabstudio.recipes.naming import stem
from tabstudio.recipes.reporter import Reporter
from tabstudio.recipes.result import Assessment, TrainResult
from tabstudio.recipes.trials import Children

if TYPE_CHECKING:
    from tabstudio.evaluation import ReferenceJob
    from tabstudio.evaluation.story import Story
    from tabstudio.exploration import Exploration
    from tabstudio.recipes.fitting import Fitted, NetworkFactory
    from tabstudio.table import Split, Table
    from tabstudio.tracking import Run
    from tabstudio.training.plan import Plan

PATIENCE_WITH_REFERENCES = 60.0
"""Seconds that a finished training waits for its references, at most."""


@dataclass(frozen=True)
class Job:
    """One training as it was asked for."""

    source: Any
    target: str
    name: str
    config: TrainConfig
    network: NetworkFactory | None
    reporter: Reporter
    resume: bool
    given: frozenset[str]
    started: float = field(default_factory=time.monotonic)

    @property
    def tutorial(self) -> bool:
        """Whether the steps are those of the tutorial."""
        return self.config.recipe == "tutorial"


@dataclass(frozen=True)
class Data:
    """The rows of a job: read, looked at and set apart.

    `learning` are the rows that members train on or hold out, `fold` (rows,) says which.
    """

    exploration: Exploration
    parts: Split
    learning: Table
    fold: np.ndarray
    test: Table

    @property
    def table(self) -> Table:
        """All rows."""
        return self.exploration.table


def train(
    source: Any,
    target: str,
    *,
    name: str | None = None,
    register: bool = True,
    output: str | Path | None = None,
    experiment: str | None = None,
    tracking_uri: str | None = None,
    resume: bool = False,
    network: NetworkFactory | str | None = None,
    reporter: Reporter | None = None,
    config: TrainConfig | None = None,
    **options: Any,
) -> TrainResult:
    """Train, evaluate, track and register a model of `target` on a table.

    `source` is a file, a folder or glob of files, or a frame in memory. `options` are those of the command
    line by the same names: `epochs=20`, `drop=["id"]`, `group="patient"`. `network` is `tabular`, `mlp` or a
    factory of your own: `(inputs, outputs) -> torch.nn.Module`. `output` is a folder that gets the model and
    its reports, beside MLflow.

    Raises `DataError` where the table cannot be used, `ConfigError` for options that do not exist or fit,
    `TrainingError` where the loss is not finite. What MLflow could not take yet is told by the result's
    `delivery`, not raised: it waits in the local spool.
    """
    from tabstudio.tracking import Recorder

    with ExitStack() as stack:
        # First of all: its process imports MLflow while this one imports the rest and works.
        recorder = stack.enter_context(Recorder(tracking_uri=tracking_uri))
        job = asked(source, target, name, network, reporter, resume, config, options)
        folder = writing.claimed(output)
        references = _reference_job(job.config, stack)
        data = prepare(job)
        if references is not None:
            _send(references, data, job.config)
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="tabstudio-")))
        checkpoint = _checkpoint(job, data, recorder.spool)
        with recorder.start(experiment=experiment, run_name=job.name) as run:
            children = Children(recorder, run, job.reporter, job.config.search.trials)
            fitted, assessment = _work(
                job, data, run, children, references, scratch, checkpoint, register=register
            )
            if folder is not None:
                writing.publish(scratch, folder)
            run.finish("KILLED" if fitted.partial else "FINISHED")
        delivery = children.delivered()
    seconds = time.monotonic() - job.started
    return TrainResult(
        job.name, data.exploration, data.parts, fitted, assessment, delivery, folder, fitted.partial, seconds
    )


def asked(
    source: Any,
    target: str,
    name: str | None,
    network: NetworkFactory | str | None,
    reporter: Reporter | None,
    resume: bool,
    config: TrainConfig | None,
    options: dict[str, Any],
) -> Job:
    """Check what was asked for.

    Raises `ConfigError` for options that do not exist or fit, and for a name that cannot be registered.
    """
    from tabstudio.tracking.names import check_model_name

    if isinstance(network, str):
        options["network"], network = network, None
    config = configure(config, **options)
    if config.recipe == "tutorial":
        config = tutorial.settle(config)
    if config.search.search and (network or resume or config.recipe == "tutorial"):
        raise ConfigError(
            "option search: it tries options of the built-in networks, with the default recipe and from the "
            "start; leave out --search, or the other"
        )
    name = check_model_name(name or stem(source))
    given = frozenset(options)
    return Job(source, target, name, config, network, reporter or Reporter(), resume, given)


def _work(
    job: Job,
    data: Data,
    run: Run,
    children: Children,
    references: ReferenceJob | None,
    scratch: Path,
    checkpoint: Path,
    *,
    register: bool,
) -> tuple[Fitted, Assessment]:
    """Explore, train, assess; every result goes into the run as soon as it is there."""
    recording.start(run, job.config, data)
    data.exploration.save(scratch / "exploration")
    run.artifact(scratch / "exploration", "exploration")
    job.reporter.step("explored the table", _warnings(data))
    fitted = (
        _search(job, data, run, children) if job.config.search.search else _fit(job, data, run, checkpoint)
    )
    if job.config.training.distill and not fitted.partial:
        fitted = _distil(job, data, fitted)
    assessment = _assess(job, data, fitted, None if fitted.partial else references)
    recording.assessment(run, assessment, fitted.model.threshold)
    story = _story(job, data, fitted, assessment)
    address = f"models:/{job.name}/latest"
    card = writing.evaluation(scratch / "evaluation", story, fitted.learned.history, address)
    run.artifact(scratch / "evaluation", "evaluation")
    fitted.model.report = writing.numbers(story)
    fitted.model.save(scratch / "model")
    recording.model(
        run, scratch / "model", data, assessment, card, job.name if register and not fitted.partial else None
    )
    return fitted, assessment


def _reference_job(config: TrainConfig, stack: ExitStack) -> ReferenceJob | None:
    if not config.evaluation.references:
        return None
    from tabstudio.evaluation import ReferenceJob

    return stack.enter_context(ReferenceJob())


def _send(references: ReferenceJob, data: Data, config: TrainConfig) -> None:
    references.send(
        data.table.frame,
        data.table.schema,
        data.table.labels(),
        data.parts.train,
        data.parts.test,
        resamples=config.evaluation.resamples,
    )


def prepare(job: Job) -> Data:
    """Read the table, look for trouble, set the test part and the folds apart."""
    from tabstudio.exploration import explore
    from tabstudio.table import read, split

    table = read(job.source, target=job.target, config=job.config.read)
    for column, role in _split_roles(job.config):
        table = table.with_role(column, role, "it decides the split")
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
    return Data(exploration, parts, table.take(rows), fold, table.take(parts.test))


def _split_roles(config: TrainConfig) -> list[tuple[str, Literal["group", "time", "split"]]]:
    asked = config.split
    named: list[tuple[str | None, Literal["group", "time", "split"]]] = [
        (asked.group, "group"),
        (asked.time, "time"),
        (asked.column, "split"),
    ]
    return [(column, role) for column, role in named if column is not None]


def _warnings(data: Data) -> list[str]:
    return [f"{f.message} {f.remedy}" for f in data.exploration.findings if f.severity == "warning"]


def _checkpoint(job: Job, data: Data, spool: Path) -> Path:
    """Where this very training keeps its checkpoint: the same rows and choices find it again.

    Raises `ConfigError` where a resumed training has none.
    """
    told = job.config.flat() | {"minutes": None, "references": None, "resamples": None}
    key = json.dumps([told, data.table.fingerprint, data.table.source.name], default=str, sort_keys=True)
    folder = spool / "checkpoints" / f"{job.name}-{sha256(key.encode()).hexdigest()[:16]}"
    if job.resume and not folder.exists():
        raise ConfigError(
            f"option resume: no training of {data.table.source.name} with these options was cut off; "
            f"only the same rows and options find it again, and without --resume it starts anew"
        )
    return folder


def _fit(job: Job, data: Data, run: Run, checkpoint: Path) -> Fitted:
    from tabstudio.recipes.fitting import fit

    told: set[int] = set()

    def on_epoch(epoch: Any, plan: Any) -> None:
        told.add(epoch.number)
        job.reporter.epoch(epoch, plan)
        recording.epoch(run, epoch)

    fitted = fit(
        data.learning.frame,
        data.learning.schema,
        data.learning.labels(),
        data.fold,
        job.config,
        network=job.network,
        choose=not job.tutorial,
        on_plan=lambda plan: job.reporter.step(plan.reasons["budget"]),
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        resume=job.resume,
    )
    learned = fitted.learned
    if not learned.history:
        raise KeyboardInterrupt
    for epoch in learned.history:  # those of before a training was cut off belong to its curves too
        if epoch.number not in told:
            recording.epoch(run, epoch)
    recording.plan(run, learned)
    threshold = [f"threshold {fitted.threshold.reason}"] if fitted.threshold else []
    job.reporter.step(
        f"trained {learned.plan.members} networks for {len(learned.history)} epochs, until {learned.stopped}",
        [*fitted.model.encoder.notes, *_chosen(learned.plan), *threshold],
    )
    if learned.stopped in ("epochs", "patience"):
        shutil.rmtree(checkpoint, ignore_errors=True)
    return fitted


def _search(job: Job, data: Data, run: Run, children: Children) -> Fitted:
    """Try options, and make the model of the best."""
    from tabstudio.recipes.searching import fit_by_search, given_options

    fitted = fit_by_search(
        data.learning.frame,
        data.learning.schema,
        data.learning.labels(),
        data.fold,
        job.config,
        given=given_options(job.config, job.given),
        on_tried=children.add,
    )
    recording.plan(run, fitted.learned)
    run.params({"ensemble": "\n".join(fitted.notes)})
    threshold = [f"threshold {fitted.threshold.reason}"] if fitted.threshold else []
    job.reporter.step(
        f"made one model of {len(fitted.model.pack)} networks, of {len(fitted.notes)} of "
        f"{len(children.runs)} trials",
        [*fitted.model.encoder.notes, *fitted.notes, *threshold],
    )
    return fitted


def _distil(job: Job, data: Data, fitted: Fitted) -> Fitted:
    """Put one network in the place of many."""
    from tabstudio.recipes.distilling import distil
    from tabstudio.recipes.fitting import Learning

    learning = data.learning
    rows = Learning(learning.frame, learning.schema, learning.labels(), data.fold, job.config)
    student = distil(fitted, rows, job.network)
    threshold = [f"threshold {student.threshold.reason}"] if student.threshold else []
    job.reporter.step(f"distilled: {student.notes[-1]}", threshold)
    return student


def _chosen(plan: Plan) -> list[str]:
    """What the user left open and why it was settled so, a line each."""
    return [
        f"{name.replace('_', ' ')}: {reason}" for name, reason in plan.reasons.items() if name != "budget"
    ]


def _assess(job: Job, data: Data, fitted: Fitted, references: ReferenceJob | None) -> Assessment:
    """Score the test part, once, and the held-out rows; hold the model against its references."""
    from tabstudio.evaluation import evaluate, judge
    from tabstudio.recipes.explaining import as_answer, importance_of

    target = data.table.schema.target
    assert target is not None
    model, resamples, labels = fitted.model, job.config.evaluation.resamples, data.test.labels()
    prediction = as_answer(model, data.test.frame)
    evaluation = evaluate(target, labels, prediction, threshold=model.threshold, resamples=resamples)
    held_out = data.learning.labels()[fitted.validated]
    validation = (
        evaluate(target, held_out, fitted.validation, threshold=model.threshold, resamples=0)
        if len(held_out)
        else None
    )
    skipped = fitted.partial or not len(held_out)
    importance = None if skipped else importance_of(fitted, data.learning, data.fold)
    items, notes = references.result(PATIENCE_WITH_REFERENCES) if references is not None else ([], [])
    judged = judge(target, labels, prediction, evaluation, items, notes)
    return Assessment(evaluation, validation, judged, importance)


def _story(job: Job, data: Data, fitted: Fitted, assessment: Assessment) -> Story:
    """Tell the training as its report and its card tell it."""
    from tabstudio.evaluation.story import Story

    plan = fitted.learned.plan
    return Story(
        job.name,
        data.table,
        data.parts,
        data.exploration.findings,
        assessment.test,
        validation=assessment.validation,
        references=assessment.references,
        importance=assessment.importance,
        threshold=fitted.threshold,
        temperature=fitted.model.temperature,
        training={
            "recipe": job.config.recipe,
            "network": repr(fitted.model.pack),
            "epochs": f"{len(fitted.learned.history)} of {plan.epochs}, until {fitted.learned.stopped}",
            "learning rate": ", ".join(sorted({f"{rate:g}" for rate in plan.learning_rate})),
            "batch size": f"{plan.batch_size or 'all rows'}",
            "device and precision": f"{plan.device}, {plan.precision}",
            "seed": f"{plan.seed}",
        },
        partial=fitted.partial,
        validated_on_test=job.tutorial,
    )
