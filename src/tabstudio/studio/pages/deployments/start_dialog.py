"""The dialog that starts a service: which model, which version or stage, and how."""

from __future__ import annotations

import asyncio

from nicegui import background_tasks, ui

from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.studio.services import deployments
from tabstudio.studio.ui.dialogs import ConfirmDialog
from tabstudio.studio.ui.frame import PageView

MOST_MODELS = 500
MOST_VERSIONS = 50


class StartServiceDialog:
    """Starts `tabstudio serve` with the arguments that the command line would have."""

    def __init__(self, view: PageView, model: str = "", which: str = "") -> None:
        self.view, self.wanted = view, which
        self.question = ConfirmDialog(
            "New service",
            "Start",
            self._start,
            text="It runs in the background on this machine, also when this page is closed.",
            reason=False,
            busy="Starting: the model is fetched, checked and warmed; this takes some seconds …",
        )
        with self.question.body:
            self.model = ui.select([], label="Model", with_input=True, on_change=self._model_chosen)
            self.which = ui.select({}, label="Stage or version")
            self.name = ui.input("Name of the service")
            with ui.element("div").classes("fields"):
                self.port = ui.number("Port, 0 takes a free one", value=0, min=0, max=65535, precision=0)
                self.workers = ui.number("Processes that answer", value=1, min=1, max=64, precision=0)
                self.watch = ui.number("Seconds between looks for a moved stage", value=10, min=0)
            for field in (self.model, self.which, self.name, self.port, self.workers, self.watch):
                field.props("outlined dense options-dense").classes("full")
        self.question.open()
        background_tasks.create(self._models(model), name="models to serve")

    async def _models(self, chosen: str) -> None:
        registry = self.view.studio.registry(self.view.who)
        try:
            models = await asyncio.to_thread(registry.models, limit=MOST_MODELS)
        except TabstudioError as error:
            self.question.complain(str(error))
            return
        names = [model.name for model in models]
        self.model.set_options(names, value=chosen if chosen in names else names[0] if names else None)
        if not names:
            self.question.complain("No model is registered yet: train one first, on the Data page.")

    async def _model_chosen(self) -> None:
        name = self.model.value
        if not name:
            return
        registry = self.view.studio.registry(self.view.who)
        try:
            versions = await asyncio.to_thread(registry.versions, name, limit=MOST_VERSIONS)
        except TabstudioError as error:
            self.question.complain(str(error))
            return
        held = {
            v.stage: f"{v.stage}: whatever is there, now version {v.number}"
            for v in versions
            if v.stage in registry.rules.exclusive
        }
        offered = held | {str(v.number): f"version {v.number}, for good" for v in versions}
        first = (
            self.wanted
            if self.wanted in offered
            else next(iter(sorted(held, reverse=True)), next(iter(offered), None))
        )
        self.which.set_options(offered, value=first)
        self.name.value = deployments.service_name(name)

    def _start(self, _: str) -> str:
        if not self.model.value or not self.which.value:
            raise ConfigError("choose a model, and which of its versions is to answer")
        name = str(self.name.value or "").strip()
        words = deployments.serve_arguments(
            self.model.value,
            self.which.value,
            port=_whole("port", self.port.value),
            workers=_whole("processes", self.workers.value),
            watch=float(self.watch.value or 0),
        )
        started = deployments.start(self.view.studio, self.view.who, name, words)
        return f"{name} answers at {started.url}"


def _whole(what: str, value: float | None) -> int:
    if value is None or float(value) != int(value):
        raise ConfigError(f"{what}: a whole number was expected, got {value!r}")
    return int(value)
