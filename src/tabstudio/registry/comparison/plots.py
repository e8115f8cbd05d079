"""The pictures of a comparison, as figures of matplotlib in the house's style."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from tabstudio.evaluation.evaluate import positive_place
from tabstudio.evaluation.evaluation_result import NAMES, number
from tabstudio.evaluation.line_chart import LineChart
from tabstudio.evaluation.plots import SQUARE, UNIT
from tabstudio.evaluation.reference_comparison import DECISIVE
from tabstudio.registry.comparison.cells import signed
from tabstudio.report.canvas import Canvas, width_of
from tabstudio.report.colors import INK, MUTED, PALETTE
from tabstudio.report.text_format import shorten

if TYPE_CHECKING:
    from tabstudio.registry.comparison.result import Comparison, MetricGap

A, B = PALETTE[0], PALETTE[1]
MOST_LINES, MOST_POINTS = 25, 4000


def pictures(comparison: Comparison) -> dict[str, Figure]:
    """All pictures that a comparison allows, by name, in the order of its report."""
    gaps = [(NAMES[gap.metric], gap) for gap in comparison.metrics]
    drawn = {"differences": forest("B minus A, each on its own scale", gaps)}
    if comparison.slices:
        metric = next(
            name
            for name in DECISIVE[comparison.target.task]
            if any(gap.metric == name for gap in comparison.metrics)
        )
        parts = [
            (f"{part.column}: {part.level} ({part.rows:,})", gap)
            for part in comparison.slices
            for gap in part.metrics
            if gap.metric == metric
        ]
        if parts:
            drawn["slices"] = forest(f"{NAMES[metric]}, B minus A, by slice", parts, shared=True)
    drawn["answers"] = answers_picture(comparison)
    if comparison.target.task != "regression":
        drawn["calibration"] = calibration_picture(comparison)
    if comparison.target.task == "binary":
        drawn["roc"] = roc_picture(comparison)
        drawn["threshold"] = threshold_picture(comparison)
    return drawn


def forest(title: str, gaps: Sequence[tuple[str, MetricGap]], *, shared: bool = False) -> Figure:
    """A line per difference with its interval, zero in the middle; coloured where chance is ruled out.

    With `shared` all lines have one scale, else each has its own.
    """
    shown = gaps[:MOST_LINES]
    names = [shorten(name, 36) for name, _ in shown]
    texts = [f"{signed(gap.difference)} {gap.interval}".strip() for _, gap in shown]
    left, right = 0.3 + width_of(names), 0.3 + width_of(texts)
    width = 8.2 - left - right
    sheet = Canvas(8.2, 0.75 + 0.26 * len(shown))
    sheet.text(0.14, 0.24, title, size=12, bold=True)
    middle, foot = left + width / 2, 0.55 + 0.26 * len(shown)
    sheet.line((middle, middle), (0.48, foot), MUTED, 1.0)
    reach = [_reach(gap) for _, gap in shown]
    widest = max(reach, default=1.0)
    for row, ((_, gap), name, text) in enumerate(zip(shown, names, texts, strict=True)):
        y, scale = 0.62 + 0.26 * row, 0.45 * width / ((widest if shared else reach[row]) or 1.0)
        colour = {"first": A, "second": B}.get(gap.better or "", MUTED)
        sheet.text(left - 0.1, y, name, align="right")
        if not np.isnan(gap.low):
            sheet.boxes(middle + scale * gap.low, y - 0.03, scale * (gap.high - gap.low), 0.06, colour)
        sheet.boxes(middle + scale * gap.difference - 0.035, y - 0.07, 0.07, 0.14, colour)
        sheet.text(left + width + 0.12, y, text, colour=INK if gap.better else MUTED)
    return sheet.figure()


def _reach(gap: MetricGap) -> float:
    ends = [abs(end) for end in (gap.low, gap.high, gap.difference) if not np.isnan(end)]
    return max(ends, default=1.0)


def answers_picture(comparison: Comparison) -> Figure:
    """What B says against what A says, row by row, coloured by what is true."""
    labels, first, second = comparison.answers
    step = max(1, len(labels) // MOST_POINTS)
    labels, first, second = labels[::step], first[::step], second[::step]
    if comparison.target.task == "regression":
        ends = (float(min(first.min(), second.min())), float(max(first.max(), second.max())))
        chart = LineChart("Answers, row by row", ("A predicts", "B predicts"), ends, ends, size=SQUARE)
        chart.dashes((ends[0], ends[0]), (ends[1], ends[1]))
        chart.cloud(first, second, A)
        return chart.figure()
    positive = positive_place(comparison.target)
    what, one, two, marked = _claims(comparison, positive, labels, first, second)
    chart = LineChart("Answers, row by row", (f"A: {what}", f"B: {what}"), UNIT, UNIT, size=SQUARE)
    chart.dashes((0.0, 0.0), (1.0, 1.0))
    one_cut, two_cut = comparison.thresholds
    if one_cut is not None and two_cut is not None:
        chart.dashes((one_cut, 0.0), (one_cut, 1.0), A)
        chart.dashes((0.0, two_cut), (1.0, two_cut), B)
    chart.cloud(one[~marked], two[~marked], MUTED)
    chart.cloud(one[marked], two[marked], PALETTE[5])
    return chart.figure()


def _claims(
    comparison: Comparison,
    positive: int | None,
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """The axis's name, both models' probabilities, and which rows are marked."""
    if positive is not None:
        what = f"probability of {shorten(comparison.target.classes[positive], 18)}"
        return what, first[:, positive], second[:, positive], labels == positive
    rows = np.arange(len(labels))
    parted = first.argmax(axis=1) != second.argmax(axis=1)
    return "probability of the true class", first[rows, labels], second[rows, labels], parted


def calibration_picture(comparison: Comparison) -> Figure:
    """Frequency against probability of both models."""
    chart = LineChart("Calibration", ("predicted probability", "observed frequency"), UNIT, UNIT, size=SQUARE)
    chart.dashes((0.0, 0.0), (1.0, 1.0))
    for name, colour, evaluation in zip("AB", (A, B), comparison.evaluations, strict=True):
        bins = evaluation.calibration
        for held in bins:
            chart.line((held.predicted,) * 2, (held.low, held.high), colour + "60", width=1.2)
        error = number(evaluation["calibration_error"].value)
        label = f"{name}, error {error}"
        chart.line([b.predicted for b in bins], [b.observed for b in bins], colour, label=label)
        chart.dots([b.predicted for b in bins], [b.observed for b in bins], colour)
    return chart.figure("top left")


def roc_picture(comparison: Comparison) -> Figure:
    """The ROC curves of both models."""
    labels = ("false positive rate", "true positive rate")
    chart = LineChart("ROC curves", labels, UNIT, UNIT, size=SQUARE)
    chart.dashes((0.0, 0.0), (1.0, 1.0))
    for name, colour, evaluation in zip("AB", (A, B), comparison.evaluations, strict=True):
        for curve in evaluation.roc:
            chart.line(curve.x, curve.y, colour, label=f"{name}, AUC {number(curve.area)}")
    return chart.figure("bottom right")


def threshold_picture(comparison: Comparison) -> Figure:
    """F1 of both models by threshold, the ones in use marked."""
    labels = (f"threshold on the probability of {shorten(comparison.target.positive)}", "F1")
    chart = LineChart("F1 by threshold", labels, UNIT, UNIT)
    for name, colour, evaluation in zip("AB", (A, B), comparison.evaluations, strict=True):
        points = evaluation.thresholds
        chart.line([p.threshold for p in points], [p.f1 for p in points], colour, label=name)
        if evaluation.threshold is not None:
            chart.dashes((evaluation.threshold, 0.0), (evaluation.threshold, 1.0), colour)
    return chart.figure("bottom left")
