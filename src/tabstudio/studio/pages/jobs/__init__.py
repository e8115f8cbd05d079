"""The page of one training or search that was started from the studio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tabstudio.studio.pages.jobs.job_page import JobPage
from tabstudio.studio.ui.frame import PageView, page

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def install(studio: Studio) -> None:
    """Declare the page."""

    @page(studio, "/jobs/{job_id}", "Training", "Data")
    async def job(view: PageView, job_id: str) -> None:
        JobPage(view, await asyncio.to_thread(studio.jobs.find, job_id))
