"""Sections of a run: command, parameters, data, environment, models."""

from __future__ import annotations

import json
from collections.abc import Mapping

from nicegui import ui

from tabstudio.studio.services.runs.run_details import RunDetails, RunModel
from tabstudio.studio.services.runs.run_registration import register_run_model
from tabstudio.studio.ui.addresses import version_page
from tabstudio.studio.ui.dialogs import ConfirmDialog
from tabstudio.studio.ui.elements import empty, section
from tabstudio.studio.ui.frame import PageView
from tabstudio.studio.ui.tables import Cell, plain_table


def commands(details: RunDetails) -> None:
    """The section with the commands that made the run and make it again."""
    with section("Again"):
        if details.command:
            command("What was run", details.command)
        if details.reproduce:
            command("Train its model again and compare every bit", details.reproduce)
        if details.git:
            plain_table(
                ("", ""), [[_GIT.get(key, key), value] for key, value in details.git.items()], "Source"
            )
        if not (details.command or details.reproduce or details.git):
            empty("Nothing was recorded of how it was started.")


_GIT = {"commit": "Commit", "branch": "Branch", "repoURL": "Repository"}


def command(label: str, text: str) -> None:
    """A command with a button that copies it."""
    with ui.element("div").classes("command"):
        ui.label(label).classes("muted")
        with ui.element("div").classes("row-wrap tight"):
            with ui.element("pre").classes("code growing"):
                ui.label(text).classes("inline")
            button = ui.button("Copy").props("flat dense no-caps")
            button.props["aria-label"] = f"Copy: {label}"
            # In the browser: to write to the clipboard takes the click itself.
            button.on("click", js_handler=f"() => navigator.clipboard.writeText({json.dumps(text)})")
            button.on("click", lambda: ui.notify("Copied", type="positive"))


def parameters(params: Mapping[str, str]) -> None:
    """The section of parameters."""
    with section("Parameters"):
        if params:
            plain_table(("Parameter", "Value"), list(params.items()), f"{len(params)} parameters").classes(
                "params"
            )
        else:
            empty("No parameter was logged.")


def data(details: RunDetails) -> None:
    """The section of datasets."""
    if not details.datasets:
        return
    with section("Data"):
        rows: list[list[Cell]] = [[d.name, d.context, d.rows, d.source, d.digest] for d in details.datasets]
        plain_table(("Name", "Used for", "Rows", "From", "Fingerprint"), rows, "Datasets")


def environment(values: Mapping[str, object]) -> None:
    """The section of the environment."""
    if not values:
        return
    with section("Environment"):
        rows = [[key, str(value)] for key, value in values.items() if str(value)]
        plain_table(("", ""), rows, "Made with")


def models(view: PageView, details: RunDetails) -> None:
    """The section of models, with a button that registers one."""
    if not (details.models or details.versions):
        return
    with section("Models"):
        loose = [v for v in details.versions if all(v not in model.versions for model in details.models)]
        for model in details.models:
            with ui.element("div").classes("row-wrap tools"):
                ui.label(model.name).classes("strong")
                ui.label(model.address).classes("muted")
                _versions(model.versions)
                if not model.versions:
                    _register_button(view, details, model)
        _versions(tuple(loose))


def _versions(versions: tuple[tuple[str, int], ...]) -> None:
    for name, number in versions:
        ui.link(f"{name} version {number}", version_page(name, number))


def _register_button(view: PageView, details: RunDetails, model: RunModel) -> None:
    def ask() -> None:
        question = ConfirmDialog(
            f"Register {model.name}",
            "Register",
            lambda _: done(),
            text="It becomes the next version of a registered model; no stage changes.",
            reason=False,
        )
        with question.body:
            name = ui.input("Name of the registered model", value=details.row.name).props(
                "outlined maxlength=250"
            )

        def done() -> str:
            model_name = (name.value or "").strip()
            number = register_run_model(view.studio, view.who, details.row.id, model.id, model_name)
            return f"Registered: {model_name} version {number}"

        question.open()

    button = ui.button("Register", on_click=ask).props("outline no-caps dense")
    button.props["aria-label"] = f"Register {model.name}"
    button.set_visibility(view.who.may("editor"))
