"""The pictures of a training and its evaluation, as figures of matplotlib in the house's style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from tabstudio.evaluation.evaluation_result import NAMES, Evaluation, EvaluationCurve, number
from tabstudio.evaluation.line_chart import LineChart
from tabstudio.evaluation.metrics import Floats
from tabstudio.evaluation.permutation_importance import Importance
from tabstudio.report.canvas import Canvas, width_of
from tabstudio.report.colors import INK, MUTED, PALETTE, SEQUENTIAL
from tabstudio.report.figure import heatmap
from tabstudio.report.text_format import shorten

MOST_BARS = 15
MOST_LINES = 24
"""Members drawn one by one; of more, the first ones."""
WIDEST_MATRIX = 30
"""Classes of a confusion matrix that still can be read."""
FAINT = "38"
"""Opacity of a member's line, as the last two digits of its colour."""
SQUARE = (4.6, 4.2)
UNIT = (0.0, 1.0)


class EpochLosses(Protocol):
    """The losses of one epoch of a training."""

    @property
    def number(self) -> int:
        """Its number, from 1."""
        ...

    @property
    def train_loss(self) -> npt.ArrayLike:
        """On the training rows, (members,)."""
        ...

    @property
    def val_loss(self) -> npt.ArrayLike:
        """On the validation rows, (members,), nan where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class LossCurves:
    """Losses by epoch: `train` and `validation` are (epochs, members), nan where a member had stopped.

    `best` (members,) is the place of each member's best epoch, counted from 0, or empty.
    """

    epochs: Sequence[int]
    train: Floats
    validation: Floats
    best: Sequence[int] = ()

    @classmethod
    def of(cls, history: Sequence[EpochLosses]) -> LossCurves:
        """Curves of the epochs that a training yielded (`number`, `train_loss`, `val_loss` of each)."""
        epochs = [int(epoch.number) for epoch in history]
        train = np.array([np.asarray(epoch.train_loss, dtype=np.float64) for epoch in history])
        validation = np.array([np.asarray(epoch.val_loss, dtype=np.float64) for epoch in history])
        known = np.where(np.isfinite(validation), validation, np.inf)
        best = known.argmin(axis=0).tolist() if np.isfinite(known).any() else []
        return cls(epochs, train, validation, best)


def pictures(
    evaluation: Evaluation,
    history: Sequence[EpochLosses] = (),
    importance: Importance | None = None,
) -> dict[str, Figure]:
    """All pictures that the numbers allow, by name, in the order of a report.

    `history` holds the epochs of a training, see `LossCurves.of`.
    """
    drawn: dict[str, Figure] = {}
    if history:
        drawn["loss"] = loss_picture(LossCurves.of(history))
    if evaluation.task == "regression":
        drawn["predicted_actual"] = predicted_actual_picture(evaluation)
        drawn["residuals"] = residuals_picture(evaluation)
    else:
        drawn |= _classification(evaluation)
    if importance is not None and importance.columns:
        drawn["importance"] = importance_picture(importance)
    return drawn


def _classification(evaluation: Evaluation) -> dict[str, Figure]:
    drawn = {}
    if len(evaluation.classes) <= WIDEST_MATRIX:
        drawn["confusion"] = confusion_picture(evaluation)
    if evaluation.roc:
        drawn["roc"] = roc_picture(evaluation)
    if evaluation.precision_recall:
        drawn["precision_recall"] = precision_recall_picture(evaluation)
    drawn["calibration"] = calibration_picture(evaluation)
    if evaluation.thresholds:
        drawn["threshold"] = threshold_picture(evaluation)
    return drawn


def loss_picture(curves: LossCurves) -> Figure:
    """Train and validation loss by epoch: the mean over members, each member faint, best epochs marked."""
    both = np.concatenate((curves.train.ravel(), curves.validation.ravel()))
    known = both[np.isfinite(both)]
    low, high = (float(known.min()), float(known.max())) if len(known) else UNIT
    log = low > 0 and high > 50 * low
    ends = (float(curves.epochs[0]), float(curves.epochs[-1]))
    chart = LineChart("Loss by epoch", ("epoch", "loss"), ends, (low, high), log=log, whole=True)
    named = (("train", curves.train, PALETTE[0]), ("validation", curves.validation, PALETTE[1]))
    for label, values, colour in named:
        if np.isfinite(values).any():
            if values.shape[1] > 1:
                for member in values.T[:MOST_LINES]:
                    chart.line(curves.epochs, member, colour + FAINT, width=0.8)
            chart.line(curves.epochs, mean_of_running(values), colour, label=label)
    if len(curves.best):
        _mark_best(chart, curves)
    return chart.figure()


def _mark_best(chart: LineChart, curves: LossCurves) -> None:
    epochs = [curves.epochs[index] for index in curves.best]
    losses = curves.validation[list(curves.best), np.arange(len(curves.best))]
    shown = np.isfinite(losses)
    label = f"best, epoch {epochs[0]}" if len(epochs) == 1 else "best of each member"
    chart.dots(np.array(epochs)[shown], losses[shown], PALETTE[5], radius=0.035, label=label)


def mean_of_running(values: Floats) -> Floats:
    """Mean over members (epochs, members) -> (epochs,); one that had stopped stays at its last loss.

    Without that, the line would jump whenever a member stops.
    """
    carried = values.copy()
    for row in range(1, len(carried)):
        gone = np.isnan(carried[row])
        carried[row, gone] = carried[row - 1, gone]
    known = np.isfinite(carried)
    totals = np.where(known, carried, 0.0).sum(axis=1)
    nothing = np.full(len(totals), np.nan)
    mean: Floats = np.divide(totals, known.sum(axis=1), out=nothing, where=known.any(axis=1))
    return mean


def confusion_picture(evaluation: Evaluation) -> Figure:
    """Rows actual, columns predicted: counts."""
    return matrix_picture(evaluation.classes, np.asarray(evaluation.confusion))


def matrix_picture(classes: Sequence[object], matrix: Floats) -> Figure:
    """A confusion matrix (actual, predicted) of counts, or of shares."""
    counts = np.asarray(matrix, dtype=np.float64)
    return heatmap(
        [str(label) for label in classes],
        counts,
        title="Confusion matrix",
        low=0.0,
        high=float(counts.max()),
        decimals=0 if np.array_equal(counts, np.round(counts)) else 2,
        colours=SEQUENTIAL,
        xlabel="predicted",
        ylabel="actual",
    )


def roc_picture(evaluation: Evaluation) -> Figure:
    """True positive against false positive rate; the diagonal is guessing."""
    labels = ("false positive rate", "true positive rate")
    chart = LineChart("ROC curve", labels, UNIT, UNIT, size=SQUARE)
    chart.dashes((0.0, 0.0), (1.0, 1.0))
    for curve, colour in zip(evaluation.roc, PALETTE, strict=False):
        chart.line(curve.x, curve.y, colour, label=_area_label(curve, "AUC"))
    return chart.figure("bottom right")


def precision_recall_picture(evaluation: Evaluation) -> Figure:
    """Precision against recall, by falling threshold."""
    chart = LineChart("Precision and recall", ("recall", "precision"), UNIT, UNIT, size=SQUARE)
    for curve, colour in zip(evaluation.precision_recall, PALETTE, strict=False):
        # Between two thresholds the higher recall comes with the lower precision: a step, not a slope.
        recall, precision = np.repeat((0.0, *curve.x), 2)[1:-1], np.repeat(curve.y, 2)
        chart.line(recall, precision, colour, label=_area_label(curve, "AP"))
    return chart.figure("bottom left")


def _area_label(curve: EvaluationCurve, area: str) -> str:
    return f"{shorten(curve.label, 18)}, {area} {number(curve.area)}"


def calibration_picture(evaluation: Evaluation) -> Figure:
    """Frequency against probability with Wilson's 95 % intervals; area of a point by its rows."""
    positive = evaluation.positive
    what = "probability of the class given" if positive is None else f"probability of {shorten(positive)}"
    labels = (f"predicted {what}", "observed frequency")
    chart = LineChart("Calibration", labels, UNIT, UNIT, size=SQUARE)
    chart.dashes((0.0, 0.0), (1.0, 1.0))
    for held in evaluation.calibration:
        chart.line((held.predicted,) * 2, (held.low, held.high), PALETTE[0] + "80", width=1.4)
    bins = evaluation.calibration
    sizes = [0.03 + 0.07 * (held.rows / evaluation.rows) ** 0.5 for held in bins]
    chart.dots([b.predicted for b in bins], [b.observed for b in bins], PALETTE[0], radius=sizes)
    return chart.figure()


