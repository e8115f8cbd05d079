"""Private names of matplotlib. Importing this does not import matplotlib."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def numbered_figure(pyplot: ModuleType, number: int) -> Figure:
    """Return an open figure; `pyplot.figure(number)` would make it the current one."""
    figure: Figure = pyplot._pylab_helpers.Gcf.figs[number].canvas.figure
    return figure
