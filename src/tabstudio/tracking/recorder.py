"""The training process's end of tracking: runs go to the spool, a process of its own brings them to MLflow.

MLflow is never imported here. The delivering process is started with the recorder, before torch is
imported, so that MLflow's import and the set-up of its database pass while the training process works.
With TABSTUDIO_DELIVERY=later none is started: the spool waits for `tabstudio sync`.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from tabstudio.errors import TrackingError
from tabstudio.settings import (
    delivers_later,
    registry_address,
    setting,
    shown,
    spool_folder,
    tracking_address,
)
from tabstudio.tracking.run import Run
from tabstudio.tracking.spool import Journal, RunFolder, runs

_LOG_BYTES = 2**20
PATIENCE = 180.0
"""Seconds that a finished job waits until MLflow has all of it, at most: the delivering process gives way to
others on a busy machine. A server that cannot be reached is not waited for."""
_LATER = "TABSTUDIO_DELIVERY=later: `tabstudio sync` brings them to MLflow"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What MLflow has of a run. `pending` counts what still waits in the spool, `error` says why.

    `postponed` is true where nothing was sent because TABSTUDIO_DELIVERY=later asks for that. `run_id` is
    MLflow's. `model_uri` is `models:/<name>/<version>`, or `models:/<id>` of a model that was not registered.
    """

    tracking_uri: str
    run_id: str = ""
    experiment_id: str = ""
    model_uri: str = ""
    version: str = ""
    pending: int = 0
    error: str = ""
    notes: tuple[str, ...] = ()
    postponed: bool = False

    @property
    def complete(self) -> bool:
        """True when MLflow has everything."""
        return not self.pending and not self.error

    @property
    def hint(self) -> str:
        """Where to look: an address, or the command that opens MLflow's pages."""
        if self.postponed:
            return "tabstudio sync"
        address = shown(self.tracking_uri)
        if not address.startswith("http"):
            return f"mlflow ui --backend-store-uri {address}"
        return f"{address.rstrip('/')}/#/experiments/{self.experiment_id}/runs/{self.run_id}"

    def __str__(self) -> str:
        if self.complete:
            return (
                f"MLflow has run {self.run_id}{f', {self.model_uri}' if self.model_uri else ''}: {self.hint}"
            )
        return f"{self.pending} records wait in the spool. {self.error}"


class Recorder:
    """Starts runs and the process that delivers them.

    `spool` is a folder, by default the setting TABSTUDIO_HOME; the addresses are by default MLflow's own
    settings. With TABSTUDIO_DELIVERY=later no process is started, and everything waits for `tabstudio sync`.
    Raises `ConfigError` for an address of no known kind and `TrackingError` for a spool that cannot be
    written.
    """

    def __init__(
        self,
        spool: str | Path | None = None,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
    ) -> None:
        self.spool = spool_folder(spool)
        self.tracking_uri = tracking_address(tracking_uri)
        self.registry_uri = registry_address(registry_uri, self.tracking_uri)
        self._problem = ""
        self._reports: dict[str, dict[str, Any]] = {}
        self._runs: list[Run] = []
        self._process = None if delivers_later() else self._launched()

    def start(
        self,
        experiment: str | None = None,
        run_name: str | None = None,
        tags: Mapping[str, object] | None = None,
        source: str | None = None,
        parent: Run | None = None,
        start_time: int | None = None,
        *,
        held: bool = False,
    ) -> Run:
        """Start a run. `source` is what MLflow shows as its origin, by default the command line.

        The experiment is by default that of the parent, then the one of the environment, then one of the
        run's own name. `start_time` is in milliseconds since 1970, by default now. A child of `parent` is
        cheap: what describes the machine and the environment stands in its parent, as do their samples. A
        run that is `held` back is recorded as any other; where it goes is settled by `send`.
        """
        about = {
            "tracking_uri": self.tracking_uri,
            "registry_uri": self.registry_uri,
            "experiment": experiment
            or (parent and parent.experiment)
            or setting("MLFLOW_EXPERIMENT_NAME")
            or run_name
            or "Default",
            "run_name": run_name or time.strftime("%Y-%m-%d %H:%M:%S"),
            "source": source or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "tags": {key: str(value) for key, value in (tags or {}).items()},
            "start_time": int(time.time() * 1000) if start_time is None else start_time,
            "parent": parent.id if parent else "",
        }
        run = Run(Journal(self.spool, about), self._finished, str(about["experiment"]))
        self._runs.append(run)
        if not held:
            self._tell(f"run {run.id}")
        return run

    def send(self, run: Run, **where: str) -> None:
        """Let a run that was held back go, where `Recorder` was made for or elsewhere.

        Such are `tracking_uri`, `registry_uri`, `experiment`, and `into`: MLflow's id of a run that somebody
        else has made and will end. Into that one everything is brought when it is over (`Run.over`, or the
        end of our run), and what has a name that is taken there by then is left out: it is never there
        twice, and never in the way.
        """
        if where:
            run.readdress(**where)
        self._tell(f"run {run.id}")

    @property
    def problem(self) -> str:
        """Why MLflow cannot be reached at this moment, '' while all is well. Never waits."""
        self._listen(0.0)
        return self._problem

    def wait(self, seconds: float = 30.0, run: Run | None = None) -> Delivery:
        """Wait until MLflow has a run, by default the last; at most so long, and not for a dead server.

        Nothing is waited for with TABSTUDIO_DELIVERY=later. Raises `TrackingError` where no run was started.
        """
        if not self._runs:
            raise TrackingError("no run was started: nothing can be waited for")
        run = run or self._runs[-1]
        deadline = time.monotonic() + seconds
        restarted = self._process is None
        while run.id not in self._reports and (left := deadline - time.monotonic()) > 0:
            if self._listen(left) or run.id in self._reports:
                continue
            if restarted:
                break
            # The delivering process has ended without a report, killed for memory for example.
            restarted = True
            if not (self.spool / "runs" / run.id).exists():
                break
            if self._process is not None:
                self._process.release()
            self._process = self._launched()
            self._process.tell(f"run {run.id}", f"finish {run.id}")
        return self._delivery(run)

    def close(self) -> None:
        """Let the delivering process go; what it has begun it finishes by itself."""
        for run in self._runs:
            run.leave()
        if self._process is not None:
            self._process.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _launched(self) -> _Process:
        return _Process(self.spool, self.tracking_uri, self.registry_uri)

    def _tell(self, line: str) -> None:
        if self._process is not None:
            self._process.tell(line)

    def _finished(self, run_id: str) -> None:
        self._tell(f"finish {run_id}")

    def _listen(self, seconds: float) -> bool:
        """Read the delivering process's reports; False after its last one."""
        lines = None if self._process is None else self._process.hear(seconds)
        for message in lines or ():
            if "problem" in message:
                self._problem = message["problem"]
            else:
                self._reports[message.pop("id")] = message
        return lines is not None

    def _delivery(self, run: Run) -> Delivery:
        known = dict(self._reports.get(run.id, {}))
        if known.pop("done", False):
            known["notes"] = tuple(known["notes"])
            return Delivery(self.tracking_uri, **known)
        try:
            folder = RunFolder(self.spool / "runs" / run.id)
            pending = folder.pending()
        except FileNotFoundError:  # delivered by another process
            return Delivery(self.tracking_uri, notes=run.notes)
        return Delivery(
            self.tracking_uri,
            run_id=folder.state.run_id,
            experiment_id=folder.state.experiment_id,
            pending=pending,
            error=known.get("error") or self._problem or (_LATER if self._process is None else self._late()),
            notes=(*run.notes, *folder.state.notes),
            postponed=self._process is None,
        )

    def _late(self) -> str:
        return f"{shown(self.tracking_uri)}: it takes long; nothing is lost: `tabstudio sync` brings the rest"


