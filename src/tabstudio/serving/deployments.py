"""Deployments: `tabstudio serve` in the background, by name, recorded in the database.

A service outlives the terminal, and the program, that started it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import psutil
from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from tabstudio._util import processes
from tabstudio._util.clock import utc_now
from tabstudio._util.http_client import RequestError, send_request
from tabstudio.database import Database, database_address
from tabstudio.database.tables import deployments as table
from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.settings import registry_address, setting

State = Literal["running", "not answering", "starting", "died", "stopping", "stopped", "elsewhere"]

START_SECONDS = 120.0
STOP_SECONDS = 45.0
"""Time for a service to answer its requests in flight; then it is ended by force."""
_HEALTH_SECONDS = 2.0
_POLL_SECONDS = 0.1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_URL = re.compile(r"^serving at (https?://[^\s,]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A service as it is now: its arguments, its URL, its last change (UTC), its output file."""

    name: str
    state: State
    url: Annotated[str, "Where it answers, empty until it does."]
    words: Annotated[tuple[str, ...], "What follows `tabstudio serve`."]
    pid: int
    changed: Annotated[str, "UTC, ISO 8601."]
    log: Path
    machine: str


class Deployments:
    """All services that were started by name, recorded in `database`; by default that of the registry."""

    def __init__(self, database: Database | None = None) -> None:
        self.database = database or Database(database_address(registry_uri=registry_address()))

    def start(self, name: str, words: Sequence[str] = ()) -> Deployment:
        """Start a service and wait until it answers; `words` are what follows `tabstudio serve`.

        Without words a service that is stopped, or died, is started as it was.

        Raises `ConfigError` for a name that cannot be one, runs already, or is new and has no words;
        `TabstudioError` with the last lines of its output where it ends before it answers.
        """
        row, fresh = self._claim(name, words)
        log = Path(row["log"])
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            begin = log.stat().st_size if log.exists() else 0
            process = _launch(json.loads(row["words"]), Path(row["folder"]), log)
            self._change(name, pid=process.pid, born=process.create_time())
            url = _wait_for_url(process, log, begin)
        except BaseException:
            self._end(name)
            if fresh:
                self.remove(name)
            raise
        self._change(name, url=url)
        return self.find(name)

    def list(self, *, ask: bool = True) -> list[Deployment]:
        """Every service, by name. Without `ask` none of them is asked: one that lives is called running."""
        with self.database.reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.name)).mappings().all()
        return [_deployment(row, ask=ask) for row in rows]

    def find(self, name: str, *, ask: bool = True) -> Deployment:
        """One service; `ask` as for `list`. Raises `ConfigError` where there is none of that name."""
        with self.database.reading() as connection:
            return _deployment(self._row(connection, name), ask=ask)

    def stop(self, name: str) -> Deployment:
        """Let a service answer what it was asked, and end; by force after `STOP_SECONDS`.

        Raises `ConfigError` where there is none of that name, or it runs on another machine.
        """
        service = self.find(name)
        if service.state == "elsewhere":
            raise ConfigError(f"deployment {name}: it runs on {service.machine}: stop it there")
        self._end(name)
        return self.find(name)

    def remove(self, name: str) -> None:
        """Stop a service and forget it, with its output."""
        log = self.stop(name).log
        with self.database.writing() as connection:
            connection.execute(delete(table).where(table.c.name == name))
        log.unlink(missing_ok=True)

    def output(self, name: str, lines: int = 100, follow: bool = False) -> Iterator[str]:
        """The last lines of a service's output, oldest first; `follow` waits for more while it runs."""
        path = self.find(name).log
        if not path.exists():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file.readlines()[-lines:]
            while follow:
                line = file.readline()
                if line:
                    yield line
                elif self.find(name).state in ("died", "stopped"):
                    return
                else:
                    time.sleep(_POLL_SECONDS)

    def _claim(self, name: str, words: Sequence[str]) -> tuple[RowMapping, bool]:
        """Record the start, unless another process was first; return its row, and whether it is new."""
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"deployment {name!r}: a name of letters, digits, dots, - and _ was expected, at most 64"
            )
        starter = psutil.Process()
        claim = {
            "machine": socket.gethostname(),
            "wanted": True,
            "pid": starter.pid,
            "born": starter.create_time(),
            "url": "",
            "changed": utc_now(),
        }
        with self.database.writing() as connection:
            rows = connection.execute(select(table).where(table.c.name == name).with_for_update())
            existing = rows.mappings().one_or_none()
            if existing is not None:
                _check_free(_deployment(existing))
            elif not words:
                raise ConfigError(f"deployment {name}: it is new, so name a model: start {name} MODEL")
            if words or existing is None:
                log = Path(setting("TABSTUDIO_HOME")).absolute() / "deployments" / f"{name}.log"
                claim |= {"words": json.dumps([*words]), "folder": str(Path.cwd()), "log": str(log)}
            change = update(table).where(table.c.name == name) if existing is not None else insert(table)
            connection.execute(change.values(name=name, **claim))
            return self._row(connection, name), existing is None

    def _end(self, name: str) -> None:
        with self.database.reading() as connection:
            row = self._row(connection, name)
        process = _process(row)
        self._change(name, wanted=False)  # it is stopping now, it did not die
        if process is not None and process.pid != os.getpid():
            _stop(process)
        self._change(name, wanted=False, pid=0, born=0.0, url="")

    def _change(self, name: str, **values: object) -> None:
        with self.database.writing() as connection:
            connection.execute(update(table).where(table.c.name == name).values(changed=utc_now(), **values))

    def _row(self, connection: Connection, name: str) -> RowMapping:
        row = connection.execute(select(table).where(table.c.name == name)).mappings().one_or_none()
        if row is None:
            names = connection.execute(select(table.c.name).order_by(table.c.name)).scalars().all()
            raise ConfigError(
                f"deployment {name}: there is none of that name; there is {', '.join(names) or 'none at all'}"
            )
        return row


