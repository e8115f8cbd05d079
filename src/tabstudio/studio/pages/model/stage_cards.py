"""The versions in each stage, since when, by whom and why; and the rollback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nicegui import ui

from tabstudio.registry.records import Transition
from tabstudio.report.text_format import format_time
from tabstudio.studio import lifecycle
from tabstudio.studio.ui.addresses import version_page
from tabstudio.studio.ui.dialogs import ConfirmDialog
from tabstudio.studio.ui.elements import tag
from tabstudio.studio.ui.frame import PageView

Held = Mapping[str, Sequence[Transition]]


class StageCards:
    """A card for each stage, in the order of the rules."""

    def __init__(self, view: PageView, name: str, held: Held) -> None:
        self.view, self.name = view, name
        self.container = ui.element("div").classes("stages").props('aria-live="polite"')
        self.shown: Held = {}
        self.show(held)

    def show(self, held: Held) -> None:
        """Show the versions in the stages where they have changed."""
        if held == self.shown:
            return
        self.shown = held
        self.container.clear()
        with self.container:
            for stage in self.view.studio.registry(self.view.who).rules.stages:
                self._card(stage.name, held.get(stage.name, ()), exclusive=stage.exclusive)

    def _card(self, stage: str, rows: Sequence[Transition], *, exclusive: bool) -> None:
        with ui.element("div").classes("stage" if rows else "stage empty-stage"):
            tag("h3", stage.capitalize())
            if not rows:
                ui.label("nothing").classes("muted")
                return
            for row in rows:
                self._holder(row)
            if exclusive and self.view.who.may("editor"):
                button = ui.button("Roll back…", on_click=lambda: self._roll_back(stage, rows[0].version))
                button.props("flat dense no-caps").props["aria-label"] = f"Roll {stage} back"

    def _holder(self, row: Transition) -> None:
        ui.link(f"Version {row.version}", version_page(self.name, row.version)).classes("holder")
        forced = ", gates overruled" if row.forced else ""
        ui.label(f"since {format_time(row.time)[:16]} UTC by {row.actor}{forced}").classes("muted")
        if row.reason:
            ui.label(row.reason).classes("why")

    def _roll_back(self, stage: str, now: int) -> None:
        view, name = self.view, self.name
        ConfirmDialog(
            f"Roll {stage} back",
            "Roll back",
            lambda reason: lifecycle.rollback(view.studio, view.who, name, reason=reason, stage=stage),
            text=f"Version {now} leaves {stage}, and the version that was there before comes back, "
            "after it was seen to load and to be unchanged.",
            danger=True,
        ).open()
