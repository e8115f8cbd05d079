"""The dialogs that promote a version, request its promotion, or archive it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicegui import background_tasks, ui

from tabstudio.errors import GateError, TabstudioError
from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.records import GateResult
from tabstudio.registry.stage_rules import ARCHIVE
from tabstudio.studio import lifecycle
from tabstudio.studio.ui.dialogs import ConfirmDialog
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import BadgeCell, plain_table

HEADERS = ("Gate", "Result", "Measured", "Required", "What to do")


def open_promotion(
    view: PageView, name: str, version: int, stage: str | None = None, now: str | None = None
) -> None:
    """Open the dialog that promotes a version to a stage."""
    PromotionDialog(view, name, version, stage, now)


def open_archive(view: PageView, name: str, version: int) -> None:
    """Open the dialog that archives a version."""
    ConfirmDialog(
        f"Archive version {version}",
        "Archive",
        lambda reason: lifecycle.archive(view.studio, view.who, name, version, reason=reason),
        text="It leaves its stage. What is served from that stage's address goes on with the version it has.",
        danger=True,
    ).open()


def gate_rows(results: Sequence[GateResult]) -> list[tuple[str | BadgeCell, ...]]:
    """Return the results of gates as rows under `HEADERS`."""
    return [
        (
            result.name,
            BadgeCell("passed", "good") if result.passed else BadgeCell("not passed", "danger"),
            result.measured,
            result.required,
            result.message,
        )
        for result in results
    ]


class PromotionDialog:
    """The dialog of a promotion: stage, gates, reason; where gates fail, the box that overrules them."""

    def __init__(self, view: PageView, name: str, version: int, stage: str | None, now: str | None) -> None:
        self.view, self.name, self.version = view, name, version
        self.rules = view.studio.registry(view.who).rules
        self.asks = False
        stages = [one.name for one in self.rules.stages if one.name not in (ARCHIVE, now)]
        self.question = ConfirmDialog(
            f"Promote version {version}", "Promote", self._act, failed=self._refused
        )
        with self.question.body:
            self.stage = ui.select(stages, label="To stage", value=stage or stages[0], on_change=self._look)
            self.stage.props("outlined dense options-dense").classes("full")
            self.note = ui.label("").classes("note")
            self.note.set_visibility(False)
            with ui.element("div").props('aria-live="polite"'):
                self.status_label = ui.label("").classes("muted")
                self.gates = ui.element("div").classes("gates")
            self.force = ui.checkbox("Overrule the gates that did not pass; the history marks it")
            self.force.set_visibility(False)
        self.question.open()
        background_tasks.create(self._look(), name="gates")

    async def _look(self) -> None:
        """Show the approvals that the stage needs, and the results of its gates."""
        to = str(self.stage.value)
        self.force.value = False
        self.force.set_visibility(False)
        self.gates.clear()
        self.status_label.text = f"Judging by the gates of {to} …"
        view = self.view
        try:
            self._ask(to, await asyncio.to_thread(self._open_request, to))
            results = await asyncio.to_thread(
                lifecycle.judge, view.studio, view.who, self.name, self.version, to
            )
        except TabstudioError as error:
            self.status_label.text = ""
            self.question.complain(str(error))
            return
        if to == self.stage.value and not self.question.dialog.is_deleted:
            self._show(to, results)

    def _open_request(self, to: str) -> ApprovalRequest | None:
        requests = self.view.studio.registry(self.view.who).open_requests(self.name)
        mine = (one for one in requests if (one.asked.version, one.asked.to_stage) == (self.version, to))
        return next(mine, None)

    def _ask(self, to: str, request: ApprovalRequest | None) -> None:
        """Where approval is needed, let the button request it, or disable it until it is given."""
        needed = self.rules.stage(to).approvals
        missing = needed - len(request.approvals) if request else needed
        self.asks = bool(needed) and request is None
        waits = missing > 0 and not self.asks
        self.question.button.text = "Ask for approval" if self.asks else "Promote"
        self.question.button.set_enabled(not waits)
        self.note.text = f"{to.capitalize()} needs the approval of others: {missing} must agree first."
        self.note.set_visibility(missing > 0)

    def _show(self, to: str, results: Sequence[GateResult]) -> None:
        failed = sum(not result.passed for result in results)
        self.gates.clear()
        with self.gates:
            plain_table(HEADERS, gate_rows(results), f"The gates of {to}, from {self.rules.source}")
        passed = "All gates pass." if results else f"{to.capitalize()} has no gates."
        self.status_label.text = f"{failed} of {len(results)} gates did not pass." if failed else passed
        self.force.set_visibility(bool(failed) and not self.asks and self.view.who.may("approver"))

    def _refused(self, error: TabstudioError) -> None:
        if isinstance(error, GateError):
            self._show(str(self.stage.value), error.results)

    def _act(self, reason: str) -> lifecycle.Done:
        view, to = self.view, str(self.stage.value)
        if self.asks:
            return lifecycle.request(view.studio, view.who, self.name, self.version, to, reason=reason)
        force = bool(self.force.value)
        return lifecycle.promote(
            view.studio, view.who, self.name, self.version, to, reason=reason, force=force
        )
