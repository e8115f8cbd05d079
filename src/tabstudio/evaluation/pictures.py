"""The pictures of a training and its evaluation, each a matplotlib figure in the house's style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tabstudio.evaluation.importance import Importance
from tabstudio.evaluation.metrics import Floats
from tabstudio.evaluation.result import Curve, Evaluation, number
from tabstudio.report.colours import GRID, INK, MUTED, PALETTE, SEQUENTIAL
from tabstudio.report.figure import figure, heatmap, shorten

MOST_BARS = 15
MOST_LINES = 24
"""Members drawn one by one; of more, the first ones."""
WIDEST_MATRIX = 30
"""Classes of a confusion matrix that still can be read."""


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
    def of(cls, history: Sequence[Any]) -> LossCurves:
        """Curves of the epochs that a training yielded (`number`, `train_loss`, `val_loss` of each)."""
        epochs = [int(epoch.number) for epoch in history]
        train = np.array([np.asarray(epoch.train_loss, dtype=np.float64) for epoch in history])
        validation = np.array([np.asarray(epoch.val_loss, dtype=np.float64) for epoch in history])
        known = np.where(np.isfinite(validation), validation, np.inf)
        best = known.argmin(axis=0).tolist() if np.isfinite(known).any() else []
        return cls(epochs, train, validation, best)


def pictures(
    evaluation: Evaluation,
    history: Sequence[Any] = (),
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
    fig, axes = _axes("Loss by epoch", "epoch", "loss")
    for values, label, colour in (
        (curves.train, "train", PALETTE[0]),
        (curves.validation, "validation", PALETTE[1]),
    ):
        if not np.isfinite(values).any():
            continue
        if values.shape[1] > 1:
            axes.plot(curves.epochs, values[:, :MOST_LINES], color=colour, alpha=0.18, linewidth=0.8)
        axes.plot(curves.epochs, _mean_of_running(values), color=colour, linewidth=2, label=label)
    if len(curves.best):
        _mark_best(axes, curves)
    if _wide_range(curves):
        axes.set_yscale("log")
    axes.legend(frameon=False)
    return fig


def _mark_best(axes: Axes, curves: LossCurves) -> None:
    members = range(len(curves.best))
    epochs = [curves.epochs[place] for place in curves.best]
    losses = [curves.validation[place, member] for place, member in zip(curves.best, members, strict=True)]
    label = f"best, epoch {epochs[0]}" if len(epochs) == 1 else "best of each member"
    axes.plot(epochs, losses, "o", color=PALETTE[5], markersize=6 if len(epochs) == 1 else 4, label=label)


def _mean_of_running(values: Floats) -> Floats:
    """Mean over members; one that had stopped stays at its last loss, so that the line does not jump."""
    carried = values.copy()
    for row in range(1, len(carried)):
        gone = np.isnan(carried[row])
        carried[row, gone] = carried[row - 1, gone]
    known = np.isfinite(carried)
    totals = np.where(known, carried, 0.0).sum(axis=1)
    mean: Floats = np.divide(
        totals, known.sum(axis=1), out=np.full(len(totals), np.nan), where=known.any(axis=1)
    )
    return mean


def _wide_range(curves: LossCurves) -> bool:
    both = np.concatenate((curves.train.ravel(), curves.validation.ravel()))
    known = both[np.isfinite(both)]
    return bool(len(known) and known.min() > 0 and known.max() > 50 * known.min())


def confusion_picture(evaluation: Evaluation) -> Figure:
    """Rows actual, columns predicted: counts."""
    counts = np.asarray(evaluation.confusion, dtype=np.float64)
    labels = [str(label) for label in evaluation.classes]
    return heatmap(
        labels,
        counts,
        title="Confusion matrix",
        low=0.0,
        high=float(counts.max()),
        decimals=0,
        colours=SEQUENTIAL,
        xlabel="predicted",
        ylabel="actual",
    )


def roc_picture(evaluation: Evaluation) -> Figure:
    """True positive against false positive rate; the diagonal is guessing."""
    fig, axes = _axes("ROC curve", "false positive rate", "true positive rate", 4.6, 4.2)
    axes.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle="--")
    _draw_curves(axes, evaluation.roc, "AUC", steps=False)
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    return fig


def precision_recall_picture(evaluation: Evaluation) -> Figure:
    """Precision against recall, by falling threshold."""
    fig, axes = _axes("Precision and recall", "recall", "precision", 4.6, 4.2)
    _draw_curves(axes, evaluation.precision_recall, "AP", steps=True)
    axes.set_ylim(-0.02, 1.03)
    axes.legend(frameon=False, loc="lower left", fontsize=8)
    return fig


def _draw_curves(axes: Axes, curves: Sequence[Curve], area: str, *, steps: bool) -> None:
    for curve in curves:
        label = f"{shorten(curve.label)}, {area} {number(curve.area)}"
        axes.plot(curve.x, curve.y, linewidth=2, label=label, drawstyle="steps-pre" if steps else "default")


def calibration_picture(evaluation: Evaluation) -> Figure:
    """Frequency against probability with Wilson's 95 % intervals; area of a point by its rows."""
    what = (
        f"probability of {shorten(evaluation.positive)}" if evaluation.positive is not None else "confidence"
    )
    fig, axes = _axes("Calibration", f"predicted {what}", "observed frequency", 4.6, 4.2)
    axes.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle="--")
    bins = evaluation.calibration
    x = [b.predicted for b in bins]
    axes.vlines(x, [b.low for b in bins], [b.high for b in bins], color=PALETTE[0], alpha=0.5)
    sizes = [12 + 120 * b.rows / evaluation.rows for b in bins]
    axes.scatter(x, [b.observed for b in bins], s=sizes, color=PALETTE[0], zorder=3)
    return fig


