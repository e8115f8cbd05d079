"""The main job: read, look, split, train, evaluate, track and register.

`train` reads as the list of its steps. Each step tells the reporter what came of it and is recorded at once,
so that a run which ends early holds what was reached.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from tabstudio.errors import ConfigError
from tabstudio.options import TrainConfig, configure
from tabstudio.recipes import output_files, provenance, run_record, tutorial
from tabstudio.recipes.names import stem
from tabstudio.recipes.pipeline import PreparedData, TrainJob, distil, fit_model, measure, prepare
from tabstudio.recipes.reporter import Reporter
from tabstudio.recipes.train_result import Assessment, TrainResult
from tabstudio.recipes.trial_runs import TrialRuns

if TYPE_CHECKING:
    from tabstudio.evaluation import ReferenceJob
    from tabstudio.evaluation.report_content import ReportContent
    from tabstudio.recipes.fit import FittedModel, NetworkFactory
    from tabstudio.tracking import Run
    from tabstudio.training.loop import Epoch
    from tabstudio.training.plan import TrainingPlan

Saved = TypeVar("Saved")

PATIENCE_WITH_REFERENCES = 60.0
"""Seconds that a finished training waits for its references, at most."""


def train(
    source: object,
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
    **options: object,
) -> TrainResult:
    """Train, evaluate, track and register a model of `target` on a table.

    Parameters
    ----------
    source : path or frame
        A file, a folder or glob of files, or a frame in memory.
    target : str
        The column to predict.
    name : str, optional
        Name of the registered model; by default made of the file's.
    register : bool
        Register a version.
    output : path, optional
        Folder that gets the model and its reports, beside MLflow.
    experiment, tracking_uri : str, optional
        MLflow's experiment and address; by default as MLflow's own settings say.
    resume : bool
        Go on where this training, with the same rows and options, was cut off.
    network : str or callable, optional
        `tabular`, `mlp`, `tabm`, `resnet`, or a factory `(inputs, outputs) -> torch.nn.Module` whose module
        maps float32 (rows, inputs) to (rows, outputs).
    reporter : Reporter, optional
        Is told each step and each epoch.
    config : TrainConfig, optional
        Options as one object.
    **options
        Options by their flat names, as on the command line: `epochs=20`, `drop=["id"]`, `group="patient"`.

    Returns
    -------
    TrainResult
        The model, its evaluation on the test part, and where everything stands. What MLflow could not take
        yet is told by its `delivery`, not raised: it waits in the local spool.

    Raises
    ------
    DataError
        The table cannot be used.
    ConfigError
        An option does not exist or does not fit.
    TrainingError
        The loss is not finite.

    Examples
    --------
    >>> result = tabstudio.train("cancer.csv", "diagnosis", epochs=20)  # doctest: +SKIP
    >>> result.test["roc_auc"]  # doctest: +SKIP
    """
    from tabstudio.tracking import Recorder

    with ExitStack() as stack:
        # First of all: its process imports MLflow while this one imports the rest and works.
        recorder = stack.enter_context(Recorder(tracking_uri=tracking_uri))
        job = make_job(source, target, name, network, reporter, resume, config, options)
        folder = output_files.claimed(output)
        references = _reference_job(job.config, stack)
        data = prepare(job)
        if references is not None:
            _send(references, data, job.config)
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="tabstudio-")))
        checkpoint = _checkpoint(job, data, recorder.spool)
        with recorder.start(experiment=experiment, run_name=job.name) as run:
            children = TrialRuns(recorder, run, job.reporter, job.config.search.trials)
            training = TrackedTraining(job, data, run, children, references, scratch, checkpoint)
            fitted, assessment = training.carry_out(register=register)
            if folder is not None:
                output_files.publish(scratch, folder)
            run.finish("KILLED" if fitted.partial else "FINISHED")
        delivery = children.delivered()
    seconds = time.monotonic() - job.started
    return TrainResult(
        job.name, data.exploration, data.parts, fitted, assessment, delivery, folder, fitted.partial, seconds
    )


def make_job(
    source: object,
    target: str,
    name: str | None,
    network: NetworkFactory | str | None,
    reporter: Reporter | None,
    resume: bool,
    config: TrainConfig | None,
    options: dict[str, object],
) -> TrainJob:
    """Return the training that the arguments and options describe.

    Raises `ConfigError` for options that do not exist or fit, and for a name that cannot be registered.
    """
    from tabstudio.tracking.mlflow_names import check_model_name

    if isinstance(network, str):
        options["network"], network = network, None
    config = configure(config, **options)
    if config.recipe == "tutorial":
        config = tutorial.apply(config)
    if config.search.search and (network or resume or config.recipe == "tutorial"):
        raise ConfigError(
            "option search: it tries options of the built-in networks, with the default recipe and from the "
            "start; leave out --search, or the other"
        )
    name = check_model_name(name or stem(source))
    given = frozenset(options)
    return TrainJob(source, target, name, config, network, reporter or Reporter(), resume, given)


@dataclass(frozen=True)
class TrackedTraining:
    """A job whose rows are prepared, and the run that takes what comes of it.

    `children` are the trials of a search, `references` other models that are trained beside, if any.
    `scratch` is a folder for files of this job, `checkpoint` where an interrupted training goes on from.
    """

    job: TrainJob
    data: PreparedData
    run: Run
    children: TrialRuns
    references: ReferenceJob | None
    scratch: Path
    checkpoint: Path

    def carry_out(self, *, register: bool) -> tuple[FittedModel, Assessment]:
        """Explore, train and assess; every result is recorded in the run at once."""
        job, run = self.job, self.run
        run_record.start(run, job.config, self.data)
        self._keep("exploration", self.data.exploration.save)
        job.reporter.step("explored the table", _warnings(self.data))
        fitted = self._search() if job.config.search.search else self._fit()
        if job.config.training.distill and not fitted.partial:
            fitted = self._distil(fitted)
        assessment = self._assess(fitted)
        run_record.assessment(run, assessment, fitted.model.threshold)
        self._save(fitted, assessment, register=register and not fitted.partial)
        return fitted, assessment

    def _keep(self, name: str, save: Callable[[Path], Saved]) -> Saved:
        """Let `save` write a folder, and put it among the run's artifacts."""
        result = save(self.scratch / name)
        self.run.artifact(self.scratch / name, name)
        return result

    def _fit(self) -> FittedModel:
        job, run = self.job, self.run
        recorded: set[int] = set()

        def on_epoch(epoch: Epoch, plan: TrainingPlan) -> None:
            recorded.add(epoch.number)
            job.reporter.epoch(epoch, plan)
            run_record.epoch(run, epoch, plan.first)

        def on_plan(plan: TrainingPlan) -> None:
            job.reporter.step(plan.reasons["budget"])

        fitted = fit_model(job, self.data, on_epoch, self.checkpoint, on_plan)
        outcome = fitted.outcome
        if not outcome.history:
            raise KeyboardInterrupt
        for epoch in outcome.history:  # those of before a training was cut off belong to its curves too
            if epoch.number not in recorded:
                run_record.epoch(run, epoch)
        run_record.plan(run, outcome)
        networks, epochs = outcome.plan.members, len(outcome.history)
        job.reporter.step(
            f"trained {networks} networks for {epochs} epochs, until {outcome.stopped}",
            [*fitted.model.encoder.notes, *_chosen(outcome.plan), *_threshold(fitted)],
        )
        if outcome.stopped in ("epochs", "patience"):
            shutil.rmtree(self.checkpoint, ignore_errors=True)
        return fitted

    def _search(self) -> FittedModel:
        """Try options, and make the model of the best."""
        fitted = fit_model(self.job, self.data, on_tried=self.children.add)
        run_record.plan(self.run, fitted.outcome)
        self.run.params({"ensemble": "\n".join(fitted.notes)})
        self.job.reporter.step(
            f"made one model of {len(fitted.model.pack)} networks, of {len(fitted.notes)} of "
            f"{len(self.children.runs)} trials",
            [*fitted.model.encoder.notes, *fitted.notes, *_threshold(fitted)],
        )
        return fitted

    def _distil(self, fitted: FittedModel) -> FittedModel:
        """Put one network in the place of many."""
        student = distil(self.job, self.data, fitted)
        self.job.reporter.step(f"distilled: {student.notes[-1]}", _threshold(student))
        return student

    def _assess(self, fitted: FittedModel) -> Assessment:
        """Measure the model, and hold it against its references on the same rows."""
        from tabstudio.evaluation import judge
        from tabstudio.recipes.feature_importance import importance_of

        data, references = self.data, None if fitted.partial else self.references
        measured = measure(self.job, data, fitted)
        skipped = fitted.partial or measured.validation is None
        importance = None if skipped else importance_of(fitted, data.rows)
        items, notes = references.result(PATIENCE_WITH_REFERENCES) if references is not None else ([], [])
        labels = data.test.labels()
        judged = judge(data.rows.target, labels, measured.prediction, measured.test, items, notes)
        return Assessment(measured, judged, importance)

    def _save(self, fitted: FittedModel, assessment: Assessment, *, register: bool) -> None:
        """Write the evaluation and the bundle, and record both."""
        from tabstudio.evaluation.model_card import card

        job, data, model = self.job, self.data, fitted.model
        content = self._report_content(fitted, assessment)
        address = f"models:/{job.name}/latest"
        history = fitted.outcome.history
        card_data = self._keep(
            "evaluation", lambda folder: output_files.evaluation(folder, content, history, address)
        )
        model.report = {**output_files.numbers(content), "card": card_data, "given": sorted(job.given)}
        model.evidence = data.evidence(assessment.measured.prediction)
        folder = model.save(self.scratch / "model")
        name = job.name if register else None
        run_record.model(self.run, folder, data, assessment, card(card_data, address), name)

    def _report_content(self, fitted: FittedModel, assessment: Assessment) -> ReportContent:
        """Return the facts on the training for the report and the card."""
        from tabstudio.evaluation.report_content import ReportContent

        job, data, plan = self.job, self.data, fitted.outcome.plan
        return ReportContent(
            job.name,
            data.table,
            data.parts,
            data.exploration.findings,
            assessment.test,
            validation=assessment.validation,
            slices=assessment.measured.slices,
            references=assessment.references,
            importance=assessment.importance,
            threshold=fitted.threshold,
            temperature=fitted.model.head.temperature,
            curved=fitted.model.head.curve is not None,
            training={
                "recipe": job.config.recipe,
                "network": repr(fitted.model.pack),
                "epochs": f"{len(fitted.outcome.history)} of {plan.epochs}",
                "ended by": fitted.outcome.stopped,
                "learning rate": ", ".join(sorted({f"{rate:g}" for rate in plan.learning_rate})),
                "batch size": f"{plan.batch_size or 'all rows'}",
                "device and precision": f"{plan.device}, {plan.precision}",
                "seed": f"{plan.seed}",
            },
            partial=fitted.partial,
            validated_on_test=job.tutorial,
            source=provenance.address(job.source),
            environment=provenance.environment(plan.device, plan.precision),
        )


