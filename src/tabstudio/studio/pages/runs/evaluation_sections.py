"""Sections of a run's evaluation: decisions, curves, importance, slices, references."""

from __future__ import annotations

from collections.abc import Mapping

from nicegui import ui

from tabstudio.evaluation.evaluation_result import NAMES, Evaluation, EvaluationCurve, number
from tabstudio.evaluation.report_content import HEADLINE
from tabstudio.studio.pages.runs.decision_panel import DecisionPanel
from tabstudio.studio.services.runs.run_evaluation import RunEvaluation
from tabstudio.studio.ui.charts import BarPlot, Chart, LinePlot, Options, heatmap, value_axis
from tabstudio.studio.ui.elements import facts, section, tag
from tabstudio.studio.ui.tables import Cell, plain_table

MOST_BARS = 25
MOST_CLASSES = 40
SLICE_METRICS = 4


def show_evaluation(evaluation: RunEvaluation, params: Mapping[str, str]) -> None:
    """Build the sections of an evaluation, where this stands."""
    test = evaluation.test
    with section("Result", f"On {test.rows:,} test rows, with 95 % intervals."):
        shown = [name for name in HEADLINE[test.task] if name in test.metrics]
        facts({NAMES[name]: test[name] for name in shown})
        for note in (evaluation.verdict, *test.notes):
            if note:
                ui.label(note).classes("note")
    if test.task == "binary":
        with section("Decision"):
            DecisionPanel(test, _costs(params))
    elif test.confusion and len(test.classes) <= MOST_CLASSES:
        with section("Confusion matrix"):
            _confusion(test)
    with section("Test rows"), ui.element("div").classes("grid charts"):
        _curves(test)
    with ui.element("div").classes("grid"):
        if evaluation.importance is not None and evaluation.importance.columns:
            with section("Importance"):
                _importance(evaluation)
        if test.report or evaluation.references:
            with section("By class" if test.report else ""):
                _report(test)
                _references(evaluation)
    if evaluation.slices:
        with section("Slices"):
            _slices(evaluation)


def _costs(params: Mapping[str, str]) -> tuple[float, float]:
    """Return the costs that the threshold was chosen for; 1 by default."""

    def cost(name: str) -> float:
        try:
            return float(params.get(name, "") or 1.0)
        except ValueError:  # MLflow shows what was not given as None
            return 1.0

    return cost("cost_false_positive"), cost("cost_false_negative")


def _confusion(test: Evaluation) -> None:
    labels = [str(label) for label in test.classes]
    rows = [[float(cell) for cell in row] for row in test.confusion]
    largest = max(max(row) for row in rows)
    title = "Rows are what was true, columns what was said"
    height = 160 + 26 * len(labels)
    heatmap(title, labels, labels, rows, low=0, high=largest, digits=0, height=max(320, height))


def _curves(test: Evaluation) -> None:
    if test.roc:
        series = _areas(test.roc) | {"chance": [(0.0, 0.0), (1.0, 1.0)]}
        LinePlot("ROC", series, x="false positive rate", y="true positive rate", area=(0, 1), span=(0, 1))
    if test.precision_recall:
        series = _areas(test.precision_recall)
        LinePlot("Precision and recall", series, x="recall", y="precision", area=(0, 1), span=(0, 1))
    if test.calibration and test.task != "regression":
        calibration(test)
    if test.thresholds:
        name = f"threshold on the probability of {test.positive}"
        # Where no row is called positive there is no precision to draw.
        precision = [(p.threshold, p.precision) for p in test.thresholds if p.precision + p.recall > 0]
        series = {
            "precision": precision,
            "recall": [(p.threshold, p.recall) for p in test.thresholds],
            "F1": [(p.threshold, p.f1) for p in test.thresholds],
        }
        LinePlot("By threshold", series, x=name, area=(0, 1), span=(0, 1))
    if test.residuals is not None:
        _residuals(test)


def _areas(curves: tuple[EvaluationCurve, ...]) -> dict[str, list[tuple[float, float]]]:
    return {f"{c.label}, area {number(c.area)}": list(zip(c.x, c.y, strict=True)) for c in curves}


