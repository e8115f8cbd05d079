"""The process of a studio: bind, tell the address, serve until it is told to end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import uvicorn

from tabstudio.errors import ConfigError
from tabstudio.studio.options import StudioOptions

DRAIN_SECONDS = 5


def serve(options: StudioOptions, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGTERM or Ctrl-C; `ready` is called with the URL once the port is ours.

    Port 0 takes a free one. Raises `ConfigError` where the address cannot be used.
    """
    with closing(_bound(options)) as listener:
        options = replace(options, port=listener.getsockname()[1])
        from tabstudio.studio.app import build

        app = build(options)
        host = f"[{options.host}]" if ":" in options.host else options.host
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        ready(f"http://{host}:{options.port}")
        uvicorn.Server(config).run(sockets=[listener])


def _bound(options: StudioOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{options.host}:{options.port}: cannot listen there: {error.strerror}; "
            "--port 0 takes a free port"
        ) from error
    return listener