def threshold_picture(evaluation: Evaluation) -> Figure:
    """Precision, recall and F1 of the positive class by threshold, the chosen one marked."""
    labels = (f"threshold on the probability of {shorten(evaluation.positive)}", "")
    chart = LineChart("Threshold", labels, UNIT, UNIT)
    points = evaluation.thresholds
    x = [point.threshold for point in points]
    # Where no row is called positive there is no precision to draw.
    precision = [point.precision if point.precision + point.recall > 0 else np.nan for point in points]
    chart.line(x, precision, PALETTE[0], label="precision")
    chart.line(x, [point.recall for point in points], PALETTE[1], label="recall")
    chart.line(x, [point.f1 for point in points], PALETTE[2], label="F1")
    if evaluation.threshold is not None:
        threshold = evaluation.threshold
        chart.dashes((threshold, 0.0), (threshold, 1.0), INK, label=f"in use, {number(threshold)}")
    return chart.figure("bottom left")


def importance_picture(importance: Importance) -> Figure:
    """Increase of the loss when a column is shuffled, the largest first, one deviation either way."""
    shown = importance.columns[:MOST_BARS]
    names = [shorten(column.column, 30) for column in shown]
    left = 0.3 + width_of(names)
    texts = [number(column.value) for column in shown]
    width = 6.4 - left - 0.35 - width_of(texts)
    largest = max(max(column.value + column.deviation, 0.0) for column in shown) or 1.0
    sheet = Canvas(6.4, 0.75 + 0.24 * len(shown))
    loss = NAMES[importance.metric]
    sheet.text(0.14, 0.24, f"Increase of the {loss} when a column is shuffled", size=12, bold=True)
    for row, (column, name, text) in enumerate(zip(shown, names, texts, strict=True)):
        y = 0.62 + 0.24 * row
        end, spread = (width * max(v, 0.0) / largest for v in (column.value, column.deviation))
        sheet.text(left - 0.1, y, name, align="right")
        sheet.boxes(left, y - 0.08, end, 0.16, PALETTE[0])
        sheet.line((left + max(end - spread, 0.0), left + end + spread), (y, y), MUTED, 1.2)
        sheet.text(left + end + spread + 0.08, y, text, colour=MUTED)
    return sheet.figure()


