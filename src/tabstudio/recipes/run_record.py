"""Records a job in its run: everything that MLflow's own pages show."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tabstudio._version import __version__

if TYPE_CHECKING:
    from tabstudio.options import TrainConfig
    from tabstudio.recipes.pipeline import PreparedData
    from tabstudio.recipes.search import TrialOutcome
    from tabstudio.recipes.train_result import Assessment
    from tabstudio.tracking import Recorder, Run
    from tabstudio.training.loop import Epoch
    from tabstudio.training.trainer import TrainingOutcome

EXAMPLE_ROWS = 5


def start(run: Run, config: TrainConfig, data: PreparedData) -> None:
    """Record the options of a job, and its rows."""
    table, target = data.table, data.table.schema.target
    assert target is not None
    run.tags({"tabstudio.version": __version__, "tabstudio.recipe": config.recipe})
    run.params({name: param_value(value) for name, value in config.flat().items()})
    run.params(
        {
            "target": target.name,
            "target_task": target.task,
            "classes": param_value(target.classes),
            "positive_class": param_value(target.positive),
            "rows": len(table),
            "train_rows": len(data.parts.train),
            "test_rows": len(data.parts.test),
            "features": len(table.schema.features),
            "split_how": data.parts.how,
            "fingerprint": table.fingerprint,
        }
    )
    where = ", ".join(table.source.files[:3]) or table.source.name
    for part, context in ((table.take(data.parts.train), "training"), (data.test, "testing")):
        run.dataset(table.source.name, part.fingerprint, table.schema, len(part), where, context)


def epoch(run: Run, epoch: Epoch, first: int = 0) -> None:
    """Record an epoch: means over the members, and the validation loss of each that still learns.

    `first` is the number of the first member. Of later rounds only their own losses are recorded: the means
    are those of the first round.
    """
    values: dict[str, float] = {}
    if len(epoch.val_loss) > 1:
        losses = [float(v) if epoch.active[m] else np.nan for m, v in enumerate(epoch.val_loss)]
        values = {f"members/val_loss_{first + m}": v for m, v in enumerate(losses) if not np.isnan(v)}
    if not first:
        values |= {"train_loss": _mean(epoch.train_loss), "learning_rate": _mean(epoch.learning_rate)}
        if not np.isnan(epoch.val_loss).all():
            values["val_loss"] = _mean(epoch.val_loss)
        values |= {"rows_per_second": epoch.rows_per_second, "epoch_seconds": epoch.seconds}
    run.metrics(values, step=epoch.number)


def plan(run: Run, outcome: TrainingOutcome) -> None:
    """Record what was chosen where the user left it open."""
    chosen = {name: value for name, value in outcome.plan.to_json().items() if name != "reasons"}
    run.params({f"plan.{name}": param_value(value) for name, value in chosen.items()})
    run.params({"stopped_by": outcome.stopped, "epochs_run": len(outcome.history)})


def trial(recorder: Recorder, parent: Run, tried: TrialOutcome) -> Run:
    """Record a trial that has ended as a child run: its options, its curves, its result."""
    outcome = tried.outcome
    begun = outcome.steps[0].time if outcome.steps else time.time()
    with recorder.start(
        run_name=f"trial {tried.number}",
        tags={"tabstudio.version": __version__, "tabstudio.trial": outcome.ending},
        parent=parent,
        start_time=int(begun * 1000),
    ) as run:
        run.params({name: param_value(value) for name, value in tried.options.items()})
        run.params({"ending": outcome.ending, "epochs_run": len(outcome.steps)})
        for step in outcome.steps:
            figures = {"train_loss": step.train_loss, "val_loss": step.val_loss}
            run.metrics(figures, step.epoch, int(step.time * 1000))
        run.metrics({"best_val_loss": outcome.loss}, len(outcome.steps))
    return run


def assessment(run: Run, assessment: Assessment, threshold: float | None) -> None:
    """Record the figures: of the test part, of the held-out rows, of the references."""
    figures = {f"test_{name}": value for name, value in assessment.test.values().items()}
    for name, measure in assessment.test.metrics.items():
        if not np.isnan(measure.low):
            figures |= {f"test_{name}_low": measure.low, f"test_{name}_high": measure.high}
    if assessment.validation is not None:
        figures |= {f"val_{name}": value for name, value in assessment.validation.values().items()}
    for reference in assessment.references.items:
        values = reference.evaluation.values()
        figures |= {f"references/{reference.name}/{name}": value for name, value in values.items()}
    if threshold is not None:
        figures["threshold"] = threshold
    run.metrics(figures)


def model(
    run: Run, folder: Path, data: PreparedData, assessment: Assessment, card: str, registered: str | None
) -> None:
    """Record the model as one that MLflow can load and serve, registered where a name is given."""
    frame = data.test.frame if len(data.test) else data.rows.frame
    names = [column.name for column in data.table.schema.features]
    run.note(card)
    run.model(
        folder,
        data.table.schema,
        frame.select(names).head(EXAMPLE_ROWS),
        registered_name=registered,
        metrics={f"test_{name}": value for name, value in assessment.test.values().items()},
        card=card,
        tags={"tabstudio.version": __version__, "tabstudio.task": data.table.schema.target.task},  # type: ignore[union-attr]
    )


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values))


def param_value(value: object) -> object:
    """Return a parameter's value for MLflow: collections as JSON, all else as it is."""
    return (
        json.dumps(value, default=str, ensure_ascii=False)
        if isinstance(value, tuple | list | dict)
        else value
    )
