"""The load of the machine: processor, memory and GPUs."""

from __future__ import annotations

from nicegui import ui

from tabstudio.report.text_format import format_size
from tabstudio.studio.services.system_metrics import MachineLoad
from tabstudio.studio.ui.charts import LinePlot
from tabstudio.studio.ui.frame import PageView

SPAN = (-180.0, 0.0)
Curves = dict[str, list[tuple[float, float]]]


class MachineLoadPanel:
    """Bars of the last reading, and curves of the last three minutes."""

    def __init__(self, view: PageView) -> None:
        self.view = view
        self.meters: dict[str, LoadBar] = {}
        self.container = ui.element("div").classes("system")
        self.chart = LinePlot(
            "Percent in use",
            {"processor": [], "memory": []},
            x="seconds",
            area=(0, 100),
            span=SPAN,
            height=190,
        )
        self.refresh()
        view.follow("system", self.refresh)

    def refresh(self) -> None:
        """Show the last readings."""
        readings = self.view.studio.system_metrics.machine()
        if not readings:
            return
        last = readings[-1]
        self._meter("Processor", last.cpu, f"{last.cpu:.0f} %")
        self._meter(
            "Memory", 100 * last.used / last.total, f"{format_size(last.used)} of {format_size(last.total)}"
        )
        for number, gpu in enumerate(last.gpus):
            name = f"GPU {number}" if len(last.gpus) > 1 else "GPU"
            self._meter(f"{name}: {gpu.name}", gpu.busy, f"{gpu.busy:.0f} %")
            self._meter(
                f"{name} memory",
                100 * gpu.used / max(gpu.total, 1),
                f"{format_size(gpu.used)} of {format_size(gpu.total)}",
            )
        self.chart.draw(_curves(readings))

    def _meter(self, name: str, percent: float, text: str) -> None:
        if name not in self.meters:
            with self.container:
                self.meters[name] = LoadBar(name)
        self.meters[name].show(percent, text)


class LoadBar:
    """A bar with its name and its value in words."""

    def __init__(self, name: str) -> None:
        ui.label(name)
        self.bar = ui.linear_progress(0, show_value=False)
        self.bar.props["aria-label"] = name
        self.text = ui.label("").classes("n")

    def show(self, percent: float, text: str) -> None:
        """Show a reading."""
        self.bar.value = percent / 100
        self.text.text = text


def _curves(readings: list[MachineLoad]) -> Curves:
    now = readings[-1].at
    ages = [(round(one.at - now, 1), one) for one in readings if one.at - now >= SPAN[0]]
    curves: Curves = {
        "processor": [(at, round(one.cpu, 1)) for at, one in ages],
        "memory": [(at, round(100 * one.used / one.total, 1)) for at, one in ages],
    }
    for number in range(len(readings[-1].gpus)):
        curves[f"GPU {number}"] = [(at, one.gpus[number].busy) for at, one in ages if number < len(one.gpus)]
    return curves
