"""What an evaluation found, as data: numbers with intervals, tables, curves; text, HTML and JSON of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from tabstudio.report.text_format import aligned
from tabstudio.table.schema import Label, Task

NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "rmse": "RMSE",
    "mae": "MAE",
    "median_absolute_error": "median absolute error",
    "r2": "R²",
    "mape": "MAPE",
}
"""Measures as a person writes them."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A value with its 95 % interval; nan where the measure is not defined or no interval was drawn."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not defined"
        if math.isnan(self.low):
            return number(self.value)
        return f"{number(self.value)} [{number(self.low)}, {number(self.high)}]"


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One line of the classification report: a class, or an average over classes."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class EvaluationCurve:
    """Points of one line: ROC (false against true positive rate) or precision against recall."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of near predictions: their mean prediction, what was observed with a 95 % interval, their number.

    Of a classifier: probability against frequency, Wilson's interval. Of a regression: predicted against
    actual mean, normal interval.
    """

    predicted: float
    observed: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """What a binary decision would be worth at another threshold, on the same rows.

    `true_positives` and `false_positives` are rows, None where an early tabstudio did not count them.
    """

    threshold: float
    precision: float
    recall: float
    f1: float
    true_positives: int | None = None
    false_positives: int | None = None


@dataclass(frozen=True, slots=True)
class Residuals:
    """Prediction minus label: mean, deviation, quantiles, and up to 500 points (predicted, actual)."""

    mean: float
    deviation: float
    quantiles: Mapping[str, float]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything measured on one set of rows. `evaluate` makes it.

    `classes` is the order of `report` and `confusion` (rows actual, columns predicted): of a binary task the
    positive class is last. `threshold` belongs to the positive class's probability. `resamples` is the number
    that the intervals were drawn from.
    """

    task: Task
    target: str
    rows: int
    metrics: Mapping[str, Measure]
    resamples: int
    classes: tuple[Label, ...] = ()
    positive: Label | None = None
    threshold: float | None = None
    report: tuple[ReportRow, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    roc: tuple[EvaluationCurve, ...] = ()
    precision_recall: tuple[EvaluationCurve, ...] = ()
    calibration: tuple[Bin, ...] = ()
    thresholds: tuple[ThresholdPoint, ...] = ()
    residuals: Residuals | None = None
    notes: tuple[str, ...] = field(default=())

    def __getitem__(self, metric: str) -> Measure:
        return self.metrics[metric]

    def values(self) -> dict[str, float]:
        """The defined measures without their intervals: what a tracker logs."""
        return {name: m.value for name, m in self.metrics.items() if not math.isnan(m.value)}

    def text(self) -> str:
        """A report for the terminal."""
        parts = [self._head(), aligned([(NAMES[name], str(m)) for name, m in self.metrics.items()])]
        if self.report:
            parts += [self._report_text(), self._confusion_text()]
        if self.residuals is not None:
            parts.append("residuals  " + _quantiles_text(self.residuals))
        return "\n\n".join([*parts, *(f"note: {note}" for note in self.notes)])

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for `json.dumps`, nan as None; `from_json` takes it back."""
        plain: dict[str, object] = to_plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """The evaluation that `to_json` wrote."""
        fields: dict[str, Any] = dict(data)
        fields["metrics"] = {name: Measure(**from_plain(m)) for name, m in data["metrics"].items()}
        fields["classes"], fields["notes"] = tuple(data["classes"]), tuple(data["notes"])
        fields["confusion"] = tuple(tuple(row) for row in data["confusion"])
        fields["roc"] = tuple(_curve_from_json(curve) for curve in data["roc"])
        fields["precision_recall"] = tuple(_curve_from_json(curve) for curve in data["precision_recall"])
        for name, kind in (("report", ReportRow), ("calibration", Bin), ("thresholds", ThresholdPoint)):
            fields[name] = tuple(kind(**from_plain(row)) for row in data[name])
        if data["residuals"] is not None:
            residuals = from_plain(data["residuals"])
            points = tuple((float(p), float(a)) for p, a in residuals["points"])
            fields["residuals"] = Residuals(**{**residuals, "points": points})
        return cls(**fields)

    def __repr__(self) -> str:
        shown = ("accuracy", "f1", "roc_auc", "log_loss", "rmse", "mae", "r2")
        values = ", ".join(f"{name}={number(self[name].value)}" for name in shown if name in self.metrics)
        return f"Evaluation({self.task} {self.target!r}, {self.rows} rows: {values})"

    def _repr_html_(self) -> str:
        measures = [(NAMES[name], str(m)) for name, m in self.metrics.items()]
        tables = [_html_table((self._head(), "value [95 % interval]"), measures)]
        if self.report:
            head = ("class", "precision", "recall", "F1", "support")
            tables.append(_html_table(head, [report_cells(row) for row in self.report]))
            labels = [str(label) for label in self.classes]
            rows = [(f"{a} (actual)", *map(str, r)) for a, r in zip(labels, self.confusion, strict=True)]
            tables.append(_html_table(("", *labels), rows))
        return "".join(tables)

    def _head(self) -> str:
        where = f"{self.target} on {self.rows:,} rows"
        if self.threshold is None:
            return where
        return f"{where}, {self.positive} from {number(self.threshold)}"

    def _report_text(self) -> str:
        head = ("", "precision", "recall", "F1", "support")
        return aligned([head, *(report_cells(row) for row in self.report)])

    def _confusion_text(self) -> str:
        if len(self.classes) > 12:
            return "confusion matrix: in the report, it is too wide for a terminal"
        labels = [str(label) for label in self.classes]
        rows = [(a, *map(str, row)) for a, row in zip(labels, self.confusion, strict=True)]
        return aligned([("actual \\ predicted", *labels), *rows])


def number(value: float) -> str:
    """About four places, for people: 0.9712, 12.35, 1,204,300."""
    if not math.isfinite(value):
        return "not defined"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10 or value == 0:
        return f"{value:.4g}"
    return f"{value:.4f}" if abs(value) >= 0.001 else f"{value:.2e}"


def report_cells(row: ReportRow) -> tuple[str, ...]:
    """The cells of one line of the classification report."""
    return (row.label, *(f"{value:.3f}" for value in (row.precision, row.recall, row.f1)), str(row.support))


def _quantiles_text(residuals: Residuals) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in residuals.quantiles.items())


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _curve_from_json(data: Mapping[str, Any]) -> EvaluationCurve:
    filled = from_plain(data)
    return EvaluationCurve(filled["label"], tuple(filled["x"]), tuple(filled["y"]), filled["area"])


def to_plain(value: object) -> Any:
    """The same value for `json.dumps`: figures that are not finite are None, tuples are lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def from_plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that `to_plain` wrote, None as nan."""
    return {key: math.nan if value is None else value for key, value in data.items()}
