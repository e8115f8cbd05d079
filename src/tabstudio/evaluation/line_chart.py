"""Lines and points in a frame with ticks, drawn on a canvas: some milliseconds where an axes costs sixty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tabstudio.evaluation.metrics import Floats
from tabstudio.report.canvas import Canvas, width_of
from tabstudio.report.colors import GRID, MUTED
from tabstudio.report.text_format import format_tick, shorten

_TOP, _BOTTOM, _RIGHT = 0.5, 0.55, 0.18
_SMALL = 8.0
_DASHES = 40
_HAIR = 0.011
"""Thickness of a grid line in inches."""


class LineChart:
    """A frame of data coordinates on a sheet of `width` x `height` inches.

    `x` and `y` are the ranges shown; both are widened by a hair so that nothing lies on the edge. What is
    drawn outside of them is not cut. With `log`, y grows by factors; with `whole`, x counts
    something and its ticks are whole numbers.
    """

    def __init__(
        self,
        title: str,
        labels: tuple[str, str],
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        size: tuple[float, float] = (6.4, 4.0),
        log: bool = False,
        whole: bool = False,
    ) -> None:
        self._log, self._whole = log, whole
        self._x, self._y = _widened(*x), _widened(*self._scaled(np.array(y)).tolist())
        ticks = self._y_ticks()
        self._left = 0.42 + width_of([text for _, text in ticks], size=_SMALL)
        self._width, self._height = size[0] - self._left - _RIGHT, size[1] - _TOP - _BOTTOM
        self._sheet = Canvas(*size)
        self._sheet.text(0.14, 0.24, title, size=12, bold=True)
        self._sheet.text(
            self._left + self._width / 2, size[1] - 0.17, labels[0], colour=MUTED, align="center"
        )
        self._sheet.text(0.16, _TOP + self._height / 2, labels[1], colour=MUTED, align="center", upright=True)
        self._draw_grid(ticks)
        self._legend: list[tuple[str, str]] = []

    def line(
        self, x: npt.ArrayLike, y: npt.ArrayLike, colour: str, *, width: float = 1.8, label: str = ""
    ) -> None:
        """A line through the points whose values are finite."""
        xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        known = np.isfinite(xs) & np.isfinite(ys)
        if known.sum() == 1:
            self.dots(xs[known], ys[known], colour, radius=0.03)
        elif known.any():
            self._sheet.line(*self._place(xs[known], ys[known]), colour, width)
        if label:
            self._legend.append((label, colour))

    def dashes(
        self, start: tuple[float, float], end: tuple[float, float], colour: str = MUTED, label: str = ""
    ) -> None:
        """A straight dashed line."""
        ends = np.linspace(start, end, 2 * _DASHES)
        for first, last in zip(ends[::2], ends[1::2], strict=True):
            self._sheet.line(*self._place(*np.stack([first, last], axis=1)), colour, 1.0)
        if label:
            self._legend.append((label, colour))

    def dots(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        colour: str,
        *,
        radius: float | Sequence[float] = 0.04,
        label: str = "",
    ) -> None:
        """Round points, `radius` in inches; for some dozens, see `cloud` for many."""
        turn = np.linspace(0, 2 * np.pi, 13)
        xs, ys = self._place(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        for centre, middle, size in zip(xs, ys, np.broadcast_to(radius, xs.shape), strict=True):
            self._sheet.area(centre + size * np.cos(turn), middle + size * np.sin(turn), colour, 1.0)
        if label:
            self._legend.append((label, colour))

    def cloud(self, x: npt.ArrayLike, y: npt.ArrayLike, colour: str, opacity: float = 0.45) -> None:
        """Any number of small points, see-through."""
        side = 0.04
        xs, ys = self._place(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        shades: npt.NDArray[np.float64] = np.tile(to_rgba(colour, opacity), (len(xs), 1))
        self._sheet.boxes(xs - side / 2, ys - side / 2, side, side, shades)

    def band(self, low: float, high: float, colour: str = GRID) -> None:
        """A band across the whole width, below what is drawn later."""
        _, ends = self._place(np.zeros(2), np.array([high, low]))
        self._sheet.boxes(self._left, ends[0], self._width, ends[1] - ends[0], colour)

    def figure(self, corner: str = "top right") -> Figure:
        """The finished figure, with a legend in a corner where anything was labelled."""
        if self._legend:
            self._draw_legend(corner)
        return self._sheet.figure()

    def _scaled(self, values: Floats) -> Floats:
        return np.log10(values) if self._log else values

    def _place(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        along = (x - self._x[0]) / (self._x[1] - self._x[0])
        up = (self._scaled(y) - self._y[0]) / (self._y[1] - self._y[0])
        return self._left + along * self._width, _TOP + (1 - up) * self._height

    def _y_ticks(self) -> list[tuple[float, str]]:
        if not self._log:
            return _ticks(*self._y)
        powers = np.arange(np.floor(self._y[0]), np.ceil(self._y[1]) + 1)
        values = (10.0 ** powers[:, None] * (1, 2, 5)).ravel()
        inside = (np.log10(values) >= self._y[0]) & (np.log10(values) <= self._y[1])
        return [(float(value), format_tick(float(value))) for value in values[inside]]

    def _draw_grid(self, y_ticks: list[tuple[float, str]]) -> None:
        foot = _TOP + self._height
        for value, text in _ticks(*self._x, whole=self._whole):
            x = float(self._place(np.array([value]), np.ones(1))[0][0])
            self._sheet.boxes(x - _HAIR / 2, _TOP, _HAIR, self._height, GRID)
            self._sheet.text(x, foot + 0.13, text, size=_SMALL, colour=MUTED, align="center")
        for value, text in y_ticks:
            y = float(self._place(np.zeros(1), np.array([value]))[1][0])
            self._sheet.boxes(self._left, y - _HAIR / 2, self._width, _HAIR, GRID)
            self._sheet.text(self._left - 0.07, y, text, size=_SMALL, colour=MUTED, align="right")
        self._sheet.line((self._left, self._left + self._width), (foot, foot), "#b6bec7", 1.0)

    def _draw_legend(self, corner: str) -> None:
        texts = [shorten(label, 34) for label, _ in self._legend]
        span = width_of(texts, size=_SMALL) + 0.28
        x = self._left + self._width - 0.08 - span if "right" in corner else self._left + 0.1
        right = x + span
        top = _TOP + 0.12 if "top" in corner else _TOP + self._height - 0.17 * len(texts)
        bottom = top + 0.17 * len(texts) - 0.08
        # The grid shall not run through the words.
        self._sheet.area((x, right, right, x), (top - 0.1, top - 0.1, bottom, bottom), "white", 0.85)
        for row, (text, (_, colour)) in enumerate(zip(texts, self._legend, strict=True)):
            y = top + 0.17 * row
            self._sheet.line((x, x + 0.2), (y, y), colour, 2.2)
            self._sheet.text(x + 0.27, y, text, size=_SMALL)


def _widened(low: float, high: float) -> tuple[float, float]:
    gap = (high - low) * 0.03 or abs(high) * 0.05 or 0.5
    return low - gap, high + gap


def _ticks(low: float, high: float, *, whole: bool = False) -> list[tuple[float, str]]:
    values = np.asarray(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    if whole:
        values = np.unique(np.round(values))
    shown = [float(value) for value in values if low <= value <= high]
    decimals = 0 if whole else _decimals(float(values[1] - values[0]))
    big = max(abs(low), abs(high)) >= 1e6 or decimals > 5
    return [(value, format_tick(value) if big else f"{value:,.{decimals}f}") for value in shown]


def _decimals(gap: float) -> int:
    """Decimals that a multiple of the gap needs: the first of 10, 2 or 5, one more for 2.5."""
    size = int(np.floor(np.log10(gap) + 1e-9))
    halved = round(gap / 10.0**size, 6) == 2.5
    return max(0, halved - size)
