"""Two versions of a model side by side, on rows that neither was trained on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicegui import ui

from tabstudio.evaluation.evaluation_result import NAMES, number
from tabstudio.evaluation.report_content import HEADLINE
from tabstudio.registry.comparison import Comparison, MetricGap, compare
from tabstudio.registry.comparison.cells import (
    FLIP_HEADERS,
    HEADERS,
    decisions,
    differences,
    flip_cells,
    gap_cells,
    signed,
)
from tabstudio.studio.ui.addresses import model_page, version_page
from tabstudio.studio.ui.charts import Chart, LinePlot
from tabstudio.studio.ui.elements import facts, heading, section
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import BadgeCell, Cell, plain_table

MOST_ROWS = 30
"""Rows of flipped decisions that are listed."""


class VersionComparison:
    """Builds the page of a comparison. A is the first version, B the second."""

    def __init__(self, view: PageView, name: str, first: int, second: int) -> None:
        self.view, self.name, self.first, self.second = view, name, first, second
        heading(f"{name}: version {first} against version {second}", "A is the first of them, B the second.")
        with ui.element("p").classes("row-wrap"):
            ui.link("All versions", model_page(name))
            ui.link(f"A: version {first}", version_page(name, first))
            ui.link(f"B: version {second}", version_page(name, second))
        self.waiting = (
            ui.label("Asking both for their answers …").classes("muted").props('aria-live="polite"')
        )
        view.soon(self._build, "24rem")

    async def _build(self) -> None:
        registry = self.view.studio.registry(self.view.who)
        one, two = (f"models:/{self.name}/{version}" for version in (self.first, self.second))
        try:
            comparison = await asyncio.to_thread(
                compare,
                one,
                two,
                tracking_uri=registry.tracking_uri,
                registry_uri=registry.registry_uri,
            )
        finally:
            self.waiting.set_visibility(False)
        with section("Result", f"On {comparison.how}."):
            self._result(comparison)
        with section("Decisions"):
            self._decisions(comparison)
        if comparison.schema:
            with section("What callers of A meet with B"), ui.element("ul"):
                for change in comparison.schema:
                    with ui.element("li"):
                        ui.label(str(change))
        for title, rows in differences(comparison):
            with section(title.capitalize()):
                plain_table(("", "A", "B"), rows, f"Where the two differ: {title}")

    def _result(self, comparison: Comparison) -> None:
        for text in (comparison.verdict, *comparison.notes):
            ui.label(text).classes("note")
        shown = [gap for gap in comparison.metrics if gap.metric in HEADLINE[comparison.target.task]]
        facts({f"{NAMES[gap.metric]}, B minus A": signed(gap.difference) for gap in shown})
        with ui.element("div").classes("grid charts"):
            forest(comparison.metrics)
            for draw in (_roc, _calibration, _threshold):
                draw(comparison)
        plain_table(
            HEADERS, [_gap_row(gap) for gap in comparison.metrics], "By paired bootstrap on the same rows"
        )

    def _decisions(self, comparison: Comparison) -> None:
        for sentence in decisions(comparison):
            ui.label(sentence)
        rows = comparison.flips.rows[:MOST_ROWS]
        if rows:
            more = (
                f"; {len(rows):,} of {comparison.flips.count:,}" if comparison.flips.count > len(rows) else ""
            )
            caption = f"Rows of {comparison.source}, counted from 1, the widest apart first{more}"
            plain_table(FLIP_HEADERS, [flip_cells(flip) for flip in rows], caption)


def forest(gaps: Sequence[MetricGap]) -> Chart:
    """A point per difference with its interval; each on the scale of its own reach, zero in the middle."""
    names = [NAMES[gap.metric] for gap in gaps]
    points, whiskers = [], []
    for index, gap in enumerate(gaps):
        reach = max(abs(value) for value in (gap.low, gap.high, gap.difference) if value == value) or 1.0
        colour = {"first": "var(--series-1)", "second": "var(--series-2)"}.get(
            gap.better or "", "var(--muted)"
        )
        points.append({"value": [gap.difference / reach, index], "itemStyle": {"color": colour}})
        if gap.low == gap.low:
            ends = [[gap.low / reach, index], [gap.high / reach, index]]
            whiskers.append({"coords": ends, "lineStyle": {"color": colour}})
    options = {
        "legend": {"show": False},
        "tooltip": {"show": False},
        "grid": {"top": 10, "bottom": 30},
        "xAxis": {
            "type": "value",
            "min": -1.1,
            "max": 1.1,
            "axisLabel": {"show": False},
            "splitNumber": 2,
            "name": "A higher ← zero → B higher",
            "nameLocation": "middle",
            "nameGap": 12,
        },
        "yAxis": {"type": "category", "data": names, "inverse": True},
        "series": [
            {
                "type": "lines",
                "coordinateSystem": "cartesian2d",
                "polyline": True,
                "data": whiskers,
                "lineStyle": {"width": 3, "opacity": 1},
            },
            {"type": "scatter", "data": points, "symbol": "rect", "symbolSize": 11},
        ],
    }
    height = 90 + 26 * len(gaps)
    rows = [[NAMES[gap.metric], signed(gap.difference), gap.interval or "–"] for gap in gaps]
    return Chart(
        "B minus A with 95 % intervals, each on its own scale",
        options,
        lambda: (("Measure", "B - A", "95 % interval"), rows),
        height=height,
    )


def _gap_row(gap: MetricGap) -> list[Cell]:
    *cells, better = gap_cells(gap)
    return [*cells, BadgeCell(f"{better} beyond chance", "good") if gap.better else "chance can explain it"]


def _roc(comparison: Comparison) -> None:
    if comparison.target.task != "binary":
        return
    series = {
        f"{letter}, AUC {number(curve.area)}": list(zip(curve.x, curve.y, strict=True))
        for letter, evaluation in zip("AB", comparison.evaluations, strict=True)
        for curve in evaluation.roc
    }
    LinePlot("ROC curves", series, x="false positive rate", y="true positive rate", area=(0, 1), span=(0, 1))


def _calibration(comparison: Comparison) -> None:
    if comparison.target.task == "regression":
        return
    series: dict[str, list[tuple[float, float]]] = {"ideal": [(0.0, 0.0), (1.0, 1.0)]}
    for letter, evaluation in zip("AB", comparison.evaluations, strict=True):
        error = number(evaluation["calibration_error"].value)
        series[f"{letter}, error {error}"] = [
            (held.predicted, held.observed) for held in evaluation.calibration
        ]
    LinePlot(
        "Calibration", series, x="predicted probability", y="observed frequency", area=(0, 1), span=(0, 1)
    )


def _threshold(comparison: Comparison) -> None:
    if comparison.target.task != "binary":
        return
    series = {
        letter if cut is None else f"{letter}, in use {cut:.3g}": [
            (p.threshold, p.f1) for p in evaluation.thresholds
        ]
        for letter, evaluation, cut in zip("AB", comparison.evaluations, comparison.thresholds, strict=True)
    }
    name = f"threshold on the probability of {comparison.target.positive}"
    LinePlot("F1 by threshold", series, x=name, y="F1", area=(0, 1), span=(0, 1))
