"""What the commands work on: the registry and services of this machine, or of the studio at `TABSTUDIO_URL`.

What the registry noticed is told, and webhooks leave, when a command ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from tabstudio.settings import setting

if TYPE_CHECKING:
    from tabstudio.registry import Registry
    from tabstudio.registry.remote import RemoteRegistry
    from tabstudio.registry.remote_http import Connection
    from tabstudio.serving.deployments import Deployments
    from tabstudio.studio.remote import RemoteDeployments

    AnyRegistry = Registry | RemoteRegistry

Name = Annotated[str, typer.Argument(metavar="NAME", help="The registered model.")]
Which = Annotated[
    str, typer.Argument(metavar="VERSION", help="Its number, `latest`, or the stage that it is in.")
]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why: kept in the history.")]
Acting = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Who acts; else TABSTUDIO_ACTOR or the user.")
]


@contextmanager
def registry(actor: str | None = None) -> Iterator[AnyRegistry]:
    """Open the registry for one command.

    Raises `ConfigError` where somebody wants to act under another name in a remote studio.
    """
    far = remote(actor)
    if far is not None:
        with far, _telling(far.notices):
            yield far
        return
    with _near(actor) as near:
        with _telling(near.notices):
            yield near
        if near.rules.webhooks:
            for problem in near.deliver().problems:
                print(f"note: a webhook waits for the next command: {problem}", file=sys.stderr)


@contextmanager
def _telling(notices: Sequence[str]) -> Iterator[None]:
    """Tell in the end what a registry noticed, however it ends."""
    try:
        yield
    finally:
        for notice in notices:
            print(f"note: {notice}", file=sys.stderr)


def remote(actor: str | None = None) -> RemoteRegistry | None:
    """Return the registry of the studio at `TABSTUDIO_URL`, None where none is named."""
    connection = _studio()
    if connection is None:
        return None
    from tabstudio.errors import ConfigError
    from tabstudio.registry.remote import RemoteRegistry

    if actor is not None:
        raise ConfigError(f"--as {actor}: the studio at {connection.url} knows who acts by TABSTUDIO_TOKEN")
    return RemoteRegistry(connection)


def services() -> Deployments | RemoteDeployments:
    """Open the services that were started by name."""
    connection = _studio()
    if connection is not None:
        from tabstudio.studio.remote import RemoteDeployments

        return RemoteDeployments(connection)
    from tabstudio.serving.deployments import Deployments

    return Deployments()


def _studio() -> Connection | None:
    url = setting("TABSTUDIO_URL")
    if not url:
        return None
    from tabstudio.registry.remote_http import Connection

    return Connection(url, setting("TABSTUDIO_TOKEN"))


def _near(actor: str | None) -> Registry:
    from tabstudio.registry import Registry

    return Registry(actor=actor)
