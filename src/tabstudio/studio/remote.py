"""The services of a remote studio, with the methods of `Deployments` that commands use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tabstudio.errors import ConfigError
from tabstudio.registry.remote_http import Connection, path_of
from tabstudio.serving.deployments import Deployment


class RemoteDeployments:
    """Asks a studio. Raises as `Deployments` and `Connection` do."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> list[Deployment]:
        """Every service, by name."""
        return [_deployment(told) for told in self._connection.get("/deployments")["items"]]

    def start(self, name: str, words: Sequence[str] = ()) -> Deployment:
        """Start a service on the studio's machine and wait until it answers."""
        return _deployment(self._connection.post("/deployments", {"name": name, "words": [*words]}))

    def stop(self, name: str) -> Deployment:
        """Let a service answer what it was asked, and end."""
        return _deployment(self._connection.post(path_of("deployments", name, "stop"), {}))

    def remove(self, name: str) -> None:
        """Stop a service and forget it, with its output."""
        self._connection.delete(path_of("deployments", name))

    def output(self, name: str, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """The last lines of a service's output, the oldest first."""
        if follow:
            raise ConfigError("--follow: a remote studio tells the last lines; ask again for more")
        told = self._connection.get(path_of("deployments", name, "log"), lines=lines)
        yield from (f"{line}\n" for line in told["lines"])


def _deployment(told: Mapping[str, Any]) -> Deployment:
    known = {field.name for field in fields(Deployment)}
    given = {name: value for name, value in told.items() if name in known}
    return Deployment(**{**given, "words": tuple(told["words"]), "log": Path()})
