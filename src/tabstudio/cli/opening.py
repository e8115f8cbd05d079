"""The registry as the commands open it: what it noticed is told, and webhooks leave, when a command ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tabstudio.registry import Registry

Name = Annotated[str, typer.Argument(metavar="NAME", help="The registered model.")]
Which = Annotated[
    str, typer.Argument(metavar="VERSION", help="Its number, `latest`, or the stage that it is in.")
]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why: kept in the history.")]
Acting = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Who acts; else TABSTUDIO_ACTOR or the user.")
]


@contextmanager
def registry(actor: str | None = None) -> Iterator[Registry]:
    """Open the registry for one command."""
    from tabstudio.registry import Registry

    with Registry(actor=actor) as opened:
        try:
            yield opened
        finally:
            for notice in opened.notices:
                print(f"note: {notice}", file=sys.stderr)
        if opened.rules.webhooks:
            for problem in opened.deliver().problems:
                print(f"note: a webhook waits for the next command: {problem}", file=sys.stderr)
