"""The pages of runs: all of them, several beside each other, one; and the files of a run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from nicegui import app, ui
from starlette.background import BackgroundTask

from tabstudio.errors import TabstudioError
from tabstudio.studio.pages.runs.compare import Beside
from tabstudio.studio.pages.runs.listing import Listing, Wanted
from tabstudio.studio.pages.runs.run import OneRun
from tabstudio.studio.runs import artifacts
from tabstudio.studio.runs.comparing import MOST
from tabstudio.studio.ui.frame import View, empty, heading, page

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the pages."""

    @page(studio, "/runs", "Runs", "Runs")
    async def runs(
        view: View,
        experiment: str = "",
        name: str = "",
        status: str = "",
        filter: str = "",  # noqa: A002 - MLflow's own word for it
        parent: str = "",
        order: str = "started",
        up: bool = False,
        group: bool = False,
    ) -> None:
        heading("Runs", "Every run in this MLflow store: by tabstudio, by autolog, by plain MLflow.")
        Listing(view, Wanted(experiment, name, status, filter, parent, order, up, group))

    @page(studio, "/runs/compare", "Compare runs", "Runs")
    async def compare(view: View, ids: str = "") -> None:
        heading("Runs beside each other")
        with ui.element("p"):
            ui.link("All runs", "/runs")
        chosen = list(dict.fromkeys(part for part in ids.split(",") if part))
        if not 1 < len(chosen) <= MOST:
            empty(f"Tick 2 to {MOST} runs in the table of runs, then choose Compare.")
            return
        Beside(view, chosen)

    @page(studio, "/runs/{run_id}", "Run", "Runs")
    async def run(view: View, run_id: str) -> None:
        OneRun(view, run_id)

    @app.get("/runs/{run_id}/files/{path:path}", include_in_schema=False)
    async def file(request: Request, run_id: str, path: str) -> Response:
        return await _sent(studio, run_id, path, download="download" in request.query_params)


async def _sent(studio: Studio, run_id: str, path: str, *, download: bool) -> Response:
    try:
        found, done = await asyncio.to_thread(artifacts.fetched, studio.runs.client, run_id, path)
    except TabstudioError as error:
        return PlainTextResponse(str(error), status_code=404)
    headers = artifacts.headers(path)
    kind = headers.pop("content-type")
    as_file = download or headers.pop("content-disposition", None) is not None
    return FileResponse(
        found,
        headers=headers,
        media_type=kind,
        filename=found.name,
        content_disposition_type="attachment" if as_file else "inline",
        background=BackgroundTask(done),
    )
