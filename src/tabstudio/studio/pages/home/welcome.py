"""The first steps in an empty folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from tabstudio.studio.services.runs.run_query import RunQuery
from tabstudio.studio.ui.elements import section, tag

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def is_new(studio: Studio) -> bool:
    """Whether nobody has trained anything here yet."""
    return not studio.jobs.list(1) and not studio.runs.page(RunQuery(), 0, 1).total


def welcome(studio: Studio) -> None:
    """Show the first steps."""
    with section("Welcome", "From a table to a model that you can trust in production, in three steps."):
        with ui.element("ol").classes("ways"):
            with ui.element("li"):
                tag("h3", "Bring a table")
                ui.label(
                    "Upload a CSV or Parquet file on the Data page, or put it into the folder "
                    f"{studio.options.data}. You see what was guessed of each column, and why."
                )
                ui.link("Open the Data page", "/data")
            with ui.element("li"):
                tag("h3", "Train")
                ui.label(
                    "Choose the column to predict and press Train. The curves move on the page; "
                    "when it is done, a version of the model is registered."
                )
            with ui.element("li"):
                tag("h3", "Promote and serve")
                ui.label(
                    "Put the version into a stage on the Monitor page, with a reason, and start a service on "
                    "the Deployments page: it follows the stage."
                )
        ui.label(
            "Runs of your own PyTorch scripts come here by themselves: put `tabstudio run` before the script."
        ).classes("muted")
