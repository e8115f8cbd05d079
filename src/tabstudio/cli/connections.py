"""What the commands work on: the registry and services of this machine, or of the studio at `TABSTUDIO_URL`.

Webhooks leave when a command ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tabstudio.settings import setting

if TYPE_CHECKING:
    from tabstudio.registry.records import Noticed
    from tabstudio.remote.connection import Connection
    from tabstudio.remote.protocols import AnyDeployments, AnyRegistry
    from tabstudio.remote.registry import RemoteRegistry

_Listed = TypeVar("_Listed", bound="Noticed[Any]")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The registered model.")]
VersionArgument = Annotated[
    str, typer.Argument(metavar="VERSION", help="Its number, `latest`, or the stage that it is in.")
]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why: kept in the history.")]
ActorOption = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Who acts; else TABSTUDIO_ACTOR or the user.")
]


@contextmanager
def open_registry(actor: str | None = None) -> Iterator[AnyRegistry]:
    """Open the registry for one command.

    Raises `ConfigError` where somebody wants to act under another name in a remote studio.
    """
    far = open_remote_registry(actor)
    if far is not None:
        yield far
        return
    from tabstudio.registry import Registry

    with Registry(actor=actor) as near:
        yield near
        if near.rules.webhooks:
            for problem in near.deliver().problems:
                print(f"note: a webhook waits for the next command: {problem}", file=sys.stderr)


def print_notices(notices: Iterable[str]) -> None:
    """Print what the registry noticed meanwhile."""
    for notice in notices:
        print(f"note: {notice}", file=sys.stderr)


def noted(answer: _Listed) -> _Listed:
    """Print the notices of an answer, and return it."""
    print_notices(answer.notices)
    return answer


def open_remote_registry(actor: str | None = None) -> RemoteRegistry | None:
    """Return the registry of the studio at `TABSTUDIO_URL`, None where none is named."""
    connection = _studio()
    if connection is None:
        return None
    from tabstudio.errors import ConfigError
    from tabstudio.remote.registry import RemoteRegistry

    if actor is not None:
        raise ConfigError(f"--as {actor}: the studio at {connection.url} knows who acts by TABSTUDIO_TOKEN")
    return RemoteRegistry(connection)


def open_deployments() -> AnyDeployments:
    """Open the services that were started by name."""
    connection = _studio()
    if connection is not None:
        from tabstudio.remote.deployments import RemoteDeployments

        return RemoteDeployments(connection)
    from tabstudio.serving.deployments import Deployments

    return Deployments()


def _studio() -> Connection | None:
    url = setting("TABSTUDIO_URL")
    if not url:
        return None
    from tabstudio.remote.connection import Connection

    return Connection(url, setting("TABSTUDIO_TOKEN"))