def _check_free(known: Deployment) -> None:
    if known.state == "elsewhere":
        raise ConfigError(f"deployment {known.name}: it runs on {known.machine}: take another name")
    if known.state not in ("stopped", "died"):
        where = f" at {known.url}" if known.url else ""
        raise ConfigError(f"deployment {known.name}: it is {known.state}{where}: stop it first")


def local_url(url: str) -> str:
    """The URL of a service on this machine, whatever address it listens at."""
    if "127.0.0.1" in url or "[::1]" in url:
        return url
    return f"http://127.0.0.1:{url.rsplit(':', 1)[1]}"


def _deployment(row: RowMapping, *, ask: bool = True) -> Deployment:
    """A service from its row and the processes of this machine."""
    words = tuple(json.loads(row["words"]))
    return Deployment(
        row["name"],
        _state(row, ask=ask),
        row["url"],
        words,
        row["pid"],
        row["changed"],
        Path(row["log"]),
        row["machine"],
    )


def _state(row: RowMapping, *, ask: bool) -> State:
    if row["machine"] != socket.gethostname():
        return "elsewhere" if row["wanted"] else "stopped"
    if not row["wanted"]:
        return "stopped" if _process(row) is None else "stopping"
    if _process(row) is None:
        return "died"
    if not row["url"]:
        return "starting"
    return "running" if not ask or _healthy(row["url"]) else "not answering"


def _process(row: RowMapping) -> psutil.Process | None:
    return processes.find(row["pid"], row["born"])


def _healthy(url: str) -> bool:
    try:
        health = send_request("GET", f"{local_url(url)}/health", seconds=_HEALTH_SECONDS, use_proxy=False)
    except RequestError:
        return False
    return health.status_code == 200


def _launch(words: Sequence[str], folder: Path, log: Path) -> psutil.Process:
    if not folder.is_dir():
        raise ConfigError(f"its folder {folder} is gone: start it anew, with its models")
    return processes.launch([sys.executable, "-m", "tabstudio", "serve", *words], folder, log)


def _wait_for_url(process: psutil.Process, log: Path, begin: int) -> str:
    """Wait for the line of the output that has the URL."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        gone = not processes.alive(process)
        with log.open("rb") as file:
            file.seek(begin)
            output = file.read().decode(errors="replace")
        if match := _URL.search(output):
            return match[1]
        if gone:
            raise TabstudioError(f"the service ended before it answered:\n{_last_lines(output)}")
        time.sleep(_POLL_SECONDS)
    raise TabstudioError(f"the service did not answer within {START_SECONDS:g} s:\n{_last_lines(output)}")


def _last_lines(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-15:]) or "(it said nothing)"


def _stop(process: psutil.Process) -> None:
    workers = process.children(recursive=True)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        processes.kill([process, *workers])
