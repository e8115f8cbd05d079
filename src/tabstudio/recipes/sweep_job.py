"""`sweep`: search for the options that a table is best trained with. The test part is not touched."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabstudio.errors import ConfigError
from tabstudio.options import TrainConfig
from tabstudio.recipes import run_record
from tabstudio.recipes.names import spelled
from tabstudio.recipes.pipeline import prepare
from tabstudio.recipes.reporter import Reporter
from tabstudio.recipes.training_job import make_job
from tabstudio.recipes.trial_runs import TrialRuns

if TYPE_CHECKING:
    from tabstudio.recipes.search import SearchOutcome
    from tabstudio.tracking import Delivery, Run

_OF_SEARCH = ("search", "trials", "halving", "minutes")
SHOWN = 5


@dataclass(frozen=True)
class SweepResult:
    """What a sweep has found. `delivery` says what MLflow has, `seconds` is the time of the whole job.

    `given` are the options that were kept as they are, `file` is where the best ones were written to.
    """

    name: str
    source: str
    target: str
    given: dict[str, Any]
    file: Path | None
    searched: SearchOutcome
    delivery: Delivery
    seconds: float

    @property
    def best(self) -> dict[str, object]:
        """Options of the best trial and those that were given, to be handed to `train`."""
        return self.given | self.searched.ranking[0].options

    def text(self) -> str:
        """The best trials and how to train with them, for a terminal."""
        tried, ranking = self.searched.tried, self.searched.ranking
        usual = tried[0].outcome
        ended = f"{len(ranking)} of {len(tried)} trials were trained to the end"
        beside = f"the usual options: {usual.loss:.4f}, {usual.ending}"
        lines = [f"  {t.outcome.loss:9.4f}  {t}" for t in ranking[:SHOWN]]
        words = (
            f"--config {self.file}" if self.file else " ".join(spelled(*pair) for pair in self.best.items())
        )
        places = [("train", f"tabstudio train {self.source} --target {self.target} {words}")]
        places.append(("look", self.delivery.hint))
        if self.delivery.error:
            places.append(("WAITING", self.delivery.error))
        places.append(("time", f"{self.seconds:.1f} s"))
        return "\n".join(
            [
                f"validation loss of the best ({ended}; {beside}):",
                *lines,
                "",
                *(f"{name:10}{value}" for name, value in places),
            ]
        )

    def __repr__(self) -> str:
        best = self.searched.ranking[0]
        return f"SweepResult({self.name}: {len(self.searched.tried)} trials, best {best.outcome.loss:.4f})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{t.outcome.loss:.4f}</td><td>{escape(str(t))}</td></tr>"
            for t in self.searched.ranking[:SHOWN]
        )
        return f"<table><caption>{escape(self.name)}: validation loss</caption>{rows}</table>"


def sweep(
    source: object,
    target: str,
    *,
    name: str | None = None,
    output: str | Path | None = None,
    experiment: str | None = None,
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
    config: TrainConfig | None = None,
    **options: object,
) -> SweepResult:
    """Search for the options that `train` is best given for a table.

    Each trial is a child run in MLflow with its options, curves and result. The test part is not touched.

    Parameters
    ----------
    source : path or frame
        What `train` takes.
    target : str
        The column to predict.
    name : str, optional
        Name of the run; by default made of the file's.
    output : path, optional
        TOML file that gets the best options, for `train --config`.
    experiment, tracking_uri : str, optional
        MLflow's experiment and address; by default as MLflow's own settings say.
    reporter : Reporter, optional
        Is told each step and each trial.
    config : TrainConfig, optional
        Options as one object.
    **options
        Options of `train`, `trials` and `minutes`. What is given is kept, what is left open is searched.

    Returns
    -------
    SweepResult
        The trials, best first, and their options.

    Raises
    ------
    DataError
        The table cannot be used.
    ConfigError
        An option does not exist or does not fit.
    TrainingError
        No trial could be trained to the end.

    Examples
    --------
    >>> best = tabstudio.sweep("cancer.csv", "diagnosis", trials=64, output="best.toml")  # doctest: +SKIP
    """
    from tabstudio.tracking import Recorder

    # First of all: its process imports MLflow while this one imports the rest and works.
    with Recorder(tracking_uri=tracking_uri) as recorder:
        from tabstudio.recipes.search import given_options, search

        job = make_job(source, target, name, None, reporter, False, config, options)
        if job.tutorial:
            raise ConfigError("option recipe: the tutorial leaves nothing open to search; leave --recipe out")
        file = None if output is None else _claimed(Path(output))
        data = prepare(job)
        given = given_options(job.config, job.given)
        fixed = {key: value for key, value in job.config.flat().items() if key in given - set(_OF_SEARCH)}
        with recorder.start(experiment=experiment, run_name=f"{job.name} sweep") as run:
            run_record.start(run, job.config, data)
            children = TrialRuns(recorder, run, job.reporter, job.config.search.trials)
            searched = search(data.rows, job.config, given=given, on_tried=children.add)
            _record(run, searched, fixed)
            if file is not None:
                file.write_text(toml(fixed | searched.ranking[0].options), encoding="utf-8")
            run.finish("KILLED" if searched.interrupted else "FINISHED")
        delivery = children.delivered()
    seconds = time.monotonic() - job.started
    shown = data.table.source.files[0] if data.table.source.files else data.table.source.name
    return SweepResult(job.name, shown, target, fixed, file, searched, delivery, seconds)


def _record(run: Run, searched: SearchOutcome, fixed: dict[str, object]) -> None:
    """Record the best trial in the parent run, and a table of all."""
    best = searched.ranking[0]
    run.params({f"best.{name}": run_record.param_value(value) for name, value in best.options.items()})
    run.params({"best.trial": best.number})
    run.artifact(toml(fixed | best.options).encode(), "best.toml")
    run.artifact(_table(searched).encode(), "trials.csv")


def toml(options: dict[str, object]) -> str:
    """Options as a file for `--config`: numbers, words and lists are spelled alike in JSON and TOML."""
    return "".join(f"{name} = {_value(value)}\n" for name, value in options.items())


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{json.dumps(key)} = {json.dumps(inner)}" for key, inner in value.items())
        return f"{{ {pairs} }}"
    return json.dumps(value)


def _table(searched: SearchOutcome) -> str:
    names = list(searched.tried[0].options)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["trial", "val_loss", "ending", "epochs", *names])
    for tried in searched.tried:
        outcome = tried.outcome
        values = [run_record.param_value(tried.options.get(name, "")) for name in names]
        writer.writerow([tried.number, outcome.loss, outcome.ending, len(outcome.steps), *values])
    return out.getvalue()


def _claimed(file: Path) -> Path:
    """The file for the best options, refused before any work where it could not be written."""
    if file.suffix != ".toml" or file.is_dir():
        raise ConfigError(f"option output: a TOML file such as best.toml was expected, got {file}")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"option output: there is no folder {file.absolute().parent}")
    return file
