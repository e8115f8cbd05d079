"""`tabstudio studio`: the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    host: Annotated[
        str, typer.Option(help="Where to listen; off loopback people must log in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free port.")] = 8600,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:PORT]", help="Another name by which browsers reach it, behind a proxy."),
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder of the tables to pick from; uploads go there.")] = Path(
        "data"
    ),
) -> None:
    """Open the studio: data, runs, the Monitor tab and deployments on one web page."""
    from tabstudio.studio import StudioOptions, serve

    options = StudioOptions(host=host, port=port, hosts=tuple(allow_host or ()), data=data)
    serve(options, lambda url: print(f"the studio is at {url}; Ctrl-C ends it", flush=True))
