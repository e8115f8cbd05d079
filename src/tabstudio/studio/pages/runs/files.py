"""Pictures and files of a run. Nothing of them runs in the studio's own origin."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from nicegui import ui

from tabstudio.report.text_format import format_size
from tabstudio.studio.services.runs import run_files
from tabstudio.studio.services.runs.run_files import PAGES, PICTURES, TEXTS, RunFile, RunFiles
from tabstudio.studio.ui.addresses import run_page
from tabstudio.studio.ui.elements import dialog_card, empty, section, tag
from tabstudio.studio.ui.frame import PageView

MOST_PICTURES = 60


def file_address(run_id: str, path: str, *, download: bool = False) -> str:
    """Where a file of a run is sent from."""
    return f"{run_page(run_id)}/files/{quote(path)}" + ("?download" if download else "")


def show_files(view: PageView, run_id: str, run_files: RunFiles) -> None:
    """Build the sections of pictures and files, where this stands."""
    pictures = [file for file in run_files.files if file.suffix in PICTURES]
    if pictures:
        with section("Figures"):
            _gallery(run_id, pictures)
    with section("Files", _summary(run_files)):
        if run_files.files:
            _table(view, run_id, run_files.files)
        else:
            empty("This run has no files.")


def _summary(run_files: RunFiles) -> str:
    if not run_files.files:
        return ""
    summary = f"{len(run_files.files):,} files, {format_size(run_files.bytes)}"
    return summary if run_files.whole else f"the first {summary}; MLflow's own page shows them all"


def _gallery(run_id: str, pictures: list[RunFile]) -> None:
    with ui.element("div").classes("gallery"):
        for file in pictures[:MOST_PICTURES]:
            with ui.element("figure"):
                with ui.element("a") as link:
                    link.props["href"] = file_address(run_id, file.path)
                    link.props["target"] = "_blank"
                    link.props["rel"] = "noopener"
                    image = ui.element("img")
                    image.props["src"] = file_address(run_id, file.path)
                    image.props["alt"] = file.path
                    image.props["loading"] = "lazy"
                with ui.element("figcaption"):
                    ui.label(file.path)
    if len(pictures) > MOST_PICTURES:
        ui.label(f"{len(pictures) - MOST_PICTURES:,} more pictures are among the files.").classes("muted")


def _table(view: PageView, run_id: str, files: tuple[RunFile, ...]) -> None:
    with ui.element("ul").classes("scroll files").props('tabindex="0" aria-label="Files"'):
        for file in files:
            with ui.element("li"):
                _file(view, run_id, file)


def _file(view: PageView, run_id: str, file: RunFile) -> None:
    shown = file.suffix in PAGES or file.suffix in PICTURES
    ui.link(file.path, file_address(run_id, file.path), new_tab=shown)
    ui.label(format_size(file.bytes) if file.bytes is not None else "").classes("muted")
    if file.suffix in TEXTS:
        button = ui.button("Read", on_click=lambda: read(view, run_id, file)).props(
            "flat dense no-caps size=sm"
        )
        button.props["aria-label"] = f"Read {file.path}"
    if shown:
        ui.link("Download", file_address(run_id, file.path, download=True)).props["aria-label"] = (
            f"Download {file.path}"
        )


async def read(view: PageView, run_id: str, file: RunFile) -> None:
    """Show the beginning of a text file in a dialog."""
    text = await asyncio.to_thread(run_files.read_text, view.studio.runs.client, run_id, file.path)
    with dialog_card(file.path, "wide-card") as dialog:
        if file.bytes is not None and file.bytes > run_files.MOST_TEXT:
            ui.label(f"The first {format_size(run_files.MOST_TEXT)} of {format_size(file.bytes)}.").classes(
                "muted"
            )
        tag("pre", text).classes("code log").props('tabindex="0"')
        with ui.element("div").classes("row-wrap ends"):
            ui.button("Close", on_click=dialog.close).props("flat no-caps")
    dialog.open()
