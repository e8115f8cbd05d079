"""Charts in one style, each with its numbers on demand. They are SVG in the colors of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Required, TypedDict, Unpack

from nicegui import ui
from nicegui.events import GenericEventArguments

from tabstudio.studio.ui.elements import folded
from tabstudio.studio.ui.tables import Cell, format_number, table_markup

SERIES = tuple(f"var(--series-{place})" for place in range(1, 9))
DASHES = ("solid", "dashed", "dotted")
SHOWN = 2000
"""Rows of numbers that are shown below one chart."""

Options = dict[str, Any]
"""Options as ECharts takes them."""
ChartTable = tuple[Sequence[str], Sequence[Sequence[Cell]]]
"""Headers and rows of the numbers that a chart draws."""
Lines = Mapping[str, Sequence[tuple[float, float]]]
Bars = Mapping[str, Sequence[float]]


class Chart:
    """An ECharts chart under its title. `options` are ECharts' own, completed by the common style.

    `numbers` returns headers and rows of what is drawn; it is called when a reader opens them.
    """

    def __init__(
        self,
        title: str,
        options: Options,
        numbers: Callable[[], ChartTable],
        *,
        height: int = 280,
    ) -> None:
        self._numbers = numbers
        with ui.element("figure").classes("chart").style(f"--height:{height}px") as self.figure:
            with ui.element("figcaption"):
                self.title = ui.label(title)
            self.echart = ui.echart(_styled(options), renderer="svg")
            self.echart.props["role"] = "img"
            self.echart.props["aria-label"] = title
            self._details()

    def update(self, options: Options, numbers: Callable[[], ChartTable]) -> None:
        """Draw other data in the same place; what stays the same moves there."""
        self._numbers = numbers
        self.echart.options.clear()
        self.echart.options.update(_styled(options))
        self.echart.update()
        if self._open:
            self._table.set_content(self._markup())

    def show(self, shown: bool) -> None:
        """Show it, or leave its place to others."""
        self.figure.set_visibility(shown)

    def _details(self) -> None:
        self._open = False
        with folded("Numbers") as details:
            self._table = ui.html("", sanitize=False).classes("scroll").props('tabindex="0"')

        def turned(event: GenericEventArguments) -> None:
            self._open = bool(event.args)
            if self._open:
                self._table.set_content(self._markup())

        details.on("toggle", turned, js_handler="(e) => emit(e.target.open)")

    def _markup(self) -> str:
        headers, rows = self._numbers()
        more = f"the first {SHOWN:,} of {len(rows):,} rows" if len(rows) > SHOWN else ""
        return table_markup(headers, rows[:SHOWN], more)


class LineAxes(TypedDict, total=False):
    """The axes of a line chart: names, a logarithmic `y`, the ends of `x` (`span`) and of `y` (`area`)."""

    x: Required[str]
    y: str
    log: bool
    area: tuple[float, float]
    span: tuple[float, float]


class LinePlot(Chart):
    """One line per name over a common numeric axis."""

    def __init__(self, title: str, series: Lines, height: int = 280, **axes: Unpack[LineAxes]) -> None:
        self.axes = axes
        options = line_options(series, **axes)
        super().__init__(title, options, lambda: points_table(series, axes["x"]), height=height)

    def draw(self, series: Lines, *, log: bool = False, span: tuple[float, float] | None = None) -> None:
        """Draw other points on the same axes."""
        self.axes["log"] = log
        if span is not None:
            self.axes["span"] = span
        self.update(line_options(series, **self.axes), lambda: points_table(series, self.axes["x"]))


def line_options(series: Lines, **axes: Unpack[LineAxes]) -> Options:
    """Return ECharts options of a `LinePlot`."""
    low, high = axes.get("area", (None, None))
    left, right = axes.get("span", ("dataMin", "dataMax"))
    scale = "log" if axes.get("log") else "value"
    return {
        "legend": {"show": len(series) > 1},
        "xAxis": value_axis(axes["x"]) | {"min": left, "max": right},
        "grid": {"bottom": 28},
        "yAxis": {"type": scale, "name": axes.get("y", ""), "scale": True, "min": low, "max": high},
        "series": [
            {
                "type": "line",
                "name": name,
                "data": [list(point) for point in points],
                "showSymbol": len(points) < 2,
                "sampling": "lttb",
                "lineStyle": {"width": 2, "type": DASHES[index // len(SERIES) % len(DASHES)]},
            }
            for index, (name, points) in enumerate(series.items())
        ],
    }


def value_axis(name: str) -> Options:
    """Return a horizontal axis of numbers with its name below it."""
    return {"type": "value", "name": name, "nameLocation": "middle", "nameGap": 28}


class BarPlot(Chart):
    """Bars by label, one color a series; `sideways` where labels are long. `value` names the other axis."""

    def __init__(
        self,
        title: str,
        labels: Sequence[str],
        series: Bars,
        *,
        sideways: bool = False,
        value: str = "",
        height: int = 280,
    ) -> None:
        self.sideways = sideways
        options = _bar_options(labels, series, sideways=sideways, value=value)
        super().__init__(title, options, lambda: _bar_table(labels, series), height=height)

    def draw(self, labels: Sequence[str], series: Bars, value: str = "") -> None:
        """Draw other bars."""
        options = _bar_options(labels, series, sideways=self.sideways, value=value)
        self.update(options, lambda: _bar_table(labels, series))


def _bar_options(labels: Sequence[str], series: Bars, *, sideways: bool, value: str) -> Options:
    names: Options = {
        "type": "category",
        "data": list(labels),
        "axisLabel": {"width": 150, "overflow": "truncate"},
    }
    amounts = {"type": "value", "name": value}
    return {
        "legend": {"show": len(series) > 1},
        "xAxis": amounts if sideways else names,
        "yAxis": names | {"inverse": True} if sideways else amounts,
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "series": [
            {"type": "bar", "name": name, "data": list(values), "barMaxWidth": 42}
            for name, values in series.items()
        ],
    }


def heatmap(
    title: str,
    columns: Sequence[str],
    rows: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    low: float,
    high: float,
    diverging: bool = False,
    digits: int = 2,
    height: int = 420,
) -> Chart:
    """A matrix as colored cells; the numbers stand in the cells where there is room."""
    cells = [
        [x, y, None if value is None else round(float(value), digits)]
        for y, row in enumerate(values)
        for x, value in enumerate(row)
    ]
    options = {
        "legend": {"show": False},
        "tooltip": {"trigger": "item", "position": "top"},
        "grid": {"bottom": 40},
        "xAxis": {
            "type": "category",
            "data": list(columns),
            "axisLabel": {"rotate": 40, "width": 110, "overflow": "truncate"},
        },
        "yAxis": {
            "type": "category",
            "data": list(rows),
            "inverse": True,
            "axisLabel": {"width": 130, "overflow": "truncate"},
        },
        "visualMap": {
            "min": low,
            "max": high,
            "calculable": False,
            "show": False,
            "inRange": {"color": _DIVERGING if diverging else _SEQUENTIAL},
        },
        "series": [
            {
                "type": "heatmap",
                "data": cells,
                "label": {"show": len(columns) <= 16, "fontSize": 11},
                "itemStyle": {"borderColor": "var(--card)", "borderWidth": 1},
            }
        ],
    }
    table: list[list[Cell]] = [
        [name, *(None if v is None else float(v) for v in row)]
        for name, row in zip(rows, values, strict=True)
    ]
    return Chart(title, options, lambda: (["", *columns], table), height=height)


def parallel(
    title: str,
    dimensions: Sequence[str],
    names: Sequence[str],
    rows: Sequence[Sequence[float | str | None]],
    height: int = 360,
) -> Chart:
    """Parallel coordinates: one axis a dimension, one line a row; texts make an axis of categories."""
    axes: list[Options] = []
    for index, dimension in enumerate(dimensions):
        values = [row[index] for row in rows if row[index] is not None]
        axis: Options = {"dim": index, "name": dimension}
        if any(isinstance(value, str) for value in values):
            axis |= {"type": "category", "data": sorted({str(value) for value in values})}
        else:
            axis |= {"scale": True}
        axes.append(axis)
    options = {
        "legend": {"show": False},
        "tooltip": {"trigger": "item"},
        "parallel": {"left": 60, "right": 80, "top": 50, "bottom": 24},
        "parallelAxis": axes,
        "series": [
            {
                "type": "parallel",
                "smooth": False,
                "lineStyle": {"width": 2, "opacity": 0.75},
                "data": [
                    {"name": name, "value": list(row), "lineStyle": {"color": SERIES[index % len(SERIES)]}}
                    for index, (name, row) in enumerate(zip(names, rows, strict=True))
                ],
            }
        ],
    }
    table: list[list[Cell]] = [[name, *row] for name, row in zip(names, rows, strict=True)]
    return Chart(
        title,
        options,
        lambda: (["", *dimensions], table),
        height=height,
    )


_DIVERGING = ["#b2480a", "#f4a259", "#fbfaf8", "#5aa2d4", "#004c7a"]
_SEQUENTIAL = ["#f7fafc", "#9ecae8", "#2f86c1", "#003f66"]
_AXIS: Options = {
    "axisLine": {"lineStyle": {"color": "var(--line)"}},
    "axisLabel": {"color": "var(--muted)", "hideOverlap": True},
    "nameTextStyle": {"color": "var(--muted)"},
    "splitLine": {"lineStyle": {"color": "var(--line)"}},
}


def _styled(options: Options) -> Options:
    """Return the options, completed by the common colors, axes and texts."""
    styled = {
        "animationDuration": 250,
        "color": list(SERIES),
        "textStyle": {"fontFamily": "system-ui, sans-serif"},
        "aria": {"enabled": False},  # the element around it is named; a generated text would be read twice
        **options,
        "grid": {"left": 12, "right": 24, "top": 44, "bottom": 12, "containLabel": True}
        | options.get("grid", {}),
        "legend": {
            "type": "scroll",
            "top": 0,
            "textStyle": {"color": "var(--ink)"},
            "pageTextStyle": {"color": "var(--muted)"},
        }
        | options.get("legend", {}),
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "backgroundColor": "var(--card)",
            "borderColor": "var(--line)",
            "textStyle": {"color": "var(--ink)"},
        }
        | options.get("tooltip", {}),
    }
    for axis in ("xAxis", "yAxis", "parallelAxis"):
        if axis in options:
            style = options[axis]
            if axis == "yAxis":  # its name stands above it, and to the left there is no room
                style = _deep({"nameTextStyle": {"align": "left"}}, style)
            styled[axis] = (
                [_deep(_AXIS, one) for one in style] if isinstance(style, list) else _deep(_AXIS, style)
            )
    return styled


def _deep(below: Options, above: Options) -> Options:
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _deep(below[key], above[key])
    return merged


def _bar_table(labels: Sequence[str], series: Bars) -> ChartTable:
    return ["", *series], list(zip(labels, *series.values(), strict=False))


def points_table(series: Lines, x: str) -> ChartTable:
    """Return the points of all lines by their place on the axis."""
    by_place: dict[float, dict[str, float]] = {}
    for name, points in series.items():
        for x_value, value in points:
            by_place.setdefault(x_value, {})[name] = value
    return [x, *series], [
        [format_number(x_value), *(values.get(name) for name in series)]
        for x_value, values in sorted(by_place.items())
    ]
