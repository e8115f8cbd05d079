"""The pictures of an exploration, drawn from counts: their cost does not grow with the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.figure import Figure

from tabstudio.exploration.associations import Associations
from tabstudio.exploration.distribution import Groups, Panel
from tabstudio.report.canvas import Canvas, width_of
from tabstudio.report.figure import PALETTE, heatmap
from tabstudio.report.text_format import format_tick, shorten

MUTED, FAINT, REST = "#59636e", "#d5dae0", "#8b949e"
_MOST_BARS = 30
_COLUMNS, _WIDTH, _HEIGHT = 4, 2.55, 1.78
_LEFT, _TOP = 0.16, 0.4
_PLOT_WIDTH, _PLOT_HEIGHT = 2.2, 1.0
_NAMED_BINS = 9
_NAMES = 0.86
"""Inches that the levels' names take in a panel."""


def class_counts(classes: pl.DataFrame, target: str) -> Figure:
    """The count plot: one bar per class, the largest first."""
    texts = [f"{r:,}  ({s:.1%})" for r, s in classes.select("rows", "share").iter_rows()]
    colours = [PALETTE[i] if i < 5 else REST for i in range(len(classes))]
    return _draw_bars(
        f"Rows of each class of {shorten(target, 40)}", classes["class"], classes["rows"], texts, colours
    )


def missing_values(missing: pl.DataFrame) -> Figure:
    """One bar per column with missing values, as a share of all rows."""
    texts = [f"{m:,}  ({s:.1%})" for m, s in missing.select("missing", "share").iter_rows()]
    colours = [PALETTE[5] if share >= 0.5 else PALETTE[1] for share in missing["share"]]
    return _draw_bars("Missing values", missing["column"], missing["share"], texts, colours, full=1.0)


def associations(columns: Associations) -> Figure:
    """The heatmap with numbers."""
    return heatmap(columns.names, columns.matrix, title="Associations")


def target_histogram(panel: Panel) -> Figure:
    """The spread of a regression's target."""
    sheet = Canvas(6.4, 3.2)
    sheet.text(0.16, 0.24, f"Distribution of {shorten(panel.name, 40)}", size=12, bold=True)
    _histogram(sheet, panel, (0.2, 0.6, 6.0, 2.2), (PALETTE[0],))
    return sheet.figure()


