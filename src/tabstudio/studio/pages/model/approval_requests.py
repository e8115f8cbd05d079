"""Open requests for approval."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from tabstudio.registry.approvals import ApprovalRequest, same_person
from tabstudio.report.text_format import format_time
from tabstudio.studio import lifecycle
from tabstudio.studio.pages.model.promotion_dialog import open_promotion
from tabstudio.studio.ui.addresses import version_page
from tabstudio.studio.ui.dialogs import ConfirmDialog
from tabstudio.studio.ui.elements import badge, section
from tabstudio.studio.ui.frame import PageView


class ApprovalRequestList:
    """A section that is visible while a request is open."""

    def __init__(self, view: PageView, name: str, requests: Sequence[ApprovalRequest]) -> None:
        self.view, self.name = view, name
        self.shown: Sequence[ApprovalRequest] = ()
        with section("Waiting for approval") as self.card:
            self.container = ui.element("ul").classes("requests").props('aria-live="polite"')
        self.card.set_visibility(False)
        self.show(requests)

    def show(self, requests: Sequence[ApprovalRequest]) -> None:
        """Show the open requests."""
        if requests == self.shown:
            return
        self.shown = requests
        self.card.set_visibility(bool(requests))
        self.container.clear()
        with self.container:
            for request in requests:
                with ui.element("li").classes("request"):
                    self._request(request)

    def _request(self, request: ApprovalRequest) -> None:
        transition = request.asked
        stage = self.view.studio.registry(self.view.who).rules.stage(str(transition.to_stage))
        missing = stage.approvals - len(request.approvals)
        with ui.element("div").classes("row-wrap"):
            ui.link(f"Version {transition.version}", version_page(self.name, transition.version)).classes(
                "holder"
            )
            badge(f"to {stage.name}", "info")
            badge(
                f"{missing} more to agree" if missing > 0 else "may go there now",
                "warning" if missing > 0 else "good",
            )
        ui.label(f"{transition.actor}, {format_time(transition.time)[:16]} UTC: {transition.reason}").classes(
            "why"
        )
        for row in request.approvals:
            ui.label(
                f"{row.actor} agreed, {format_time(row.time)[:16]} UTC"
                + (f": {row.reason}" if row.reason else "")
            ).classes("muted")
        with ui.element("div").classes("row-wrap"):
            self._buttons(request, missing)

    def _buttons(self, request: ApprovalRequest, missing: int) -> None:
        who, version, stage = self.view.who, request.asked.version, str(request.asked.to_stage)
        mine = same_person(request.asked.actor, who.name)
        if missing <= 0 and who.may("editor"):
            ui.button(
                "Promote…", on_click=lambda: open_promotion(self.view, self.name, version, stage)
            ).props("dense no-caps unelevated")
        if missing > 0 and who.may("approver") and not mine:
            ui.button("Approve…", on_click=lambda: self._approve(version, stage)).props(
                "dense no-caps unelevated"
            )
        if who.may("approver") or (mine and who.may("editor")):
            label = "Take back…" if mine else "Reject…"
            ui.button(label, on_click=lambda: self._reject(version, stage, label)).props("dense no-caps flat")

    def _approve(self, version: int, stage: str) -> None:
        view, name = self.view, self.name
        ConfirmDialog(
            f"Approve version {version} for {stage}",
            "Approve",
            lambda reason: lifecycle.approve(view.studio, view.who, name, version, to=stage, reason=reason),
            text="Your agreement counts once, for this version and this promotion.",
            optional=True,
        ).open()

    def _reject(self, version: int, stage: str, label: str) -> None:
        view, name = self.view, self.name
        word = label.rstrip("…")
        ConfirmDialog(
            f"{word}: version {version} for {stage}",
            word,
            lambda reason: lifecycle.reject(view.studio, view.who, name, version, to=stage, reason=reason),
            text="The request ends; it can be made anew.",
            danger=True,
        ).open()
