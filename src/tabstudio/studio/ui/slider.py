"""A slider that keyboards and screen readers know: the browser's own, not Quasar's."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui


class Slider:
    """A number from `low` to `high` in steps, under its label. `changed` is called while it moves."""

    def __init__(
        self, label: str, low: float, high: float, step: float, value: float, changed: Callable[[], None]
    ) -> None:
        self._low = low
        self.field = ui.input(label, value=f"{value:g}", on_change=lambda: changed())
        self.field.props("type=range borderless dense stack-label").classes("range")
        self.field.props.update({"min": low, "max": high, "step": step})

    @property
    def value(self) -> float:
        """Where it stands."""
        return float(self.field.value or self._low)

    @value.setter
    def value(self, value: float) -> None:
        self.field.value = f"{value:g}"
