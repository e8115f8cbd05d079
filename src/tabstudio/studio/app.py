"""The ASGI application: access guard, REST API and pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from nicegui import ui

from tabstudio._version import __version__
from tabstudio.studio import pages
from tabstudio.studio.access_guard import AccessGuard
from tabstudio.studio.api import app as api
from tabstudio.studio.page_sockets import WATCH_SECONDS, PageSockets
from tabstudio.studio.pages import login
from tabstudio.studio.studio import Studio
from tabstudio.studio.ui.favicon import FAVICON

STATIC = Path(__file__).parent / "ui" / "static"
RECONNECT_SECONDS = 10.0


def build_app(studio: Studio) -> FastAPI:
    """Make the application of one studio. NiceGUI keeps its pages per process: build one only."""
    sockets = PageSockets(studio)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Once, before the first page: of two threads that import MLflow at once, one finds it half made.
        await asyncio.to_thread(import_module, "tabstudio.registry")
        await asyncio.to_thread(import_module, "mlflow")
        studio.feed.start()
        studio.tables.clear()
        sockets.install()
        if studio.options.login:
            studio.feed.follow("people", sockets.watch, at_least=WATCH_SECONDS)
        yield
        await studio.feed.stop()
        await studio.previews.close()
        studio.close()

    app = FastAPI(title="tabstudio", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(AccessGuard, studio=studio)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.mount("/api/v1", api.build(studio), name="api")
    app.include_router(login.router(studio))
    pages.install(studio)
    ui.run_with(
        app,
        title="tabstudio",
        favicon=FAVICON,
        dark=None,
        binding_refresh_interval=None,
        reconnect_timeout=RECONNECT_SECONDS,
        tailwind=False,
        show_welcome_message=False,
    )
    return app
