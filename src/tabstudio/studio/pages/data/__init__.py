"""The pages of tables: their list with the upload, and one table with the form that trains on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabstudio.studio.pages.data.table_list import TableList
from tabstudio.studio.pages.data.table_page import TablePage
from tabstudio.studio.pages.data.upload_form import upload_form
from tabstudio.studio.ui.elements import heading, section
from tabstudio.studio.ui.frame import PageView, page

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the pages."""

    @page(studio, "/data", "Data", "Data")
    async def data(view: PageView) -> None:
        heading("Data", f"Tables below {studio.options.data}. Pick one to look at it and to train on it.")
        with section("Upload a table"):
            upload_form(view)
        with section("Tables"):
            TableList(view)

    @page(studio, "/data/table/{name:path}", "Table", "Data")
    async def table(view: PageView, name: str, target: str = "", read: str = "") -> None:
        TablePage(view, name, target, read)
