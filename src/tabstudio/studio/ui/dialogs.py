"""A dialog that confirms an action, takes a reason, and shows the error that prevents it."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import run, ui

from tabstudio.errors import TabstudioError
from tabstudio.studio.ui.elements import tag


class ConfirmDialog:
    """A dialog with a title, a sentence, room for more (`with question.body:`), a reason, and two buttons.

    `act(reason)` is called in a thread. What it returns is told as text, and the dialog closes; a
    `TabstudioError` stands in the dialog, which stays, and is handed to `failed`. `busy` is told meanwhile.
    """

    def __init__(
        self,
        title: str,
        doing: str,
        act: Callable[[str], object],
        *,
        text: str = "",
        reason: bool = True,
        optional: bool = False,
        danger: bool = False,
        busy: str = "",
        failed: Callable[[TabstudioError], None] = lambda _: None,
    ) -> None:
        self._act, self._failed, self._busy = act, failed, busy
        self._needs = reason and not optional
        with ui.context.client.content:  # a button that is redrawn meanwhile must not take the dialog along
            self.dialog = dialog = ui.dialog()
        dialog.on("hide", dialog.delete)
        self.dialog.props["aria-label"] = title
        with self.dialog, ui.element("div").classes("q-card question"):
            tag("h2", title)
            if text:
                ui.label(text).classes("muted")
            self.body = ui.element("div").classes("question-body")
            self.reason = ui.textarea("Reason" if self._needs else "Reason, if you like")
            self.reason.props('outlined autogrow rows="2" maxlength="2000" autofocus').set_visibility(reason)
            self._progress = ui.label("").classes("muted").props('aria-live="polite"')
            self.wrong = ui.label("").classes("problem").props('role="alert"')
            self.wrong.set_visibility(False)
            with ui.element("div").classes("row-wrap ends"):
                ui.button("Cancel", on_click=self.dialog.close).props("flat no-caps")
                self.button = ui.button(doing, on_click=self.confirm).props("unelevated no-caps")
                if danger:
                    self.button.props("color=negative")

    def open(self) -> ConfirmDialog:
        """Show it."""
        self.dialog.open()
        return self

    def complain(self, text: str) -> None:
        """Say in the dialog what is wrong."""
        self.wrong.text = text
        self.wrong.set_visibility(bool(text))

    async def confirm(self) -> None:
        """Do it, as the button does."""
        why = (self.reason.value or "").strip()
        if self._needs and not why:
            self.complain("A reason is needed: one sentence that somebody will understand next year.")
            self.reason.run_method("focus")
            return
        self.complain("")
        self.button.props("loading").disable()
        self._progress.text = self._busy
        try:
            outcome = await run.io_bound(self._act, why)
        except TabstudioError as error:
            self.complain(str(error))
            self._failed(error)
            return
        finally:
            self._progress.text = ""
            self.button.props(remove="loading").enable()
        if outcome is not None:
            ui.notify(str(outcome), type="positive", multi_line=True)
        self.dialog.close()