class _Process:
    """The delivering process and the two pipes to it."""

    def __init__(self, spool: Path, tracking_uri: str, registry_uri: str) -> None:
        self._partial = b""
        with _log(spool) as log:
            self._popen = _launch(spool, log, "--tracking-uri", tracking_uri, "--registry-uri", registry_uri)

    def tell(self, *lines: str) -> None:
        """Write to it. If it has died, what it would have read stands in the spool anyway."""
        try:
            os.write(self._popen.stdin.fileno(), "".join(f"{line}\n" for line in lines).encode())  # type: ignore[union-attr]
        except BrokenPipeError:
            return

    def hear(self, seconds: float) -> list[dict[str, Any]] | None:
        """Return its next reports, waiting at most so many seconds; None after its end."""
        out = self._popen.stdout
        if out is None or out.closed:
            return None
        if not select.select([out], [], [], seconds)[0]:
            return []
        data = os.read(out.fileno(), 2**16)
        if not data:
            return None
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def release(self) -> None:
        """Close the pipes. It ends by itself: it may have to deliver for longer than this process lives."""
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._popen.wait(0.2)
        except subprocess.TimeoutExpired:
            self._popen.returncode = 0  # known to live on: `Popen` must not warn about it


def _launch(spool: Path, log: IO[bytes], *options: str) -> subprocess.Popen[bytes]:
    # -P: a file of the user's working folder must not stand in for a module of the standard library.
    # Its own session: Ctrl-C is meant for the training, which then ends the run in order.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tabstudio.tracking.sync", "--spool", str(spool), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
    )


def _log(spool: Path) -> IO[bytes]:
    try:
        spool.mkdir(parents=True, exist_ok=True)
        path = spool / "sync.log"
        long = path.exists() and path.stat().st_size > _LOG_BYTES
        return path.open("wb" if long else "ab")
    except OSError as error:
        raise TrackingError(
            f"the spool {spool} cannot be written ({error.strerror}); name another folder in TABSTUDIO_HOME"
        ) from error


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What `deliver` did: a delivery for each run that waited."""

    deliveries: tuple[Delivery, ...]

    @property
    def complete(self) -> bool:
        """True when nothing waits any more."""
        return all(delivery.complete for delivery in self.deliveries)

    def __str__(self) -> str:
        return "\n".join(map(str, self.deliveries)) or "nothing waits in the spool"


def deliver(spool: str | Path | None = None, *, tracking_uri: str | None = None) -> SyncResult:
    """Bring everything that waits in a spool to MLflow; to `tracking_uri`, where the server has moved.

    Runs whose process is gone are ended as KILLED. A run of a process that lives stays open.
    """
    folder = spool_folder(spool)
    waiting = {run.about.id: run for run in runs(folder)}
    if not waiting:
        return SyncResult(())
    options = ["--all"]
    if tracking_uri:
        options += ["--tracking-uri", tracking_address(tracking_uri)]
    with _log(folder) as log:
        answer, _ = _launch(folder, log, *options).communicate()
    reports = {report["id"]: report for report in map(json.loads, answer.splitlines()) if "id" in report}
    return SyncResult(
        tuple(_brought(run, reports.get(run_id, {}), tracking_uri) for run_id, run in waiting.items())
    )


def _brought(run: RunFolder, report: dict[str, Any], tracking_uri: str | None) -> Delivery:
    known = {key: value for key, value in report.items() if key not in ("id", "done")}
    known["notes"] = tuple(known.get("notes", ()))
    if not report:
        known["pending"] = run.pending()
        known["error"] = "its own process delivers it, or it was not reached"
    return Delivery(tracking_uri or run.about.tracking_uri, **known)
