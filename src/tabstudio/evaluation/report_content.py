"""What a report and a model card tell beside the numbers: the rows, what was done, what is weak."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tabstudio.evaluation.evaluation_result import NAMES, Evaluation, Measure, number
from tabstudio.evaluation.reference_comparison import Reference, References

if TYPE_CHECKING:
    from tabstudio.evaluation.decision_threshold import Threshold
    from tabstudio.evaluation.permutation_importance import Importance
    from tabstudio.evaluation.slices import Slice
    from tabstudio.table import Finding, Split, Table
    from tabstudio.table.schema import Task

FEW_ROWS = 1000
HEADLINE: Mapping[Task, tuple[str, ...]] = {
    "binary": ("accuracy", "recall", "precision", "roc_auc"),
    "multiclass": ("accuracy", "balanced_accuracy", "f1", "log_loss"),
    "regression": ("rmse", "mae", "r2", "median_absolute_error"),
}
"""The measures that a reader wants first."""


@dataclass(frozen=True, slots=True)
class ReportContent:
    """A training and all that was measured of it.

    `evaluation` is of the test part, `validation` of rows that training held out. `training` says what ran:
    name -> value, in the order to be told. `partial` marks a training that was interrupted,
    `validated_on_test` one that looked at its test part while it trained. `source` is where the table lies,
    `environment` what it ran with: name -> value.
    """

    name: str
    table: Table
    split: Split
    findings: Sequence[Finding]
    evaluation: Evaluation
    validation: Evaluation | None = None
    slices: Sequence[Slice] = ()
    references: References | None = None
    importance: Importance | None = None
    threshold: Threshold | None = None
    temperature: float = 1.0
    curved: bool = False
    training: Mapping[str, str] = field(default_factory=dict)
    partial: bool = False
    validated_on_test: bool = False
    source: str = ""
    environment: Mapping[str, object] = field(default_factory=dict)


def data_rows(story: ReportContent) -> list[tuple[str, str]]:
    """The data and its split: name and value."""
    table, split = story.table, story.split
    left_out = [column for column in table.schema if column.role not in ("feature", "target")]
    rows = [
        ("table", table.source.name),
        ("rows with a label", f"{len(table):,}"),
        ("fingerprint over all rows and columns", f"blake3 {table.fingerprint}"),
        ("target", f"{story.evaluation.target} ({story.evaluation.task})"),
        ("features", f"{len(table.schema.features)}"),
        ("split", f"{split.how}: {len(split.train):,} rows to train, {len(split.test):,} to test"),
        (
            "validation",
            f"{split.folds} folds within the training part" if split.folds > 1 else _one_fold(split),
        ),
    ]
    return rows + [(f"left out: {column.name}", f"{column.role}, {column.reason}") for column in left_out]


def _one_fold(split: Split) -> str:
    held_out = int((split.fold >= 0).sum())
    return f"{held_out:,} rows of the training part" if held_out else "none"


def score_headers(story: ReportContent) -> list[str]:
    """Headers of the table of measures: the model with its interval, then what it is held against."""
    headers = ["measure", "test", "95 % interval"]
    if story.validation is not None:
        headers.append("validation")
    return headers + [reference.name for reference in _reference_items(story)]


def score_rows(story: ReportContent) -> list[list[str]]:
    """One row per measure, to stand under `score_headers`."""
    rows = []
    for name, measure in story.evaluation.metrics.items():
        row = [NAMES[name], _value_cell(measure), _interval(measure)]
        if story.validation is not None:
            row.append(_value_cell(story.validation.metrics.get(name)))
        row += [_value_cell(reference.evaluation.metrics.get(name)) for reference in _reference_items(story)]
        rows.append(row)
    return rows


def slice_headers(task: Task) -> list[str]:
    """Headers of the table of slices."""
    return ["column", "level", "rows", *(NAMES[name] for name in HEADLINE[task])]


def slice_rows(task: Task, slices: Sequence[Slice]) -> list[list[str]]:
    """One row per slice, to stand under `slice_headers`: values with their intervals."""
    return [
        [part.column, part.level, f"{part.rows:,}", *(str(part.metrics[name]) for name in HEADLINE[task])]
        for part in slices
    ]


def made_with(story: ReportContent) -> list[tuple[str, str]]:
    """What the training ran with: name and value."""
    return [(name.replace("_", " "), str(value)) for name, value in story.environment.items() if value != ""]


def decision(story: ReportContent) -> list[str]:
    """How probabilities become decisions, a sentence each."""
    sentences = []
    positive = story.evaluation.positive
    if story.threshold is not None:
        sentences.append(f"A row is called {positive} from {story.threshold.reason}.")
    elif story.evaluation.threshold is not None:
        sentences.append(f"A row is called {positive} from {number(story.evaluation.threshold)}.")
    elif story.evaluation.task == "multiclass":
        sentences.append("A row is given its most probable class.")
    if story.temperature != 1.0:
        way = "softened" if story.temperature > 1 else "sharpened"
        sentences.append(
            f"Probabilities were {way} by a temperature of {story.temperature:.3f}, fitted on validation."
        )
    if story.curved:
        sentences.append("A rising curve fitted on validation makes them as sure as they are right.")
    return sentences


def how_measured(story: ReportContent) -> str:
    """On which rows the figures were measured, and whether they can be believed."""
    rows = f"{story.evaluation.rows:,} test rows"
    if story.validated_on_test:
        return f"measured on {rows} that the training was validated on: these figures are not honest"
    return f"measured once on {rows} that no choice has looked at"


def limits(story: ReportContent) -> list[str]:
    """What a user of the model should know before trusting it, from what was measured."""
    sentences = []
    if story.partial:
        sentences.append("The training was interrupted: these are the weights of that moment.")
    if story.evaluation.rows < FEW_ROWS:
        sentences.append(_few_rows(story.evaluation))
    sentences += [f"{note[:1].upper()}{note[1:]}." for note in story.evaluation.notes]
    sentences += _weak_slices(story)
    verdict = story.references.verdict if story.references is not None else None
    if verdict is not None and verdict.better != "model":
        sentences.append(verdict.sentence)
    roles = {column.role for column in story.table.schema}
    if not roles & {"group", "time", "split"}:
        sentences.append(
            "Rows were split as if they were independent. Where several belong to one person, place or day, "
            "the scores are too good; name that column with --group or --time."
        )
    sentences += [finding.message for finding in story.findings if finding.severity != "info"]
    sentences.append(
        "Nothing was measured on data from elsewhere or later: values outside the ranges and categories of "
        "the training rows are extrapolation."
    )
    return list(dict.fromkeys(sentences))


def _weak_slices(story: ReportContent) -> list[str]:
    """The slices that are worse than all rows together by more than chance."""
    name = HEADLINE[story.evaluation.task][0]
    whole = story.evaluation[name].value
    weak = [
        part
        for part in story.slices
        if (part.metrics[name].low > whole if name == "rmse" else part.metrics[name].high < whole)
    ]
    return [
        f"Where {part.column} is {part.level} ({part.rows:,} test rows), its {NAMES[name]} is "
        f"{part.metrics[name]}, worse than the {number(whole)} of all rows."
        for part in weak
    ]


def _few_rows(evaluation: Evaluation) -> str:
    name = "rmse" if evaluation.task == "regression" else "accuracy"
    measure = evaluation[name]
    sentence = f"The test part has {evaluation.rows:,} rows"
    if math.isnan(measure.low):
        return f"{sentence}: no interval could be drawn."
    return f"{sentence}: its {NAMES[name]} may well be anything from {_interval(measure)}."


def _reference_items(story: ReportContent) -> tuple[Reference, ...]:
    return story.references.items if story.references is not None else ()


def _value_cell(measure: Measure | None) -> str:
    return "" if measure is None else number(measure.value)


def _interval(measure: Measure) -> str:
    return "" if math.isnan(measure.low) else f"{number(measure.low)} to {number(measure.high)}"
