"""Buttons to the next and the previous page of a list of unknown length."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui


class Pager:
    """`turn(number)` is called with the page that is wanted; pages count from 1."""

    def __init__(self, turn: Callable[[int], Awaitable[None]], what: str) -> None:
        self._turn, self._number = turn, 1
        with ui.element("nav").classes("row-wrap pager").props(f'aria-label="Pages of {what}"') as self._bar:
            self._back = ui.button("Previous", on_click=lambda: self._go(-1)).props("flat dense no-caps")
            self._label = ui.label("").classes("muted")
            self._on = ui.button("Next", on_click=lambda: self._go(1)).props("flat dense no-caps")
        self._bar.set_visibility(False)

    def update(self, number: int, *, more: bool) -> None:
        """Say which page is shown, and whether there is another one after it."""
        self._number = number
        self._label.text = f"Page {number}"
        self._back.set_enabled(number > 1)
        self._on.set_enabled(more)
        self._bar.set_visibility(number > 1 or more)

    async def _go(self, step: int) -> None:
        await self._turn(self._number + step)