def distributions(panels: Sequence[Panel], by: Groups, notes: Mapping[str, str], title: str) -> Figure:
    """Small multiples, one per column. `notes` are short words for the right upper corner of a panel."""
    rows = -(-len(panels) // _COLUMNS)
    means = [p for p in panels if p.spread is not None]
    span = _span(means)
    head = 0.78 if means or len(by.names) > 1 else 0.5
    columns = min(_COLUMNS, len(panels))
    width = max(columns * _WIDTH + 0.1, 5.2, width_of([title], size=12, bold=True) + 0.3)
    sheet = Canvas(width, head + rows * _HEIGHT)
    sheet.text(0.16, 0.24, title, size=12, bold=True)
    colours = tuple(PALETTE[i] if i < 5 else REST for i in range(len(by.names)))
    if len(by.names) > 1:
        _legend(sheet, by.names, colours)
    if means:
        scale = f"every panel on one scale, from {format_tick(span[0])} to {format_tick(span[1])}"
        sheet.text(_LEFT + 0.05, 0.54, scale, colour=MUTED)
    for i, panel in enumerate(panels):
        left = 0.05 + i % _COLUMNS * _WIDTH
        top = head + i // _COLUMNS * _HEIGHT
        note = notes.get(panel.name, "")
        room = 26 - len(note)
        sheet.text(left + _LEFT, top + 0.16, shorten(panel.name, room), size=8.5, bold=True)
        sheet.text(left + _LEFT + _PLOT_WIDTH, top + 0.16, note, size=7.5, colour=MUTED, align="right")
        _panel(sheet, panel, (left + _LEFT, top + _TOP - 0.06, _PLOT_WIDTH, _PLOT_HEIGHT), colours, span)
    return sheet.figure()


_Box = tuple[float, float, float, float]
"""Left, top, width and height in inches."""


def _panel(sheet: Canvas, panel: Panel, box: _Box, colours: Sequence[str], span: tuple[float, float]) -> None:
    if panel.shape == "histogram":
        _histogram(sheet, panel, box, colours)
    elif panel.shape == "bars":
        _level_bars(sheet, panel, box, colours)
    elif panel.labels:
        _draw_level_means(sheet, panel, box, span)
    else:
        _draw_binned_means(sheet, panel, box, span)


def _histogram(sheet: Canvas, panel: Panel, box: _Box, colours: Sequence[str]) -> None:
    left, top, width, height = box
    bins = panel.heights.shape[1]
    bottom, step = top + height, width / bins
    tallest = float(panel.heights.max()) or 1.0
    sheet.line((left, left + width), (bottom, bottom), FAINT, 0.8)
    x = np.repeat(left + step * np.arange(bins + 1), 2)[1:-1]
    for heights, colour in zip(panel.heights, colours, strict=True):
        y = np.repeat(bottom - height * heights / tallest, 2)
        ends = (x[0], *x, x[-1]), (bottom, *y, bottom)
        sheet.area(*ends, colour, 0.3 if len(colours) <= 2 else 0.12)
        sheet.line(*ends, colour, 1.1)
    edges = _first(panel)
    if panel.is_whole and bins <= _NAMED_BINS and edges[1] - edges[0] == 1:
        for i in range(bins):
            number = format_tick(float(edges[i] + 0.5))
            sheet.text(left + (i + 0.5) * step, bottom + 0.1, number, size=7, colour=MUTED, align="center")
        return
    inset = 0.5 if panel.is_whole else 0.0
    _ends(sheet, panel, (float(edges[0] + inset), float(edges[-1] - inset)), (left, bottom, width))


def _level_bars(sheet: Canvas, panel: Panel, box: _Box, colours: Sequence[str]) -> None:
    left, top, width, height = box
    step = min(height / len(panel.labels), 0.3)
    each = step * 0.8 / len(colours)
    room = width - _NAMES
    longest = float(panel.heights.max()) or 1.0
    for level, label in enumerate(panel.labels):
        y = top + level * step
        sheet.text(
            left + _NAMES - 0.06, y + step * 0.42, shorten(label, 13), size=7, colour=MUTED, align="right"
        )
        for group, colour in enumerate(colours):
            length = room * float(panel.heights[group, level]) / longest
            sheet.boxes(left + _NAMES, y + group * each, length, each * 0.94, colour)
    x = left + _NAMES
    sheet.line((x, x), (top, top + step * len(panel.labels)), FAINT, 0.8)
    under = top + step * len(panel.labels) + 0.08
    sheet.text(left + width, under, f"{longest:.0%}", size=7, colour=MUTED, align="right")
    if panel.rest:
        sheet.text(left + _NAMES - 0.06, under, f"and {panel.rest}", size=7, colour=MUTED, align="right")


def _draw_binned_means(sheet: Canvas, panel: Panel, box: _Box, span: tuple[float, float]) -> None:
    left, top, width, height = box
    x, means, spread = _first(panel), panel.heights[0], _spread(panel)
    if not len(x):
        return
    reach = float(x[-1] - x[0]) or 1.0
    across = left + width * (x - x[0]) / reach
    y, above, below = (_down(v, top, height, span) for v in (means, means + spread, means - spread))
    sheet.line((left, left + width), (top + height, top + height), FAINT, 0.8)
    sheet.area(np.concatenate([across, across[::-1]]), np.concatenate([above, below[::-1]]), PALETTE[0], 0.18)
    sheet.line(across, y, PALETTE[0], 1.6)
    sheet.boxes(across - 0.02, y - 0.02, 0.04, 0.04, PALETTE[0])
    _ends(sheet, panel, (float(x[0]), float(x[-1])), (left, top + height, width))


def _draw_level_means(sheet: Canvas, panel: Panel, box: _Box, span: tuple[float, float]) -> None:
    left, top, width, height = box
    step = min(height / len(panel.labels), 0.3)
    start, room = left + _NAMES, width - _NAMES
    means, spread = panel.heights[0], _spread(panel)
    positions = [start + room * _share(v, span) for v in (means - spread, means, means + spread)]
    for level, label in enumerate(panel.labels):
        y = top + (level + 0.5) * step
        sheet.text(start - 0.06, y, shorten(label, 13), size=7, colour=MUTED, align="right")
        low, middle, high = (float(position[level]) for position in positions)
        sheet.boxes(low, y - 0.035, high - low, 0.07, "#c3dcec")
        sheet.boxes(middle - 0.025, y - 0.05, 0.05, 0.1, PALETTE[0])
    under = top + step * len(panel.labels)
    sheet.line((start, start), (top, under), FAINT, 0.8)
    sheet.text(start, under + 0.08, format_tick(span[0]), size=7, colour=MUTED)
    sheet.text(left + width, under + 0.08, format_tick(span[1]), size=7, colour=MUTED, align="right")


def _draw_bars(
    title: str,
    labels: Sequence[str] | pl.Series,
    values: Sequence[float] | pl.Series,
    texts: Sequence[str],
    colours: Sequence[str],
    full: float | None = None,
) -> Figure:
    shown = min(len(texts), _MOST_BARS)
    names = [shorten(label, 32) for label in labels[:shown]]
    lengths = np.asarray(values[:shown], dtype=float) / ((full or float(max(values))) or 1.0)
    step, head = (0.42 if shown <= 8 else 0.27), 0.55
    rest = len(texts) - shown
    left = 0.3 + width_of(names)
    beside = width_of(texts[:shown]) + 0.25
    width = max(6.4, left + beside + 3.0)
    sheet = Canvas(width, head + shown * step + (0.42 if rest else 0.16))
    sheet.text(0.16, 0.24, title, size=12, bold=True)
    tops = head + step * np.arange(shown)
    room = width - left - beside
    if full:
        sheet.boxes(left, tops, room, step * 0.72, "#f0f2f4")
    for top, length, colour, name, text in zip(tops, lengths, colours, names, texts, strict=False):
        sheet.boxes(left, top, max(room * length, 0.01), step * 0.72, colour)
        sheet.text(left - 0.08, top + step * 0.36, name, align="right")
        sheet.text(left + (room if full else room * length) + 0.08, top + step * 0.36, text, colour=MUTED)
    if rest:
        sheet.text(left, sheet.height - 0.22, f"and {rest:,} more with less", colour=MUTED)
    return sheet.figure()


def _legend(sheet: Canvas, names: Sequence[str], colours: Sequence[str]) -> None:
    x = _LEFT + 0.05
    for name, colour in zip(names, colours, strict=True):
        sheet.boxes(x, 0.475, 0.13, 0.13, colour)
        sheet.text(x + 0.19, 0.54, shorten(name, 20))
        x += 0.45 + width_of([shorten(name, 20)])


def _ends(sheet: Canvas, panel: Panel, ends: tuple[float, float], corner: tuple[float, float, float]) -> None:
    """The smallest and the largest value under an axis."""
    left, bottom, width = corner
    low, high = (day(v) if panel.is_date else format_tick(v) for v in ends)
    sheet.text(left, bottom + 0.1, low, size=7, colour=MUTED)
    sheet.text(left + width, bottom + 0.1, high, size=7, colour=MUTED, align="right")


def day(value: float) -> str:
    """Days since 1970 as a date."""
    return str(np.datetime64(int(np.floor(value)), "D"))


def _first(panel: Panel) -> npt.NDArray[np.float64]:
    return panel.edges if panel.edges is not None else np.empty(0)


def _spread(panel: Panel) -> npt.NDArray[np.float64]:
    return panel.spread if panel.spread is not None else np.zeros_like(panel.heights[0])


def _span(panels: Sequence[Panel]) -> tuple[float, float]:
    """One scale for all panels of means, so that a flat line is a column that does not matter."""
    lows = [float((p.heights[0] - _spread(p)).min()) for p in panels if p.heights.size]
    highs = [float((p.heights[0] + _spread(p)).max()) for p in panels if p.heights.size]
    return (min(lows), max(highs)) if lows else (0.0, 1.0)


def _share(values: npt.NDArray[np.float64], span: tuple[float, float]) -> npt.NDArray[np.float64]:
    return (values - span[0]) / ((span[1] - span[0]) or 1.0)


def _down(
    values: npt.NDArray[np.float64], top: float, height: float, span: tuple[float, float]
) -> npt.NDArray[np.float64]:
    return top + height * (1.0 - _share(values, span))
