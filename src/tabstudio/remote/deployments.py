"""The services of a remote studio."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from pathlib import Path

from tabstudio.errors import ConfigError
from tabstudio.remote import paths
from tabstudio.remote.connection import Connection
from tabstudio.remote.records import parse
from tabstudio.serving.deployments import Deployment


class RemoteDeployments:
    """Asks a studio, as `AnyDeployments`. Raises as `Deployments` and `Connection` do."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(self, name: str, words: Sequence[str] = ()) -> Deployment:
        """Start a service on the studio's machine and wait until it answers."""
        return self._deployment(self._connection.post(paths.DEPLOYMENTS, {"name": name, "words": [*words]}))

    def list(self, *, ask: bool = True) -> builtins.list[Deployment]:
        """Return every service, by name. The studio asks them, with and without `ask`."""
        del ask
        return [self._deployment(item) for item in self._connection.get(paths.DEPLOYMENTS)["items"]]

    def find(self, name: str, *, ask: bool = True) -> Deployment:
        """Return one service. The studio asks it, with and without `ask`."""
        del ask
        return self._deployment(self._connection.get(paths.fill(paths.DEPLOYMENT, name=name)))

    def stop(self, name: str) -> Deployment:
        """Let a service answer what it was asked, and end."""
        return self._deployment(self._connection.post(paths.fill(paths.DEPLOYMENT_STOP, name=name), {}))

    def remove(self, name: str) -> None:
        """Stop a service and forget it, with its output."""
        self._connection.delete(paths.fill(paths.DEPLOYMENT, name=name))

    def output(self, name: str, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """Return the last lines of a service's output, the oldest first."""
        if follow:
            raise ConfigError("--follow: a remote studio tells the last lines; ask again for more")
        log = self._connection.get(paths.fill(paths.DEPLOYMENT_LOG, name=name), lines=lines)
        yield from (f"{line}\n" for line in log["lines"])

    def _deployment(self, item: dict[str, object]) -> Deployment:
        return parse(self._connection, Deployment, {**item, "log": Path()})
