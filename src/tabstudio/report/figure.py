"""Figures in one style, without pyplot: made, drawn to bytes, forgotten.

No global setting of matplotlib is changed. The same figure gives the same bytes, as PNG and as SVG.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import ft2font
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.patches import PathPatch
from matplotlib.path import Path

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito's colours, told apart by the colour-blind, the readable ones first."""

INK, MUTED, GRID = "#1b1f24", "#59636e", "#e4e7eb"
DPI = 110

DIVERGING = LinearSegmentedColormap.from_list(
    "tabstudio-diverging", ("#b2480a", "#f4a259", "#fbfaf8", "#5aa2d4", "#004c7a")
)
"""Orange, white, blue: the palette's own ends, for values around zero."""

SEQUENTIAL = LinearSegmentedColormap.from_list(
    "tabstudio-sequential", ("#f7fafc", "#9ecae8", "#2f86c1", "#003f66")
)
"""White to blue, for counts and shares."""


class _HouseFigure(Figure):
    def add_subplot(self, *args: Any, **kwargs: Any) -> Axes:
        axes: Axes = super().add_subplot(*args, **kwargs)
        _dress(axes)
        return axes

    def add_axes(self, *args: Any, **kwargs: Any) -> Axes:
        axes: Axes = super().add_axes(*args, **kwargs)
        _dress(axes)
        return axes


def figure(width: float = 6.4, height: float = 4.0) -> Figure:
    """An empty figure of `width` x `height` inches; every axes added to it wears the house style."""
    made = _HouseFigure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(made)
    return made


def bare(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one invisible axes over all of it, in inches from the top left corner.

    Drawings that place everything themselves are many times faster than a grid of axes.
    """
    made = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(made)
    axes = made.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return made, axes


def png(fig: Figure, *, dpi: int = DPI) -> bytes:
    """The figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, pil_kwargs={"compress_level": 4})
    return buffer.getvalue()


