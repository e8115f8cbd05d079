"""`tabstudio serve`: models as an HTTP service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder; NAME=MODEL names it.",
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(help="Processes that answer.")] = 1,
    watch: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="How often to look for moved aliases; 0: when asked."),
    ] = 10.0,
    canary: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]MODEL=10%", help="A version that answers a share of the requests."),
    ] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]MODEL", help="A version that is asked too, its answers compared."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host name under which the server may be asked; * for any."),
    ] = None,
    max_body: Annotated[int, typer.Option(metavar="BYTES", help="Longest body of a request.")] = 16 << 20,
    max_rows: Annotated[int, typer.Option(help="Most rows of a request.")] = 10_000,
    max_in_flight: Annotated[int, typer.Option(help="Most requests at a time, per worker.")] = 1_024,
    deadline: Annotated[float, typer.Option(metavar="SECONDS", help="Longest wait of a request.")] = 30.0,
    log: Annotated[bool, typer.Option("--log/--no-log", help="Keep every prediction, or none.")] = True,
    log_folder: Annotated[
        Path | None, typer.Option(help="Where predictions are kept, else predictions in TABSTUDIO_HOME.")
    ] = None,
    log_days: Annotated[float, typer.Option(help="Days that predictions are kept.")] = 90.0,
    log_gigabytes: Annotated[float, typer.Option(help="Most that is kept; the oldest goes first.")] = 10.0,
    mask: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Keep only hashes of a column's values.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Keep nothing of a column's values.")
    ] = None,
    access_log: Annotated[bool, typer.Option("--access-log", help="Write a line for every request.")] = False,
    json_logs: Annotated[
        bool, typer.Option("--json-logs", help="Write the server's own log as JSON lines.")
    ] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Send a span of every request to OpenTelemetry, as OTEL_... say.")
    ] = False,
) -> None:
    """Serve models over HTTP, with a typed contract, until SIGTERM or Ctrl-C."""
    from tabstudio.serving.predictionlog.log_options import LogOptions
    from tabstudio.serving.serve_options import Bounds, ServeOptions
    from tabstudio.serving.supervisor import serve
    from tabstudio.serving.tokens import token_gate
    from tabstudio.serving.version_lookup import served_models

    token_gate(host)  # a token that is demanded and missing is told before anything is loaded
    if trace:
        from tabstudio.serving import tracing

        tracing.check_environment()
    log_options = LogOptions(
        enabled=log,
        folder=str(log_folder or ""),
        days=log_days,
        gigabytes=log_gigabytes,
        mask=tuple(mask or ()),
        leave_out=tuple(leave_out or ()),
    )
    bounds = Bounds(body_bytes=max_body, rows=max_rows, in_flight=max_in_flight, deadline=deadline)
    options = ServeOptions(
        models=served_models(models, canary or [], shadow or []),
        host=host,
        port=port,
        workers=workers,
        watch=watch,
        hosts=tuple(allow_host or ()),
        bounds=bounds,
        log=log_options,
        json_logs=json_logs,
        access_log=access_log,
        trace=trace,
    )
    serve(options, lambda line: print(line, flush=True))
