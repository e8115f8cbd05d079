"""A binary decision at any threshold: the matrix, its shares and its costs move with a slider."""

from __future__ import annotations

from nicegui import ui

from tabstudio.evaluation.evaluation_result import Evaluation
from tabstudio.studio.services.runs.run_evaluation import (
    ThresholdDecision,
    cheapest_decision,
    nearest_decision,
    threshold_decisions,
)
from tabstudio.studio.ui.elements import empty
from tabstudio.studio.ui.slider import Slider
from tabstudio.studio.ui.tables import Cell, format_number, table_markup


class DecisionPanel:
    """A slider over thresholds and the decisions at each. `costs` are those that the run was trained with."""

    def __init__(self, evaluation: Evaluation, costs: tuple[float, float]) -> None:
        self.evaluation = evaluation
        self.decisions = threshold_decisions(evaluation)
        if not self.decisions:
            self._fixed()
            return
        self.used = nearest_decision(self.decisions, evaluation.threshold or 0.5)
        with ui.element("div").classes("decision"):
            with ui.element("div"):
                self._controls(costs)
            with ui.element("div").props('aria-live="polite"'):
                self.numbers = ui.html("", sanitize=False)
                self.matrix = ui.html("", sanitize=False).classes("scroll confusion")
                self.matrix.props('tabindex="0" role="region" aria-label="Confusion matrix"')
        self._show()

    def _controls(self, costs: tuple[float, float]) -> None:
        last = len(self.decisions) - 1
        with ui.element("div").classes("row-wrap threshold"):
            ui.label("Threshold on the probability of")
            ui.label(f"{self.evaluation.positive}:").classes("strong")
            self.threshold_label = ui.label("").classes("strong")
        self.slider = Slider("Threshold", 0, last, 1, self.used, self._show)
        with ui.element("div").classes("row-wrap tools"):
            ui.button("As trained", on_click=self._as_trained).props("outline no-caps")
            ui.button("Cheapest", on_click=self._cheapest).props("outline no-caps")
        with ui.element("div").classes("row-wrap tools"):
            self.costs = [
                ui.number(f"Cost of a {what}", value=cost, min=0, format="%.6g", on_change=self._show)
                for what, cost in zip(("false positive", "missed positive"), costs, strict=True)
            ]
            for field in self.costs:
                field.props("outlined dense").classes("narrow")
        ui.label(
            "On the test rows, to look at. A threshold that was picked here looks better than it is: the one "
            "in use was chosen on validation rows."
        ).classes("muted")

    @property
    def decision(self) -> ThresholdDecision:
        """The decision at the threshold of the slider."""
        return self.decisions[int(self.slider.value)]

    def _cost(self) -> tuple[float, float]:
        false, missed = (float(field.value or 0) for field in self.costs)
        return max(false, 0.0), max(missed, 0.0)

    def _cheapest(self) -> None:
        self.slider.value = cheapest_decision(self.decisions, *self._cost())

    def _as_trained(self) -> None:
        self.slider.value = self.used

    def _show(self) -> None:
        decision, cost = self.decision, self._cost()
        in_use = ", as trained" if int(self.slider.value) == self.used else ""
        self.threshold_label.text = f"{decision.threshold:.4g}{in_use}"
        facts = {
            "Precision": _share(decision.precision),
            "Recall": _share(decision.recall),
            "F1": _share(decision.f1),
            "Accuracy": _share(decision.accuracy),
            "Cost": format_number(decision.cost(*cost)),
        }
        self.numbers.set_content(_facts(facts))
        negative, positive = (str(label) for label in self.evaluation.classes)
        rows: list[list[Cell]] = [
            [f"{negative} (actual)", decision.true_negatives, decision.false_positives],
            [f"{positive} (actual)", decision.false_negatives, decision.true_positives],
        ]
        caption = "Rows are what was true, columns what would be said."
        self.matrix.set_content(table_markup(("", negative, positive), rows, caption))

    def _fixed(self) -> None:
        labels = [str(label) for label in self.evaluation.classes]
        if not labels:
            return
        empty("This run did not count what other thresholds would find.")
        rows: list[list[Cell]] = [
            [f"{name} (actual)", *cells]
            for name, cells in zip(labels, self.evaluation.confusion, strict=True)
        ]
        ui.html(table_markup(("", *labels), rows, "Confusion matrix"), sanitize=False).classes("scroll")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _facts(pairs: dict[str, str]) -> str:
    """Return the list of `elements.facts` as markup: it changes as often as a slider moves."""
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in pairs.items())
        + "</dl>"
    )
