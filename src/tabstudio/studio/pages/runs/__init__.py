"""The pages of runs: all of them, several beside each other, one; and the files of a run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from nicegui import app, ui
from starlette.background import BackgroundTask

from tabstudio.errors import TabstudioError
from tabstudio.studio.pages.runs.compare import RunComparison
from tabstudio.studio.pages.runs.run_details import RunDetailsPage
from tabstudio.studio.pages.runs.run_table import RunFilter, RunTable
from tabstudio.studio.services.runs import run_files
from tabstudio.studio.services.runs.run_comparison import MOST_RUNS
from tabstudio.studio.ui.elements import empty, heading
from tabstudio.studio.ui.frame import PageView, page

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the pages."""

    @page(studio, "/runs", "Runs", "Runs")
    async def runs(
        view: PageView,
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
        RunTable(view, RunFilter(experiment, name, status, filter, parent, order, up, group))

    @page(studio, "/runs/compare", "Compare runs", "Runs")
    async def compare(view: PageView, ids: str = "") -> None:
        heading("Runs beside each other")
        with ui.element("p"):
            ui.link("All runs", "/runs")
        chosen = list(dict.fromkeys(part for part in ids.split(",") if part))
        if not 1 < len(chosen) <= MOST_RUNS:
            empty(f"Tick 2 to {MOST_RUNS} runs in the table of runs, then choose Compare.")
            return
        RunComparison(view, chosen)

    @page(studio, "/runs/{run_id}", "Run", "Runs")
    async def run(view: PageView, run_id: str) -> None:
        RunDetailsPage(view, run_id)

    @app.get("/runs/{run_id}/files/{path:path}", include_in_schema=False)
    async def file(request: Request, run_id: str, path: str) -> Response:
        return await _sent(studio, run_id, path, download="download" in request.query_params)


async def _sent(studio: Studio, run_id: str, path: str, *, download: bool) -> Response:
    try:
        file, done = await asyncio.to_thread(run_files.fetch_file, studio.runs.client, run_id, path)
    except TabstudioError as error:
        return PlainTextResponse(str(error), status_code=404)
    headers = run_files.response_headers(path)
    kind = headers.pop("content-type")
    as_file = download or headers.pop("content-disposition", None) is not None
    return FileResponse(
        file,
        headers=headers,
        media_type=kind,
        filename=file.name,
        content_disposition_type="attachment" if as_file else "inline",
        background=BackgroundTask(done),
    )
