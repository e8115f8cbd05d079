"""Measure predictions on held-out rows: every number with an interval, every curve that a report draws."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tabstudio.errors import DataError
from tabstudio.evaluation import metrics
from tabstudio.evaluation.curves import (
    binned_values,
    calibration_curve,
    precision_recall_curves,
    residual_summary,
    roc_curves,
    threshold_curve,
    wilson,
)
from tabstudio.evaluation.evaluation_result import Evaluation, Measure, ReportRow
from tabstudio.evaluation.metrics import (
    ClassificationScorer,
    Floats,
    Ints,
    RegressionScorer,
    Scorer,
    affordable_resamples,
    bootstrap,
    point,
)
from tabstudio.table.schema import Target


def evaluate(
    target: Target,
    labels: npt.ArrayLike,
    prediction: npt.ArrayLike,
    *,
    threshold: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure a prediction against the labels of the same n rows.

    `labels` (n,) hold positions in `target.classes`, or values; `prediction` is (n, classes) probabilities in
    that order, or (n,) values. A binary row is decided positive from `threshold` (0.5 if None) on, any other
    for its most probable class. Intervals are 95 % percentile bootstrap over rows (Efron 1979), from at most
    `resamples` draws, fewer for many rows; 0 draws none. A proportion without a single error cannot vary
    between resamples: it gets Wilson's interval instead (Wilson 1927).

    Raises `DataError` for shapes that do not fit and values that are not finite or not probabilities.
    """
    if target.task == "regression":
        return _evaluate_values(target, labels, prediction, resamples, seed)
    numbers, probabilities = check_probabilities(target, labels, prediction)
    return _evaluate_classes(target, numbers, probabilities, threshold, resamples, seed)


def scorer_for(
    target: Target, labels: npt.ArrayLike, prediction: npt.ArrayLike, threshold: float | None
) -> Scorer:
    """The measures of a checked prediction, ready for any weighting of its rows."""
    if target.task == "regression":
        return RegressionScorer(*check_values(target, labels, prediction))
    numbers, probabilities = check_probabilities(target, labels, prediction)
    decided = decide(target, probabilities, threshold)
    return ClassificationScorer(numbers, probabilities, decided, positive_place(target))


def decide(target: Target, probabilities: Floats, threshold: float | None = None) -> Ints:
    """Class numbers (n,) of probabilities (n, classes): positive from the threshold on, else the top one."""
    positive = positive_place(target)
    if positive is None:
        return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
    sure = probabilities[:, positive] >= (0.5 if threshold is None else threshold)
    return np.where(sure, positive, 1 - positive)


def positive_place(target: Target) -> int | None:
    """Where the positive class stands in `target.classes`; None unless the task is binary."""
    if target.task != "binary":
        return None
    return 1 if target.positive is None else target.classes.index(target.positive)


def check_probabilities(
    target: Target, labels: npt.ArrayLike, prediction: npt.ArrayLike
) -> tuple[Ints, Floats]:
    """Labels (n,) as class numbers and probabilities (n, classes), or a `DataError` that names the fault."""
    numbers = np.asarray(labels)
    probabilities = np.asarray(prediction, dtype=np.float64)
    expected = (len(numbers), len(target.classes))
    if probabilities.shape != expected or not len(numbers):
        raise DataError(
            f"{target.name}: probabilities of shape {expected} (rows, classes), at least one row, "
            f"were expected, got {probabilities.shape}"
        )
    if not np.issubdtype(numbers.dtype, np.integer) or numbers.min() < 0 or numbers.max() >= expected[1]:
        raise DataError(f"{target.name}: labels must be class numbers from 0 to {expected[1] - 1}")
    _check_finite(target, probabilities.sum(axis=1))
    wrong = (np.abs(probabilities.sum(axis=1) - 1) > 1e-3) | (probabilities < -1e-9).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{target.name}: row {row} of the prediction is not a distribution over the classes: "
            f"{probabilities[row].tolist()}. Hand over probabilities, not raw outputs."
        )
    return numbers.astype(np.int64), np.clip(probabilities, 0.0, 1.0)