def _reference_job(config: TrainConfig, stack: ExitStack) -> ReferenceJob | None:
    if not config.evaluation.references:
        return None
    from tabstudio.evaluation import ReferenceJob

    return stack.enter_context(ReferenceJob())


def _send(references: ReferenceJob, data: PreparedData, config: TrainConfig) -> None:
    references.send(
        data.table.frame,
        data.table.schema,
        data.table.labels(),
        data.parts.train,
        data.parts.test,
        resamples=config.evaluation.resamples,
    )


def _warnings(data: PreparedData) -> list[str]:
    return [f"{f.message} {f.remedy}" for f in data.exploration.findings if f.severity == "warning"]


def _checkpoint(job: TrainJob, data: PreparedData, spool: Path) -> Path:
    """Where this very training keeps its checkpoint: the same rows and choices find it again.

    Raises `ConfigError` where a resumed training has none.
    """
    options = job.config.flat() | dict.fromkeys(("minutes", "references", "resamples", "slice"))
    key = json.dumps([options, data.table.fingerprint, data.table.source.name], default=str, sort_keys=True)
    folder = spool / "checkpoints" / f"{job.name}-{sha256(key.encode()).hexdigest()[:16]}"
    if job.resume and not folder.exists():
        raise ConfigError(
            f"option resume: no training of {data.table.source.name} with these options was cut off; "
            f"only the same rows and options find it again, and without --resume it starts anew"
        )
    return folder


def _threshold(fitted: FittedModel) -> list[str]:
    return [f"threshold {fitted.threshold.reason}"] if fitted.threshold else []


def _chosen(plan: TrainingPlan) -> list[str]:
    """What the user left open and why it was settled so, a line each."""
    return [
        f"{name.replace('_', ' ')}: {reason}" for name, reason in plan.reasons.items() if name != "budget"
    ]
