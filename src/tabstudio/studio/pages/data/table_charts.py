"""The charts of a table: target, missing values, associations, distributions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from nicegui import ui

from tabstudio.report.text_format import format_tick, shorten
from tabstudio.studio.services.tables.preview_types import AssociationsPreview, ChartsPreview, PanelPreview
from tabstudio.studio.ui.charts import BarPlot, LinePlot, heatmap
from tabstudio.studio.ui.elements import empty, section
from tabstudio.studio.ui.tables import plain_table

MOST_BARS = 30
_CELL, _HEAD = 24, 190


def draw_table_charts(charts: ChartsPreview, target: str) -> None:
    """Draw the charts of a table."""
    with ui.element("div").classes("grid"):
        if charts["classes"] or charts["target"]:
            with section(f"{target}, which is to be predicted"):
                _draw_target(charts)
        if charts["panels"]:
            with section("Distributions"):
                DistributionCharts(charts, target)
        if charts["missing"]:
            with section("Missing values"):
                _draw_missing(charts["missing"])
    if len(charts["associations"]["names"]) > 1:
        with section("What goes together", _ASSOCIATIONS):
            _draw_associations(charts["associations"])
    if charts["numbers"]:
        with section("Numbers"):
            heads = (
                "Column",
                "Present",
                "Mean",
                "Standard deviation",
                "Least",
                "25 %",
                "50 %",
                "75 %",
                "Largest",
            )
            plain_table(heads, charts["numbers"])


_ASSOCIATIONS = (
    "Pearson's r between numbers, -1 to 1; Cramér's V between categories and the correlation ratio between a "
    "category and a number, 0 to 1."
)


def _draw_target(charts: ChartsPreview) -> None:
    if charts["target"]:
        _draw_histogram(charts["target"], ["all rows"], "Rows by value")
        return
    classes = charts["classes"] or []
    counted = classes[:MOST_BARS]
    labels = [f"{label} ({share:.1%})" for label, _, share in counted]
    rows = {"rows": [count for _, count, _ in counted]}
    BarPlot("Rows of each class", labels, rows, sideways=True, height=_height(len(counted)))
    if len(classes) > MOST_BARS:
        empty(f"… and {len(classes) - MOST_BARS:,} smaller classes.")


def _draw_missing(missing: Sequence[tuple[str, int, float]]) -> None:
    shown = missing[:MOST_BARS]
    shares = {"percent of the rows": [round(100 * share, 2) for _, _, share in shown]}
    labels = [name for name, _, _ in shown]
    BarPlot("Percent of the rows without a value", labels, shares, sideways=True, height=_height(len(shown)))
    if len(missing) > MOST_BARS:
        empty(f"… and {len(missing) - MOST_BARS:,} columns with fewer gaps.")


def _draw_associations(associations: AssociationsPreview) -> None:
    names = associations["names"]
    heatmap(
        "How each pair of columns goes together",
        names,
        names,
        associations["matrix"],
        low=-1,
        high=1,
        diverging=True,
        height=_HEAD + _CELL * len(names),
    )
    if associations["left_out"]:
        empty(f"{associations['left_out']:,} columns that go less with the target are not in the picture.")


class DistributionCharts:
    """One column at a time, chosen from those that have a picture, the ones most associated first."""

    def __init__(self, charts: ChartsPreview, target: str) -> None:
        self.charts, self.target = charts, target
        links = {name: (value, how) for name, value, how in charts["associations"]["with_target"]}
        self.panels = {panel["name"]: panel for panel in charts["panels"]}
        names = {name: _with_link(name, links.get(name)) for name in self.panels}
        chosen = ui.select(
            names, value=next(iter(names)), label="Column", with_input=True, on_change=self._show
        )
        self.chosen = chosen.props("outlined dense options-dense").classes("search")
        self.container = ui.element("div")
        self._show()
        if charts["not_drawn"]:
            empty(f"{charts['not_drawn']:,} columns that go less with the target are not drawn.")

    def _show(self) -> None:
        if self.chosen.value not in self.panels:
            return
        panel, by = self.panels[self.chosen.value], self.charts["groups"]
        self.container.clear()
        with self.container:
            if panel["shape"] == "histogram":
                _draw_histogram(panel, by, _by("Percent of the rows", by, self.target))
            elif panel["shape"] == "bars":
                _draw_levels(panel, by, _by("Percent of the rows", by, self.target))
            else:
                _draw_means(panel, self.target)
        if panel["rest"]:
            with self.container:
                empty(f"Not drawn: {panel['rest']}.")


def _by(title: str, groups: Sequence[str], target: str) -> str:
    return f"{title} of each class of {shorten(target, 40)}" if len(groups) > 1 else title


def _with_link(name: str, link: tuple[float | None, str] | None) -> str:
    if link is None or link[0] is None:
        return name
    return f"{name} ({link[1]} {link[0]:.2f})"


def _draw_histogram(panel: PanelPreview, groups: Sequence[str], title: str) -> None:
    edges = [_edge_text(panel, edge) for edge in panel["edges"] or ()]
    labels = [f"{low} to {high}" for low, high in pairwise(edges)]
    BarPlot(title, labels, _percent(panel, groups), value="%", height=300)


def _draw_levels(panel: PanelPreview, groups: Sequence[str], title: str) -> None:
    BarPlot(title, panel["labels"], _percent(panel, groups), value="%", height=300)


def _draw_means(panel: PanelPreview, target: str) -> None:
    title = f"Mean of {shorten(target, 40)}"
    means, spreads = panel["heights"][0], panel["spread"] or []
    if panel["labels"]:
        BarPlot(title, panel["labels"], {"mean": means, "standard deviation": spreads}, height=300)
        return
    band = list(zip(panel["edges"] or (), means, spreads, strict=True))
    LinePlot(
        title,
        {
            "mean": [(x, mean) for x, mean, _ in band],
            "one standard deviation above": [(x, mean + spread) for x, mean, spread in band],
            "one below": [(x, mean - spread) for x, mean, spread in band],
        },
        x="days since 1970" if panel["is_date"] else panel["name"],
        height=300,
    )


def _percent(panel: PanelPreview, groups: Sequence[str]) -> dict[str, list[float]]:
    return {
        group: [round(100 * share, 3) for share in shares]
        for group, shares in zip(groups, panel["heights"], strict=True)
    }


def _edge_text(panel: PanelPreview, edge: float) -> str:
    if not panel["is_date"]:
        return format_tick(edge)
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=edge)).strftime("%Y-%m-%d")


def _height(n_bars: int) -> int:
    return 90 + 26 * n_bars