def check_values(target: Target, labels: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Labels (n,) and predicted values (n,), or a `DataError` that names the fault."""
    truth = np.asarray(labels, dtype=np.float64)
    values = np.asarray(prediction, dtype=np.float64)
    if truth.ndim != 1 or values.shape != truth.shape or not len(truth):
        raise DataError(
            f"{target.name}: one value per label, at least one, was expected, "
            f"got shapes {values.shape} and {truth.shape}"
        )
    _check_finite(target, truth, "labels")
    _check_finite(target, values)
    return truth, values


def _check_finite(target: Target, values: Floats, what: str = "prediction") -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        raise DataError(
            f"{target.name}: {int(bad.sum())} of {len(values)} rows of the {what} are not finite numbers, "
            f"the first is row {int(bad.argmax())}"
        )


def _evaluate_classes(
    target: Target,
    labels: Ints,
    probabilities: Floats,
    threshold: float | None,
    resamples: int,
    seed: int,
) -> Evaluation:
    positive = positive_place(target)
    decided = decide(target, probabilities, threshold)
    scorer = ClassificationScorer(labels, probabilities, decided, positive)
    order = list(range(len(target.classes))) if positive is None else [1 - positive, positive]
    confusion = _confusion_matrix(labels, decided, len(target.classes))[np.ix_(order, order)]
    names = [str(target.classes[index]) for index in order]
    measured, drawn = _measures(scorer, resamples, seed)
    if drawn:
        measured |= _without_variation(measured, confusion, positive)
    base = Evaluation(
        task=target.task,
        target=target.name,
        rows=len(labels),
        metrics=measured,
        resamples=drawn,
        classes=tuple(target.classes[index] for index in order),
        report=_report(names, confusion),
        confusion=tuple(tuple(int(cell) for cell in row) for row in confusion),
        roc=roc_curves(target, labels, probabilities, positive),
        precision_recall=precision_recall_curves(target, labels, probabilities, positive),
        calibration=calibration_curve(labels, probabilities, positive),
        notes=(*_class_notes(names, confusion), *_separation_note(measured)),
    )
    if positive is None:
        return base
    used = 0.5 if threshold is None else float(threshold)
    return replace(
        base,
        positive=target.classes[positive],
        threshold=used,
        thresholds=threshold_curve(labels == positive, probabilities[:, positive], used),
    )


def _evaluate_values(
    target: Target, labels: npt.ArrayLike, prediction: npt.ArrayLike, resamples: int, seed: int
) -> Evaluation:
    truth, values = check_values(target, labels, prediction)
    measured, drawn = _measures(RegressionScorer(truth, values), resamples, seed)
    constant = ("all labels are equal, so R² is not defined",) if np.ptp(truth) == 0 else ()
    return Evaluation(
        task="regression",
        target=target.name,
        rows=len(truth),
        metrics=measured,
        resamples=drawn,
        calibration=binned_values(truth, values),
        residuals=residual_summary(truth, values),
        notes=constant,
    )


def _measures(scorer: Scorer, resamples: int, seed: int) -> tuple[dict[str, Measure], int]:
    drawn = affordable_resamples(scorer, resamples) if resamples and scorer.rows > 1 else 0
    draws = bootstrap(scorer, drawn, seed)
    values = point(scorer)
    return {name: interval(value, draws.get(name), name) for name, value in values.items()}, drawn


def interval(value: float, draws: Floats | None, name: str = "") -> Measure:
    """The 95 % percentile interval of bootstrap draws; draws where the measure is undefined are left out.

    The calibration error of a resample is on average larger than that of the sample, because noise within
    bins counts as error: its interval is shifted back by that bias, not below 0.
    """
    if draws is None or math.isnan(value):
        return Measure(value)
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        return Measure(value)
    low, high = (float(bound) for bound in np.percentile(defined, (2.5, 97.5)))
    if name == "calibration_error":
        bias = float(defined.mean()) - value
        low, high = max(0.0, low - bias), max(0.0, high - bias)
    return Measure(value, min(low, value), max(high, value))


def _without_variation(
    measured: dict[str, Measure], confusion: Ints, positive: int | None
) -> dict[str, Measure]:
    """Wilson's interval for proportions of 0 or 1, where no resample can differ from the sample."""
    counts = {"accuracy": (int(np.trace(confusion)), int(confusion.sum()))}
    if positive is not None:
        counts["precision"] = (int(confusion[1, 1]), int(confusion[:, 1].sum()))
        counts["recall"] = (int(confusion[1, 1]), int(confusion[1].sum()))
    return {
        name: Measure(measured[name].value, *wilson(part, whole))
        for name, (part, whole) in counts.items()
        if whole and part in (0, whole)
    }


def _confusion_matrix(labels: Ints, decided: Ints, classes: int) -> Ints:
    counts = np.bincount(labels * classes + decided, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def _report(names: list[str], confusion: Ints) -> tuple[ReportRow, ...]:
    support, guessed = confusion.sum(axis=1), confusion.sum(axis=0)
    hits = np.diag(confusion).astype(np.float64)
    parts = np.stack(
        [
            metrics.ratio(hits, guessed.astype(np.float64)),
            metrics.ratio(hits, support.astype(np.float64)),
            metrics.ratio(2 * hits, (support + guessed).astype(np.float64)),
        ]
    )
    total = int(support.sum())
    present = support + guessed > 0
    averages: dict[str, Floats] = {
        "macro average": parts[:, present].mean(axis=1),
        "weighted average": parts @ support / total,
    }
    rows = [_row(name, parts[:, index], int(support[index])) for index, name in enumerate(names)]
    return (*rows, *(_row(name, means, total) for name, means in averages.items()))


def _row(label: str, parts: Floats, support: int) -> ReportRow:
    return ReportRow(label, float(parts[0]), float(parts[1]), float(parts[2]), support)


def _class_notes(names: list[str], confusion: Ints) -> tuple[str, ...]:
    support = confusion.sum(axis=1)
    absent = [name for name, rows in zip(names, support, strict=True) if not rows]
    notes = []
    if absent:
        shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        notes.append(f"no row of {shown} among the rows measured: averages over classes leave it out")
    smallest = int(support[support > 0].min())
    if smallest < 20:
        name = names[int(np.flatnonzero(support == smallest)[0])]
        notes.append(f"only {smallest} rows of {name}: what is said of that class is uncertain")
    return tuple(notes)


def _separation_note(measured: dict[str, Measure]) -> tuple[str, ...]:
    if measured["roc_auc"].value != 1:
        return ()
    note = (
        "these rows are ranked without a single error, and resampling cannot show errors that did not "
        "happen: the intervals of areas and of averages over classes are too narrow"
    )
    return (note,)