def threshold_picture(evaluation: Evaluation) -> Figure:
    """Precision, recall and F1 of the positive class by threshold, the chosen one marked."""
    fig, axes = _axes("Threshold", f"threshold on the probability of {shorten(evaluation.positive)}", "")
    x = [point.threshold for point in evaluation.thresholds]
    for name, label in (("precision", "precision"), ("recall", "recall"), ("f1", "F1")):
        axes.plot(x, [getattr(point, name) for point in evaluation.thresholds], label=label)
    if evaluation.threshold is not None:
        label = f"chosen, {number(evaluation.threshold)}"
        axes.axvline(evaluation.threshold, color=INK, linewidth=1, linestyle="--", label=label)
    axes.legend(frameon=False, fontsize=8)
    return fig


def importance_picture(importance: Importance) -> Figure:
    """Increase of the loss when a column is shuffled, the largest first, one deviation either way."""
    shown = importance.columns[:MOST_BARS][::-1]
    loss = "RMSE" if importance.metric == "rmse" else "log loss"
    height = 1.0 + 0.24 * len(shown)
    fig, axes = _axes("Permutation importance", f"increase of the {loss}", "", 6.4, height)
    places = np.arange(len(shown))
    axes.barh(places, [c.value for c in shown], xerr=[c.deviation for c in shown], ecolor=MUTED, height=0.7)
    axes.set_yticks(places, [shorten(c.column) for c in shown])
    axes.grid(visible=False, axis="y")
    return fig


def predicted_actual_picture(evaluation: Evaluation) -> Figure:
    """Actual against predicted values, with the means of equal groups of rows."""
    fig, axes = _axes("Predicted and actual", "predicted", "actual", 4.6, 4.2)
    points = _points(evaluation)
    axes.scatter(points[:, 0], points[:, 1], s=9, alpha=0.4, color=PALETTE[0], linewidths=0)
    ends = (float(points.min()), float(points.max()))
    axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--")
    bins = evaluation.calibration
    axes.plot([b.predicted for b in bins], [b.observed for b in bins], "o-", color=PALETTE[1], markersize=4)
    return fig


def residuals_picture(evaluation: Evaluation) -> Figure:
    """Prediction minus actual against prediction; zero is right."""
    fig, axes = _axes("Residuals", "predicted", "predicted minus actual")
    points = _points(evaluation)
    axes.axhline(0.0, color=MUTED, linewidth=1)
    axes.scatter(points[:, 0], points[:, 0] - points[:, 1], s=9, alpha=0.5, color=PALETTE[0], linewidths=0)
    if evaluation.residuals is not None:
        low, high = (evaluation.residuals.quantiles[name] for name in ("5 %", "95 %"))
        axes.axhspan(low, high, color=GRID, zorder=0)
        axes.set_title(f"Residuals, nine in ten {number(low)} to {number(high)}", loc="left", fontsize=11)
    return fig


def _points(evaluation: Evaluation) -> Floats:
    points = evaluation.residuals.points if evaluation.residuals is not None else ()
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)


def _axes(title: str, x: str, y: str, width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    fig = figure(width, height)
    axes = fig.add_subplot()
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return fig, axes