def predicted_actual_picture(evaluation: Evaluation) -> Figure:
    """Actual against predicted values, with the means of equal groups of rows."""
    points = _points(evaluation)
    x, y = ((float(column.min()), float(column.max())) for column in points.T)
    chart = LineChart("Predicted and actual", ("predicted", "actual"), x, y, size=SQUARE)
    chart.cloud(points[:, 0], points[:, 1], PALETTE[0])
    low, high = max(x[0], y[0]), min(x[1], y[1])
    if low < high:
        chart.dashes((low, low), (high, high), label="right")
    bins = evaluation.calibration
    predicted, observed = [b.predicted for b in bins], [b.observed for b in bins]
    chart.dots(predicted, observed, PALETTE[5])
    chart.line(predicted, observed, PALETTE[5], label="means of equal groups")
    return chart.figure("top left")


def residuals_picture(evaluation: Evaluation) -> Figure:
    """Prediction minus actual against prediction; zero is right."""
    assert evaluation.residuals is not None
    points = _points(evaluation)
    errors = points[:, 0] - points[:, 1]
    low, high = (evaluation.residuals.quantiles[name] for name in ("5 %", "95 %"))
    ends = (float(points[:, 0].min()), float(points[:, 0].max()))
    spread = (min(float(errors.min()), low), max(float(errors.max()), high))
    title = f"Residuals, nine in ten from {number(low)} to {number(high)}"
    chart = LineChart(title, ("predicted", "predicted minus actual"), ends, spread)
    chart.band(low, high)
    chart.cloud(points[:, 0], errors, PALETTE[0])
    chart.line(ends, (0.0, 0.0), MUTED, width=1.0)
    return chart.figure()


def _points(evaluation: Evaluation) -> Floats:
    assert evaluation.residuals is not None
    return np.asarray(evaluation.residuals.points, dtype=np.float64).reshape(-1, 2)
