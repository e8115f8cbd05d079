"""`tabstudio deployments`: services by name, in the background."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tabstudio.cli.connections import services
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
    opened = services()
    if action == "list":
        for one in opened.list():
            print(f"{one.name:20} {one.state:14} {one.url or '-':28} {' '.join(one.words)}")
        return
    if not name:
        raise ConfigError(f"which service? tabstudio deployments {action} NAME")
    if action == "start":
        print(f"{name} answers at {opened.start(name, words or []).url}")
    elif action == "stop":
        print(f"{name} is {opened.stop(name).state}")
    elif action == "remove":
        opened.remove(name)
        print(f"{name} is forgotten")
    else:
        for line in opened.output(name, lines, follow):
            print(line, end="", flush=True)
