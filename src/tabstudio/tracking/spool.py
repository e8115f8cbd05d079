"""The local spool: what a run has said and MLflow has not received yet.

    .tabstudio/runs/<id>/
        about.json             who writes the run, and where it shall go
        journal-000001.jsonl   what happened, one JSON value a line, appended only
        files/000001/          artifacts and models, copied, each whole before the journal names it
        left                   its recorder was closed: whoever comes next may deliver it
        state.json             how far the delivery has come
        lock                   held by the process that delivers

A journal has one writer, the training process, and one reader, the process that delivers, so there is no
lock to wait for. A line stands in the kernel's page cache when `write` returns: `kill -9` cannot take it
back. That costs 2.5 microseconds a point here; a committed row of SQLite (WAL) costs 11 to 14, and a
buffer in memory would lose what it holds. It works on network folders, too, where SQLite's WAL does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import IO, Any

from tabstudio._util.atomic_files import write_atomic
from tabstudio.errors import TrackingError
from tabstudio.tracking.mlflow_names import Names

SEGMENT_BYTES = 8 * 2**20
"""Size in bytes after which a journal continues in a new file, so that delivered parts can be removed."""

_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Who writes a run, and where it shall go. `started` is in seconds, `start_time` in milliseconds.

    `parent` is the id, in this spool, of the run that this one is a child of. `into` is MLflow's id of a run
    of somebody else's, '' for a run of our own.
    """

    id: str
    pid: int
    host: str
    started: float
    start_time: int
    cwd: str
    tracking_uri: str
    registry_uri: str
    experiment: str
    run_name: str
    source: str
    tags: dict[str, str]
    parent: str = ""
    into: str = ""


@dataclass(slots=True)
class DeliveryState:
    """How far the delivery of a run has come: everything before `offset` of `segment` stands in MLflow.

    `attempted` names the calls that may have reached the server without our knowing: they are looked up
    there before they are repeated. `theirs` are the names that a run of somebody else's had before ours came:
    its parameters, its metrics.
    """

    segment: int = 1
    offset: int = 0
    run_id: str = ""
    experiment_id: str = ""
    described: bool = False
    attempted: list[str] = field(default_factory=list)
    model_id: str = ""
    model_uri: str = ""
    version: str = ""
    notes: list[str] = field(default_factory=list)
    theirs: dict[str, list[str]] | None = None


