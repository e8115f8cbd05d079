"""`tabstudio deployments`: services by name, in the background."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tabstudio.cli.connections import open_deployments
from tabstudio.errors import ConfigError


def command(
    action: Annotated[
        Literal["start", "list", "stop", "logs", "remove"],
        typer.Argument(help="start NAME MODEL..., list, stop NAME, logs NAME, remove NAME."),
    ],
    name: Annotated[str | None, typer.Argument(help="What the service is called.")] = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL...", help="Models and options, as `tabstudio serve` takes them."),
    ] = None,
    lines: Annotated[int, typer.Option(help="How many lines logs shows.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", help="Let logs wait for more.")] = False,
) -> None:
    """Start services in the background, list, stop and read them. They outlive the terminal."""
    deployments = open_deployments()
    if action == "list":
        for service in deployments.list():
            print(f"{service.name:20} {service.state:14} {service.url or '-':28} {' '.join(service.words)}")
        return
    if not name:
        raise ConfigError(f"which service? tabstudio deployments {action} NAME")
    if action == "start":
        print(f"{name} answers at {deployments.start(name, words or []).url}")
    elif action == "stop":
        print(f"{name} is {deployments.stop(name).state}")
    elif action == "remove":
        deployments.remove(name)
        print(f"{name} is forgotten")
    else:
        for line in deployments.output(name, lines, follow):
            print(line, end="", flush=True)
