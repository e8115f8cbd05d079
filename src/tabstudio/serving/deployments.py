"""Services by name: `tabstudio serve` in the background, remembered in our own tables.

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
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
from sqlalchemy import Connection, delete, insert, select, update

from tabstudio._util import processes
from tabstudio._util.http_client import RequestError, send_request
from tabstudio.database import Database, database_address
from tabstudio.database.tables import deployments as table
from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.settings import registry_address, setting

State = Literal["running", "not answering", "starting", "died", "stopping", "stopped", "elsewhere"]

START_SECONDS = 120.0
STOP_SECONDS = 45.0
"""A service that has not answered what it was asked before by then is ended by force."""
_HEALTH_SECONDS = 2.0
_LOOK_SECONDS = 0.1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_URL = re.compile(r"^serving at (https?://[^\s,]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A service as it is now: what it serves, where it answers, since when (UTC), where its output goes."""

    name: str
    state: State
    url: Annotated[str, "Where it answers, empty until it does."]
    words: Annotated[tuple[str, ...], "What follows `tabstudio serve`."]
    pid: int
    changed: Annotated[str, "UTC, ISO 8601."]
    log: Path
    machine: str


class Deployments:
    """All services that were started by name, in `database`; by default our own tables."""

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
            process = _spawn(json.loads(row["words"]), Path(row["folder"]), log)
            self._change(name, pid=process.pid, born=process.create_time())
            url = _answering(process, log, begin)
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
        return [_seen(row, ask=ask) for row in rows]

    def find(self, name: str, *, ask: bool = True) -> Deployment:
        """One service; `ask` as for `list`. Raises `ConfigError` where there is none of that name."""
        with self.database.reading() as connection:
            return _seen(self._row(connection, name), ask=ask)

    def stop(self, name: str) -> Deployment:
        """Let a service answer what it was asked, and end; by force after `STOP_SECONDS`.

        Raises `ConfigError` where there is none of that name, or it runs on another machine.
        """
        here = self.find(name)
        if here.state == "elsewhere":
            raise ConfigError(f"deployment {name}: it runs on {here.machine}: stop it there")
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
                    time.sleep(_LOOK_SECONDS)

    def _claim(self, name: str, words: Sequence[str]) -> tuple[dict[str, Any], bool]:
        """Write down that we start it, and say whether it is new. Of two who do so, the second is told."""
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"deployment {name!r}: a name of letters, digits, dots, - and _ was expected, at most 64"
            )
        ours = psutil.Process()
        claim = {
            "machine": socket.gethostname(),
            "wanted": True,
            "pid": ours.pid,
            "born": ours.create_time(),
            "url": "",
            "changed": _now(),
        }
        with self.database.writing() as connection:
            found = connection.execute(select(table).where(table.c.name == name).with_for_update())
            known = found.mappings().one_or_none()
            if known is not None:
                _check_free(_seen(known))
            elif not words:
                raise ConfigError(f"deployment {name}: it is new, so name a model: start {name} MODEL")
            if words or known is None:
                log = Path(setting("TABSTUDIO_HOME")).absolute() / "deployments" / f"{name}.log"
                claim |= {"words": json.dumps([*words]), "folder": str(Path.cwd()), "log": str(log)}
            change = update(table).where(table.c.name == name) if known is not None else insert(table)
            connection.execute(change.values(name=name, **claim))
            return dict(self._row(connection, name)), known is None

    def _end(self, name: str) -> None:
        with self.database.reading() as connection:
            row = self._row(connection, name)
        process = _process(row)
        self._change(
            name, wanted=False
        )  # who looks meanwhile sees that it is being stopped, not that it died
        if process is not None and process.pid != os.getpid():
            _stop(process)
        self._change(name, wanted=False, pid=0, born=0.0, url="")

    def _change(self, name: str, **values: Any) -> None:
        with self.database.writing() as connection:
            connection.execute(update(table).where(table.c.name == name).values(changed=_now(), **values))

    def _row(self, connection: Connection, name: str) -> Any:
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
    """The address by which a service of this machine is asked, whatever it listens at."""
    if "127.0.0.1" in url or "[::1]" in url:
        return url
    return f"http://127.0.0.1:{url.rsplit(':', 1)[1]}"


def _seen(row: Any, *, ask: bool = True) -> Deployment:
    """A service as a row and the system tell it."""
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


def _state(row: Any, *, ask: bool) -> State:
    if row["machine"] != socket.gethostname():
        return "elsewhere" if row["wanted"] else "stopped"
    if not row["wanted"]:
        return "stopped" if _process(row) is None else "stopping"
    if _process(row) is None:
        return "died"
    if not row["url"]:
        return "starting"
    return "running" if not ask or _healthy(row["url"]) else "not answering"


def _process(row: Any) -> psutil.Process | None:
    return processes.find(row["pid"], row["born"])


def _healthy(url: str) -> bool:
    try:
        health = send_request("GET", f"{local_url(url)}/health", seconds=_HEALTH_SECONDS, use_proxy=False)
    except RequestError:
        return False
    return health.status_code == 200


def _spawn(words: Sequence[str], folder: Path, log: Path) -> psutil.Process:
    if not folder.is_dir():
        raise ConfigError(f"its folder {folder} is gone: start it anew, with its models")
    return processes.launch([sys.executable, "-m", "tabstudio", "serve", *words], folder, log)


def _answering(process: psutil.Process, log: Path, begin: int) -> str:
    """Wait for the line that says where it answers."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        gone = not processes.alive(process)
        with log.open("rb") as file:
            file.seek(begin)
            said = file.read().decode(errors="replace")
        if found := _URL.search(said):
            return found[1]
        if gone:
            raise TabstudioError(f"the service ended before it answered:\n{_last(said)}")
        time.sleep(_LOOK_SECONDS)
    raise TabstudioError(f"the service did not answer within {START_SECONDS:g} s:\n{_last(said)}")


def _last(said: str) -> str:
    return "\n".join(said.strip().splitlines()[-15:]) or "(it said nothing)"


def _stop(process: psutil.Process) -> None:
    workers = process.children(recursive=True)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        processes.kill([process, *workers])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