def svg(fig: Figure) -> str:
    """The figure as one `<svg>` element, to be put into a page as it is: no date, no ids that clash."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "tabstudio", "svg.fonttype": "path"}):
        fig.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return _with_own_ids(text).strip()


def heatmap(
    labels: Sequence[str],
    matrix: np.ndarray,
    *,
    columns: Sequence[str] | None = None,
    title: str = "",
    low: float = -1.0,
    high: float = 1.0,
    decimals: int = 2,
    colours: Colormap = DIVERGING,
    xlabel: str = "",
    ylabel: str = "",
) -> Figure:
    """A matrix as coloured cells with their numbers; NaN stays blank.

    `matrix` is (rows, columns), `labels` name its rows, `columns` its columns (default: the same).
    All numbers are one path: 900 of them cost as much as one.
    """
    columns = labels if columns is None else columns
    values = np.asarray(matrix, dtype=float)
    side = _cell_side(values, decimals)
    names = [shorten(name) for name in labels]
    heads = [shorten(name) for name in columns]
    left = 0.25 + _widest(names) + (0.25 if ylabel else 0)
    turned = _widest(heads) > side * 0.9
    bottom = 0.25 + (_widest(heads) if turned else 0.2) + (0.25 if xlabel else 0)
    top = 0.5 if title else 0.15
    height, width = values.shape[0] * side, values.shape[1] * side
    fig = Figure(figsize=(left + width + 0.2, top + height + bottom), dpi=DPI, facecolor="white")
    FigureCanvasAgg(fig)
    full_width, full_height = fig.get_size_inches()
    axes = fig.add_axes((left / full_width, bottom / full_height, width / full_width, height / full_height))
    shares = (np.nan_to_num(values, nan=low) - low) / ((high - low) or 1.0)
    shown = colours(np.clip(shares, 0, 1))
    shown[~np.isfinite(values)] = (0.95, 0.95, 0.95, 1)
    axes.imshow(shown, aspect="auto", interpolation="nearest")
    _write_numbers(axes, values, shown, side, decimals)
    axes.set_xticks(range(len(heads)), heads, rotation=90 if turned else 0, fontsize=9, color=INK)
    axes.set_yticks(range(len(names)), names, fontsize=9, color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(xlabel, color=MUTED)
    axes.set_ylabel(ylabel, color=MUTED)
    if title:
        fig.text(
            0.12 / full_width, 1 - 0.16 / full_height, title, fontsize=12, color=INK, va="top", weight="bold"
        )
    return fig


def shorten(text: object, length: int = 24) -> str:
    """A label that fits: the middle of a long one is left out, `$` is no formula and no line is broken."""
    words = " ".join(str(text).split()).replace("$", r"\$")
    if len(words) <= length:
        return words
    head = (length - 1) * 2 // 3
    return f"{words[:head]}…{words[head - length + 1 :]}"


def _dress(axes: Axes) -> None:
    axes.set_prop_cycle(color=PALETTE)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b6bec7")
    axes.tick_params(colors=MUTED, labelsize=9, length=3)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    axes.title.set_color(INK)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _with_own_ids(text: str) -> str:
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    prefix = "s" + hashlib.sha256(text.encode()).hexdigest()[:8]

    def renamed(match: re.Match[str]) -> str:
        return f' id="{prefix}{match[1]}"' if match[1] in used else ""

    text = re.sub(r' id="([^"]+)"', renamed, text)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", text)


def _cell_side(values: np.ndarray, decimals: int) -> float:
    longest = max((len(_number(v, decimals)) for v in values.ravel()), default=1)
    return max(0.075 * longest, 0.30) + (0.05 if values.size <= 400 else 0.0)


def _widest(labels: Sequence[str]) -> float:
    return 0.074 * max((len(label.replace("\\$", "$")) for label in labels), default=0) + 0.05


def _number(value: float, decimals: int) -> str:
    if not np.isfinite(value):
        return ""
    text = f"{value:.{decimals}f}"
    return text.replace("-0." + "0" * decimals, "0." + "0" * decimals) if decimals else text


def _write_numbers(axes: Axes, values: np.ndarray, shown: np.ndarray, side: float, decimals: int) -> None:
    """Draw the numbers, each cell one unit wide, in black on light cells and in white on dark ones."""
    size = (8.0 if side > 0.32 else 7.0) / 72 / side
    glyphs = _glyphs("0123456789.-")
    dark = shown[..., :3] @ (0.299, 0.587, 0.114) < 0.55
    for chosen, colour in ((~dark, INK), (dark, "white")):
        places = [(r, c) for r, c in zip(*np.nonzero(chosen & np.isfinite(values)), strict=True)]
        if places:
            path = _text_path([_number(values[place], decimals) for place in places], places, glyphs, size)
            axes.add_artist(PathPatch(path, facecolor=colour, edgecolor="none"))


_Glyph = tuple[np.ndarray, np.ndarray, float]


def _glyphs(letters: str) -> dict[str, _Glyph]:
    """Outline and advance of each letter, in units of the font size."""
    font = ft2font.FT2Font(findfont(FontProperties(family="DejaVu Sans")))
    font.set_size(64, 72)
    glyphs = {}
    for letter in letters:
        advance = font.load_char(ord(letter), flags=ft2font.LoadFlags.NO_HINTING).linearHoriAdvance
        vertices, codes = font.get_path()
        glyphs[letter] = (np.asarray(vertices) / 64, np.asarray(codes), advance / 65536 / 64)
    return glyphs


def _text_path(
    texts: Sequence[str], places: Sequence[tuple[int, int]], glyphs: dict[str, _Glyph], size: float
) -> Path:
    """All texts as one path, each centred at its (row, column); y runs down."""
    vertices, codes = [], []
    for text, (row, column) in zip(texts, places, strict=True):
        pen = column - size * sum(glyphs[letter][2] for letter in text) / 2
        for letter in text:
            outline, kinds, advance = glyphs[letter]
            vertices.append(outline * (size, -size) + (pen, row + 0.36 * size))
            codes.append(kinds)
            pen += size * advance
    return Path(np.concatenate(vertices), np.concatenate(codes))