class RunFolder:
    """One run in the spool, seen by the process that delivers it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.about = RunInfo(**json.loads((path / "about.json").read_text()))
        self.state = self._load()
        self._lock: IO[bytes] | None = None

    def _load(self) -> DeliveryState:
        path = self.path / "state.json"
        return DeliveryState(**json.loads(path.read_text())) if path.exists() else DeliveryState()

    def save(self) -> None:
        """Write the state, whole or not at all."""
        write_atomic(self.path / "state.json", json.dumps(asdict(self.state)).encode(), durable=False)

    def claim(self) -> bool:
        """Take the right to deliver this run. The kernel gives it back when this process ends."""
        import fcntl

        handle = (self.path / "lock").open("ab")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            return False
        self._lock = handle
        self.state = self._load()
        return True

    def read(self, most: int = 2**18) -> list[tuple[int, Any]]:
        """Return the next events, each with the offset behind it; at most about `most` bytes of them.

        A line that cannot be read (a torn write, a damaged disk) gives None and a note.
        """
        while True:
            data = self._chunk(most)
            if data or not self._journal(self.state.segment + 1).exists():
                break
            # The writer never returns to a segment that has a successor, but may have filled this one
            # between our two looks: look once more before leaving it.
            data = self._chunk(most)
            if data:
                break
            self._journal(self.state.segment).unlink(missing_ok=True)
            self.state.segment, self.state.offset = self.state.segment + 1, 0
            self.save()
        events, offset = [], self.state.offset
        for line in data.splitlines(keepends=True):
            offset += len(line)
            events.append((offset, self._parsed(line)))
        return events

    def _parsed(self, line: bytes) -> object:
        try:
            return json.loads(line) if line.strip() else None
        except ValueError:
            self.remark(f"a damaged line of the journal was left out: {line[:60]!r}")
            return None

    def remark(self, note: str) -> None:
        """Keep a note for the run's reader, once."""
        if note not in self.state.notes and len(self.state.notes) < 50:
            self.state.notes.append(note)

    def _journal(self, segment: int) -> Path:
        return self.path / f"journal-{segment:06}.jsonl"

    def _chunk(self, most: int) -> bytes:
        try:
            with self._journal(self.state.segment).open("rb") as file:
                file.seek(self.state.offset)
                data = file.read(most)
                while (end := data.rfind(b"\n")) < 0 and (more := file.read(most)):
                    data += more
        except FileNotFoundError:
            return b""
        return data[: end + 1]

    def pending(self) -> int:
        """Count the events that are not delivered yet."""
        count, offset = 0, self.state.offset
        for segment in range(self.state.segment, self.state.segment + 1_000_000):
            try:
                with self._journal(segment).open("rb") as file:
                    file.seek(offset)
                    count += sum(1 for line in file if line.strip())
            except FileNotFoundError:
                break
            offset = 0
        return count

    def ended(self) -> bool:
        """Return whether its process has finished the run, or the run that it is merged into is over."""
        if (self.path / "over").exists():
            return True
        journals = sorted(self.path.glob("journal-*"))
        with journals[-1].open("rb") as file:
            file.seek(max(0, journals[-1].stat().st_size - 2**16))
            lines = file.read().splitlines()
        return bool(lines) and lines[-1].startswith(b'{"kind": "finish"')

    def left(self) -> bool:
        """Return whether any process may deliver the run: its recorder is closed or its process has ended."""
        return (self.path / "left").exists() or not self.alive()

    def alive(self) -> bool:
        """Say whether the process that writes the run is still there. A slow one is; a reused pid is not it.

        A process on another machine is taken for gone when the run has been silent for an hour.
        """
        import psutil

        if self.about.host != socket.gethostname():
            return time.time() - max(file.stat().st_mtime for file in self.path.iterdir()) < 3600
        try:
            process = psutil.Process(self.about.pid)
            gone = process.status() == psutil.STATUS_ZOMBIE
            return not gone and process.create_time() <= self.about.started + 1.0
        except psutil.NoSuchProcess:
            return False

    def remove(self) -> None:
        """Remove the run from the spool; what it held stands in MLflow."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()


def runs(spool: Path) -> Iterator[RunFolder]:
    """Iterate over the runs in a spool, the oldest first."""
    folder = spool / "runs"
    folders = []
    for path in folder.iterdir() if folder.is_dir() else ():
        # A run that another process is making or removing at this moment has no `about.json`.
        with contextlib.suppress(FileNotFoundError):
            folders.append(RunFolder(path))
    yield from sorted(folders, key=lambda run: run.about.started)


class Journal:
    """The writing end of one run. Safe to use from several threads."""

    def __init__(self, spool: Path, about: Mapping[str, object]) -> None:
        """Make the run's folder. Raises `TrackingError` where the spool cannot be written."""
        self.id = uuid.uuid4().hex
        self.path = spool / "runs" / self.id
        self.notes: list[str] = []
        self.lost = 0
        self._names = _JsonNames()
        self._lock = Lock()
        self._torn = False
        self._segment = self._files = 0
        try:
            (self.path / "files").mkdir(parents=True)
            self._descriptor = self._next()
            here = {"id": self.id, "pid": os.getpid(), "host": socket.gethostname(), "started": time.time()}
            self._about = {**here, "cwd": str(Path.cwd()), **about}
            write_atomic(self.path / "about.json", json.dumps(self._about).encode(), durable=False)
        except OSError as error:
            raise TrackingError(
                f"the spool {spool} cannot be written ({error.strerror}); "
                "name another folder in TABSTUDIO_HOME"
            ) from error

    def _next(self) -> int:
        self._segment += 1
        self._room = SEGMENT_BYTES
        path = self.path / f"journal-{self._segment:06}.jsonl"
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def readdress(self, **where: str) -> None:
        """Change where the run shall go, before anybody delivers it."""
        self._about |= where
        try:
            write_atomic(self.path / "about.json", json.dumps(self._about).encode(), durable=False)
        except OSError as error:
            self._missed(error)

    def points(self, values: Mapping[str, float], step: int, timestamp: int) -> None:
        """Append metric points."""
        names = self._names
        lines = []
        for name, value in values.items():
            text = repr(float(value))
            lines.append(f'["m",{names[name]},{_NOT_FINITE.get(text, text)},{step},{timestamp}]\n')
        self._append("".join(lines).encode())

    def series(self, name: str, values: Iterable[tuple[int, float]], timestamp: int) -> None:
        """Append points of one metric, (step, value) each, in one write."""
        name = self._names[name]
        texts = ((step, repr(float(value))) for step, value in values)
        lines = [f'["m",{name},{_NOT_FINITE.get(text, text)},{step},{timestamp}]\n' for step, text in texts]
        self._append("".join(lines).encode())

    def event(self, kind: str, **body: object) -> None:
        """Append anything else."""
        self._append(json.dumps({"kind": kind, **body}).encode() + b"\n")

    def _append(self, data: bytes) -> None:
        with self._lock:
            try:
                if self._room < 0:
                    done, self._descriptor = self._descriptor, self._next()
                    os.close(done)
                # A full disk cuts a write short: a line end parts the torn line from the next one.
                data = b"\n" + data if self._torn else data
                self._torn = os.write(self._descriptor, data) != len(data)
                self._room -= len(data)
            except OSError as error:
                self._missed(error)
            else:
                if self._torn:
                    self._missed(OSError(28, "No space left on device"))

    def _missed(self, error: OSError) -> None:
        self.lost += 1
        if self.lost == 1:
            self.notes.append(f"the spool {self.path} cannot be written ({error.strerror}): records are lost")

    def keep(self, source: Path | bytes, name: str) -> str | None:
        """Copy a file, a folder or bytes into the spool, whole or not at all; say where it stands.

        None, with a note, where there is no room for it. Raises `TrackingError` where there is no such file.
        """
        if isinstance(source, Path) and not source.exists():
            raise TrackingError(f"artifact {name}: there is no file {source}")
        with self._lock:
            self._files += 1
            relative = f"files/{self._files:06}"
        unfinished = self.path / f"{relative}.part"
        try:
            _copy(source, unfinished / name)
            unfinished.rename(self.path / relative)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            self._missed(error)
            return None
        return relative

    def close(self) -> None:
        """Close the file. Nothing can be appended after it."""
        with self._lock:
            os.close(self._descriptor)

    def over(self) -> None:
        """Note that the other process's run that this one is merged into is over."""
        with contextlib.suppress(OSError):  # a full disk: then it waits for the end of the process
            (self.path / "over").touch()

    def leave(self) -> None:
        """Release the run for another process, if it is not delivered yet."""
        with contextlib.suppress(OSError):  # gone with the delivery; or a full disk, then it is taken later
            (self.path / "left").touch()

    def renamed(self) -> dict[str, str]:
        """Return the metric names that MLflow does not take, each with what it became."""
        return self._names.names.changed()


class _JsonNames(dict[str, str]):
    """Metric names as JSON strings, each made once."""

    def __init__(self) -> None:
        self.names = Names()

    def __missing__(self, name: str) -> str:
        self[name] = json.dumps(self.names[name])
        return self[name]


def _copy(source: Path | bytes, to: Path) -> None:
    to.parent.mkdir(parents=True)
    if isinstance(source, bytes):
        to.write_bytes(source)
    elif source.is_dir():
        shutil.copytree(source, to)
    else:
        shutil.copyfile(source, to)