def calibration(test: Evaluation) -> Chart:
    """Probability against frequency, with the intervals as thin bars."""
    bins = test.calibration
    options: Options = {
        "legend": {"show": False},
        "tooltip": {"trigger": "item"},
        "grid": {"bottom": 28},
        "xAxis": value_axis("predicted probability") | {"min": 0, "max": 1},
        "yAxis": {"type": "value", "name": "observed frequency", "min": 0, "max": 1},
        "series": [
            _line("ideal", [[0, 0], [1, 1]], "var(--muted)", 1),
            *(
                _line("95 %", [[b.predicted, b.low], [b.predicted, b.high]], "var(--series-1)", 2)
                for b in bins
            ),
            {
                "type": "scatter",
                "name": "observed",
                "symbolSize": 9,
                "data": [[b.predicted, b.observed] for b in bins],
                "itemStyle": {"color": "var(--series-1)"},
            },
        ],
    }
    rows: list[list[Cell]] = [[number(b.predicted), b.observed, b.low, b.high, b.rows] for b in bins]
    headers = ("Predicted", "Observed", "Low", "High", "Rows")
    return Chart("Calibration", options, lambda: (headers, rows))


def _residuals(test: Evaluation) -> None:
    assert test.residuals is not None
    points = [list(point) for point in test.residuals.points]
    ends = [min(min(p) for p in points), max(max(p) for p in points)]
    options = {
        "legend": {"show": False},
        "tooltip": {"trigger": "item"},
        "grid": {"bottom": 28},
        "xAxis": value_axis("predicted") | {"scale": True},
        "yAxis": {"type": "value", "name": "actual", "scale": True},
        "series": [
            _line("ideal", [[ends[0], ends[0]], [ends[1], ends[1]]], "var(--muted)", 1),
            {
                "type": "scatter",
                "symbolSize": 5,
                "data": points,
                "itemStyle": {"color": "var(--series-1)", "opacity": 0.6},
            },
        ],
    }
    rows: list[list[Cell]] = [[number(p), a] for p, a in points]
    Chart("Predicted and actual", options, lambda: (("Predicted", "Actual"), rows), height=340)
    table = list(test.residuals.quantiles.items())
    plain_table(("Of the rows", "Prediction minus actual, at most"), table, "Residuals")


def _line(name: str, points: list[list[float]], color: str, width: float) -> Options:
    style = {"color": color, "width": width}
    return {
        "type": "line",
        "name": name,
        "data": points,
        "showSymbol": False,
        "lineStyle": style,
        "silent": True,
    }


def _importance(importance: RunEvaluation) -> None:
    assert importance.importance is not None
    columns = importance.importance.columns[:MOST_BARS]
    name = NAMES[importance.importance.metric]
    title = f"Increase of the {name} when a column is shuffled"
    height = max(200, 60 + 24 * len(columns))
    BarPlot(
        title, [c.column for c in columns], {name: [c.value for c in columns]}, sideways=True, height=height
    )
    for note in importance.importance.notes:
        ui.label(note).classes("muted")


def _report(test: Evaluation) -> None:
    if test.report:
        rows: list[list[Cell]] = [[r.label, r.precision, r.recall, r.f1, r.support] for r in test.report]
        plain_table(("Class", "Precision", "Recall", "F1", "Rows"), rows, "Classification report")


def _references(evaluation: RunEvaluation) -> None:
    if not evaluation.references:
        return
    tag("h2", "Beside simple references")
    test = evaluation.test.values()
    names = [name for name in HEADLINE[evaluation.test.task] if name in test]
    rows: list[list[Cell]] = [["this model", *(test[name] for name in names)]]
    rows += [
        [name, *(values.get(metric) for metric in names)] for name, values in evaluation.references.items()
    ]
    plain_table(("Model", *(NAMES[name] for name in names)), rows, "Same rows, same split")


def _slices(evaluation: RunEvaluation) -> None:
    test = evaluation.test
    names = [name for name in HEADLINE[test.task] if name in test.metrics][:SLICE_METRICS]
    rows: list[list[Cell]] = [
        [
            part.column,
            part.level,
            part.rows,
            *(str(part.metrics[n]) if n in part.metrics else None for n in names),
        ]
        for part in evaluation.slices
    ]
    plain_table(
        ("Column", "Level", "Rows", *(NAMES[name] for name in names)),
        rows,
        "Test rows of each level, with 95 % intervals",
    )
