"""Colours and resolution that every picture shares."""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap

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
