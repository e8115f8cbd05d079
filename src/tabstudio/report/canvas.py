"""Drawings that place everything themselves, in inches from the top left corner.

An axes, a text or a patch of matplotlib costs about a millisecond each, and a report holds thousands. Here
all boxes are one collection and all letters of one colour one path: 900 numbers cost as much as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from matplotlib import ft2font
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from tabstudio.report.colors import DPI, INK

if TYPE_CHECKING:
    from matplotlib.typing import ColorType

Align = Literal["left", "center", "right"]
_FREETYPE = Lock()
"""A font holds the glyph it loaded last: two threads must not share it."""

_Glyph = tuple[np.ndarray, np.ndarray, float]


class Canvas:
    """A sheet of `width` x `height` inches. Shapes lie below lines, lines below letters."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self._boxes: list[np.ndarray] = []
        self._fills: list[ColorType] = []
        self._lines: list[tuple[np.ndarray, str, float]] = []
        self._areas: list[tuple[np.ndarray, str, float]] = []
        self._letters: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}

    def boxes(
        self,
        left: npt.ArrayLike,
        top: npt.ArrayLike,
        width: npt.ArrayLike,
        height: npt.ArrayLike,
        colour: str | npt.NDArray[np.float64],
    ) -> None:
        """Rectangles; every argument is one value or an array of n, `colour` a name or (n, 4)."""
        x, y, w, h = (np.ravel(a) for a in np.broadcast_arrays(left, top, width, height))
        corners = np.stack([x, y, x + w, y, x + w, y + h, x, y + h], axis=1).reshape(-1, 4, 2)
        self._boxes.extend(corners)
        self._fills.extend([colour] * len(x) if isinstance(colour, str) else colour)

    def line(self, xs: npt.ArrayLike, ys: npt.ArrayLike, colour: str, width: float = 1.0) -> None:
        """A line through the points, `width` in points."""
        self._lines.append((np.column_stack([xs, ys]), colour, width))

    def area(self, xs: npt.ArrayLike, ys: npt.ArrayLike, colour: str, opacity: float) -> None:
        """A filled polygon."""
        self._areas.append((np.column_stack([xs, ys]), colour, opacity))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 8.5,
        colour: str = INK,
        align: Align = "left",
        bold: bool = False,
        upright: bool = False,
    ) -> None:
        """Letters of `size` points whose middle height is at `y`; `upright` reads from below to above."""
        if not text:
            return
        vertices, codes, width = _outline(text, bold)
        shift = {"left": 0.0, "center": width / 2, "right": width}[align]
        scale = size / 72
        placed = (vertices - np.array((shift, 0.36))) * scale
        turned = placed[:, ::-1] * (-1, -1) if upright else placed * (1, -1)
        self._letters.setdefault(colour, []).append((turned + np.array((x, y)), codes))

    def figure(self) -> Figure:
        """The sheet as a figure of matplotlib."""
        figure = Figure(figsize=(self.width, self.height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        axes.set_axis_off()
        if self._boxes:
            axes.add_collection(
                PolyCollection(self._boxes, facecolors=self._fills, linewidths=0), autolim=False
            )
        for points, colour, opacity in self._areas:
            axes.add_artist(PathPatch(Path(points), facecolor=colour, alpha=opacity, linewidth=0))
        if self._lines:
            points, colours, widths = zip(*self._lines, strict=True)
            axes.add_collection(LineCollection(points, colors=colours, linewidths=widths), autolim=False)
        for colour, letters in self._letters.items():
            outlines, codes = zip(*letters, strict=True)
            path = Path(np.concatenate(outlines), np.concatenate(codes))
            axes.add_artist(PathPatch(path, facecolor=colour, linewidth=0))
        return figure


def width_of(texts: Sequence[str], *, size: float = 8.5, bold: bool = False) -> float:
    """The width in inches of the widest of the texts."""
    return max((_outline(text, bold)[2] for text in texts if text), default=0.0) * size / 72


@lru_cache(maxsize=4096)
def _outline(text: str, bold: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Vertices, codes and width of a line of text, in units of the font's size, y upwards."""
    pen, vertices, codes = 0.0, [], []
    for letter in text:
        outline, kinds, advance = _glyph(letter, bold)
        if len(outline):
            vertices.append(outline + np.array((pen, 0.0)))
            codes.append(kinds)
        pen += advance
    if not vertices:
        return np.empty((0, 2)), np.empty(0, dtype=np.uint8), pen
    return np.concatenate(vertices), np.concatenate(codes), pen


@lru_cache(maxsize=1024)
def _glyph(letter: str, bold: bool) -> _Glyph:
    with _FREETYPE:
        font = _font(bold)
        index = font.get_char_index(ord(letter if letter.isprintable() else " "))
        glyph = font.load_glyph(index, flags=ft2font.LoadFlags.NO_HINTING)
        vertices, codes = font.get_path()
    return np.asarray(vertices) / 64, np.asarray(codes), glyph.linearHoriAdvance / 65536 / 64


@lru_cache(maxsize=2)
def _font(bold: bool) -> ft2font.FT2Font:
    weight = "bold" if bold else "normal"
    font = ft2font.FT2Font(findfont(FontProperties(family="DejaVu Sans", weight=weight)))
    font.set_size(64, 72)
    return font
