"""`tabstudio studio`: the web page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tabstudio.studio import StudioOptions


def command(
    host: Annotated[
        str, typer.Option(help="Where to listen; off loopback people must log in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free port.")] = 8600,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where browsers reach it behind a proxy, such as https://studio.example.org.",
        ),
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder of the tables to pick from; uploads go there.")] = Path(
        "data"
    ),
    max_upload: Annotated[int, typer.Option(metavar="BYTES", help="Longest file that is taken.")] = 1 << 30,
    login: Annotated[
        bool | None,
        typer.Option(
            "--login/--no-login",
            help="Ask who comes [default: where others can reach it, and where there are users].",
        ),
    ] = None,
    user_header: Annotated[
        str, typer.Option(metavar="NAME", help="Header in which a reverse proxy says who asks.")
    ] = "",
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="From where that header, and X-Forwarded-For, are believed."),
    ] = None,
    mlflow: Annotated[
        bool, typer.Option("--mlflow", help="Run MLflow's own pages beside it, on this machine only.")
    ] = False,
) -> None:
    """Open the studio: data, runs, the Monitor tab and deployments on one web page."""
    from tabstudio.studio import StudioOptions, serve

    options = StudioOptions(
        host=host,
        port=port,
        hosts=tuple(allow_host or ()),
        data=data,
        upload_bytes=max_upload,
        login=login,
        user_header=user_header,
        proxies=tuple(trusted_proxy or ()),
        mlflow=mlflow,
    )
    serve(options, _print_addresses)


def _print_addresses(options: StudioOptions) -> None:
    for address in options.public:
        print(f"browsers reach it at {address}")
    print(f"the studio is at {options.url}; Ctrl-C ends it", flush=True)
    if options.reached_by_others and not any(url.startswith("https:") for url in options.public):
        note = "note: passwords and data cross the network in the clear: put a proxy with TLS before it"
        print(f"{note}, see docs/how-to/team.md", file=sys.stderr, flush=True)
