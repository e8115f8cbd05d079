"""The process of a studio: bind, announce the address, serve until it is stopped."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

import uvicorn

from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.serving.serve_options import Bounds
from tabstudio.serving.server import BoundedProtocol, HttpServer
from tabstudio.studio.page_sockets import MESSAGE_BYTES
from tabstudio.studio.studio_options import StudioOptions

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio

BOUNDS = Bounds(connections=500, body_seconds=3600.0, drain_seconds=5.0)
"""An upload may take an hour, as long as something comes; `body_limits` checks that."""
WARM_SECONDS = 5.0
"""How long the announcement waits for MLflow's store to open; the first page is fast after it."""
log = logging.getLogger("tabstudio.studio")


class StudioProtocol(BoundedProtocol):
    """The HTTP protocol within the bounds of the studio."""

    limits = BOUNDS

    def error_content(self, code: str, message: str) -> dict[str, object]:
        """Return an error in the shape of the REST API."""
        return {"error": {"code": code.lower(), "message": message}}


class StudioServer(HttpServer):
    """A server that ends by SIGTERM and Ctrl-C."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal comes."""
        with self.capture_signals():
            await super().serve(sockets)


def serve(options: StudioOptions, ready: Callable[[StudioOptions], None] = lambda _: None) -> None:
    """Serve until SIGTERM or Ctrl-C; `ready` is called with the options as they came out once pages answer.

    Port 0 takes a free one. Raises `ConfigError` where the address cannot be used, or people must log in
    and there is nobody.
    """
    options.check()
    # MLflow is slow to import, and most of that needs no lock of ours: it is done beside the rest.
    threading.Thread(target=import_module, args=("mlflow",), name="import of MLflow", daemon=True).start()
    from tabstudio.studio.studio import Studio

    with closing(_bound(options)) as listener, ExitStack() as ending:
        studio = Studio(replace(options, port=listener.getsockname()[1]))
        warm = threading.Thread(target=_warm_up, args=(studio,), name="warm-up", daemon=True)
        warm.start()
        if options.mlflow:
            from tabstudio.studio import mlflow_server

            _ = studio.mlflow  # makes a new database: two who make one at a time break it
            studio.mlflow_url = ending.enter_context(
                mlflow_server.run_mlflow_server(studio.tracking_uri, studio.registry_uri)
            )
        from tabstudio.studio.app import build_app

        config = uvicorn.Config(
            build_app(studio),
            http=StudioProtocol,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_max_size=MESSAGE_BYTES,
            timeout_graceful_shutdown=int(BOUNDS.drain_seconds),
        )
        gc.enable()  # the command line went without, for the imports
        warm.join(WARM_SECONDS)
        ready(studio.options)
        StudioServer(config).run(sockets=[listener])


def _warm_up(studio: Studio) -> None:
    """Import MLflow and open its store while nobody waits for it yet."""
    from tabstudio.studio.access.roles import Actor

    try:
        studio.registry(Actor("nobody", "viewer")).models(limit=1)
    except TabstudioError as error:  # a server that is down: the pages say so
        log.warning("%s", error)


def _bound(options: StudioOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
        listener.listen()  # who comes before the pages are there waits
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{options.host}:{options.port}: cannot listen there: {error.strerror}; "
            "--port 0 takes a free port"
        ) from error
    return listener
