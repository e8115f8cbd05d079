"""The buttons that start, restart, stop and remove a service."""

from __future__ import annotations

from nicegui import ui

from tabstudio.serving.deployments import Deployment, State
from tabstudio.studio.services import deployments
from tabstudio.studio.ui.dialogs import ConfirmDialog
from tabstudio.studio.ui.frame import PageView

STATE_TONES: dict[State, str] = {
    "running": "good",
    "starting": "info",
    "not answering": "warning",
    "died": "danger",
    "stopping": "warning",
    "stopped": "",
    "elsewhere": "info",
}
"""The tone of each state."""


def web_link(text: str, address: str) -> ui.link:
    """A link to a service's own pages, in a tab of its own."""
    link = ui.link(text, address, new_tab=True)
    link.props('rel="noopener noreferrer"').props["aria-label"] = f"{text} (opens another tab)"
    return link


def service_buttons(view: PageView, service: Deployment) -> None:
    """The buttons that make sense in the service's state, for those who may."""
    if not view.who.may("editor") or service.state in ("elsewhere", "stopping"):
        return
    idle = service.state in ("stopped", "died")
    with ui.element("div").classes("row-wrap tight"):
        if idle:
            _button(view, service, "Start", "starts as it was")
        else:
            _button(view, service, "Restart", "is stopped, and starts as it was")
            _button(view, service, "Stop", "answers what it was asked, and ends")
        _button(view, service, "Remove", "is stopped and forgotten, with its log; predictions stay kept")


def _button(view: PageView, service: Deployment, word: str, means: str) -> None:
    button = ui.button(f"{word}…", on_click=lambda: _ask(view, service.name, word, means))
    button.props("dense flat no-caps").props["aria-label"] = f"{word} {service.name}"


def _ask(view: PageView, name: str, word: str, means: str) -> None:
    def act(_: str) -> str:
        if word in ("Start", "Restart"):
            does = deployments.start if word == "Start" else deployments.restart
            return f"{name} answers at {does(view.studio, view.who, name).url}"
        if word == "Stop":
            return f"{name} is {deployments.stop(view.studio, view.who, name).state}"
        deployments.remove(view.studio, view.who, name)
        return f"{name} is forgotten"

    danger = word in ("Stop", "Remove")
    ConfirmDialog(
        f"{word} {name}", word, act, text=f"The service {means}.", reason=False, danger=danger
    ).open()
