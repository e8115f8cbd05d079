"""Jobs that the studio starts, follows and stops; they are found again after the studio was killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import uuid
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Literal, get_args

import psutil
from sqlalchemy import Connection, RowMapping, insert, select, update

from tabstudio._util import processes
from tabstudio._util.clock import utc_now
from tabstudio.database import Database
from tabstudio.database.tables import jobs as table
from tabstudio.errors import ConfigError, TabstudioError
from tabstudio.options import configure
from tabstudio.recipes.names import stem
from tabstudio.settings import setting
from tabstudio.studio.access.roles import Actor
from tabstudio.studio.services.jobs.diary import DiaryReader, JobDiary, JobProgress
from tabstudio.studio.services.jobs.job_command import JobRequest, job_command
from tabstudio.studio.services.tables.table_folder import TableFolder
from tabstudio.tracking.mlflow_names import check_model_name

JobKind = Literal["train", "sweep"]
JobState = Literal["running", "stopping", "done", "stopped", "failed", "died", "elsewhere"]

STOP_SECONDS = 120.0
"""Seconds that a stopped job may take to save what it has reached; then it is terminated."""
KILL_SECONDS = 10.0
"""Seconds between SIGTERM and SIGKILL."""
_KNOWN = 200
_RECENT = select(table).order_by(table.c.started.desc()).limit(200)


@dataclass(frozen=True, slots=True)
class StudioJob:
    """A job and its state.

    `request` holds kind, table, target, name, options, register, resume and `file`, the table's name.
    `died` is a job whose process is gone without an end in the diary; `elsewhere` one on another machine that
    has not ended. `started` is UTC.
    """

    id: str
    kind: JobKind
    title: str
    state: JobState
    request: JobRequest
    actor: str
    started: str
    machine: str
    pid: int
    progress: JobProgress
    log: Path

    @property
    def going(self) -> bool:
        """Whether it still works, as seen from this machine."""
        return self.state in ("running", "stopping")

    @property
    def command(self) -> str:
        """The command line that does the same."""
        return job_command(self.request)

    def to_json(self) -> dict[str, object]:
        """What the REST API tells of it: everything but the epochs and the steps."""
        progress = self.progress
        return {
            "id": self.id,
            "kind": self.kind,
            "title": self.title,
            "state": self.state,
            "asked": self.request,
            "command": self.command,
            "actor": self.actor,
            "started": self.started,
            "machine": self.machine,
            "share": progress.share,
            "seconds_left": progress.seconds_left,
            "epochs": len(progress.epochs),
            "run_id": progress.run_id,
            "error": progress.error,
            "result": {k: v for k, v in progress.result.items() if k not in ("what", "at")},
        }


class StudioJobs:
    """All jobs in `database`. Tables are those of the folder `tables`. Safe to use from several threads."""

    def __init__(self, database: Database, tables: TableFolder) -> None:
        self.database, self.tables = database, tables
        self._readers: OrderedDict[str, DiaryReader] = OrderedDict()
        self._lock = Lock()
        self._over: set[str] = set()

    def start(
        self,
        who: Actor,
        kind: JobKind,
        name: str,
        target: str,
        options: Mapping[str, Any] | None = None,
        *,
        model: str | None = None,
        register: bool = True,
        resume: bool = False,
    ) -> StudioJob:
        """Start to train, or to search, on a table of the folder; `options` are those of `train`.

        Raises `ForbiddenError` for a viewer, `DataError` where there is no such table, `ConfigError` for
        options that do not exist or fit, and where as many trainings run as may.
        """
        who.check("editor", "start a training")
        return self._begin(
            who, self.ask(kind, name, target, options, model=model, register=register, resume=resume)
        )

    def ask(
        self,
        kind: JobKind,
        name: str,
        target: str,
        options: Mapping[str, Any] | None = None,
        *,
        model: str | None = None,
        register: bool = True,
        resume: bool = False,
    ) -> JobRequest:
        """Return the checked request of `start`: see `StudioJob.request`, `job_command` for the command line.

        Raises `ConfigError` and `DataError` as `start` does.
        """
        if kind not in get_args(JobKind):
            raise ConfigError(f"kind: train or sweep was expected, got {kind!r}")
        if not target:
            raise ConfigError("option target: name the column to predict")
        options = dict(options or {})
        configure(**options)
        path = self.tables.find(name)
        return {
            "kind": kind,
            "table": _relative_to_cwd(path),
            "file": name,
            "target": target,
            "name": check_model_name(model or stem(path)),
            "options": options,
            "register": register or kind == "sweep",
            "resume": resume,
        }

    def again(self, who: Actor, job_id: str, *, resume: bool = False) -> StudioJob:
        """Start the same job again; `resume` goes on from its last checkpoint.

        Raises as `start` does.
        """
        who.check("editor", "start a training")
        job = self.find(job_id)
        if job.going:
            raise ConfigError(f"job {job.id}: it is {job.state}: let it end, or stop it first")
        return self._begin(who, job.request | {"resume": resume})

    def list(self, limit: int = 50) -> list[StudioJob]:
        """Return the newest jobs first."""
        with self.database.reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.started.desc()).limit(limit)).mappings()
            return [self._job(row) for row in rows.all()]

    def find(self, job_id: str) -> StudioJob:
        """Return one job. Raises `ConfigError` where there is none of that id."""
        with self.database.reading() as connection:
            return self._job(self._row(connection, job_id))

    def stop(self, who: Actor, job_id: str) -> StudioJob:
        """Let a job save what it has reached and end, by force after `STOP_SECONDS`. Does not wait for it.

        Raises `ForbiddenError` for a viewer, `ConfigError` where it does not run, or runs elsewhere.
        """
        who.check("editor", "stop a training")
        job = self.find(job_id)
        if job.state == "elsewhere":
            raise ConfigError(f"job {job.id}: it runs on {job.machine}: stop it there")
        if job.state != "running":
            raise ConfigError(f"job {job.id}: it is {job.state} already")
        self._diary(job_id).write("stopping", who=who.name)
        process = self._process(job_id)
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)
            Thread(target=_end, args=(process,), daemon=True, name=f"stop {job_id}").start()
        return self.find(job_id)

    def output(self, job_id: str, lines: int = 200) -> tuple[str, ...]:
        """Return the last lines of a job's output: warnings of libraries, a traceback."""
        log = self.find(job_id).log
        if not log.exists():
            return ()
        with log.open(encoding="utf-8", errors="replace") as file:
            return tuple(line.rstrip("\n") for line in file.readlines()[-lines:])

    def token(self, job_id: str = "") -> Hashable:
        """Return what differs once a job, or any of the recent ones, has changed."""
        with self.database.reading() as connection:
            query = _RECENT.where(table.c.id == job_id) if job_id else _RECENT
            rows = connection.execute(query).mappings().all()
        return tuple((row["id"], self._ended(row) or (_size(row["diary"]), _runs(row))) for row in rows)

    def _begin(self, who: Actor, request: JobRequest) -> StudioJob:
        job_id = uuid.uuid4().hex[:12]
        folder = Path(setting("TABSTUDIO_HOME")).absolute() / "jobs"
        folder.mkdir(parents=True, exist_ok=True)
        diary = JobDiary(folder / f"{job_id}.jsonl")
        diary.write("asked", who=who.name, **request)
        try:
            others = self._claim(who, job_id, request, diary.path)
        except BaseException:
            diary.path.unlink()
            raise
        words = [sys.executable, "-P", "-m", "tabstudio.studio.services.jobs.job_process", str(diary.path)]
        try:
            process = processes.launch(words, Path.cwd(), _log(diary.path), _job_environment(who, others))
            self._change(job_id, pid=process.pid, born=process.create_time())
        except (OSError, psutil.NoSuchProcess) as error:
            self._change(job_id, pid=0, born=0.0)
            raise TabstudioError(f"job {job_id}: its process did not start: {error}") from error
        return self.find(job_id)

    def _claim(self, who: Actor, job_id: str, request: JobRequest, diary: Path) -> int:
        """Insert the job as this process's to start; return how many others run on this machine."""
        ours = psutil.Process()
        row = {
            "id": job_id,
            "kind": request["kind"],
            "title": f"{request['name']}: {request['target']} of {Path(request['table']).name}",
            "options": json.dumps(request),
            "folder": str(Path.cwd()),
            "diary": str(diary),
            "actor": who.name,
            "machine": socket.gethostname(),
            "pid": ours.pid,
            "born": ours.create_time(),
            "started": utc_now(),
        }
        most = _most_jobs()
        known, working = self._working()
        with self.database.writing() as connection:
            # No diary is read here, everybody else waits: a job that was claimed just now has not ended yet.
            newer = [row for row in connection.execute(_RECENT).mappings() if row["id"] not in known]
            going = working + sum(map(_runs, newer))
            if going >= most:
                raise ConfigError(
                    f"{going} trainings run, and no more than {most} may at once: wait for one to end, "
                    "stop one, or set TABSTUDIO_TRAININGS"
                )
            connection.execute(insert(table).values(**row))
        return going

    def _working(self) -> tuple[frozenset[str], int]:
        """Return the ids of the recent jobs, and how many of these run on this machine."""
        with self.database.reading() as connection:
            rows = connection.execute(_RECENT).mappings().all()
        return frozenset(row["id"] for row in rows), sum(not self._ended(row) and _runs(row) for row in rows)

    def _change(self, job_id: str, **values: object) -> None:
        with self.database.writing() as connection:
            connection.execute(update(table).where(table.c.id == job_id).values(**values))

    def _row(self, connection: Connection, job_id: str) -> RowMapping:
        row = connection.execute(select(table).where(table.c.id == job_id)).mappings().one_or_none()
        if row is None:
            raise ConfigError(f"job {job_id[:80]}: there is none of that id")
        return row

    def _process(self, job_id: str) -> psutil.Process | None:
        """Return a job's process; None where it is gone, or is being started."""
        with self.database.reading() as connection:
            row = self._row(connection, job_id)
        return None if row["pid"] == os.getpid() else processes.find(row["pid"], row["born"])

    def _diary(self, job_id: str) -> JobDiary:
        with self.database.reading() as connection:
            return JobDiary(Path(self._row(connection, job_id)["diary"]))

    def _reader(self, row: RowMapping) -> DiaryReader:
        with self._lock:
            reader = self._readers.pop(row["id"], None) or DiaryReader(Path(row["diary"]))
            self._readers[row["id"]] = reader
            while len(self._readers) > _KNOWN:
                self._readers.popitem(last=False)
        return reader

    def _ended(self, row: RowMapping) -> bool:
        if row["id"] not in self._over and self._reader(row).read().ended is not None:
            self._over.add(row["id"])  # its diary is not read again to know that
        return row["id"] in self._over

    def _job(self, row: RowMapping) -> StudioJob:
        runs = _runs(row)  # before the diary is read: what it writes last is read then
        progress = self._reader(row).read()
        return StudioJob(
            row["id"],
            row["kind"],
            row["title"],
            _state(row, progress, runs=runs),
            json.loads(row["options"]),
            row["actor"],
            row["started"],
            row["machine"],
            row["pid"],
            progress,
            _log(Path(row["diary"])),
        )


def _state(row: RowMapping, progress: JobProgress, *, runs: bool) -> JobState:
    if progress.ended is not None:
        return progress.ended
    if row["machine"] != socket.gethostname():
        return "elsewhere"
    if runs:
        return "stopping" if progress.stopping else "running"
    return "stopped" if progress.stopping else "died"


def _runs(row: RowMapping) -> bool:
    return row["machine"] == socket.gethostname() and processes.find(row["pid"], row["born"]) is not None


def _log(diary: Path) -> Path:
    return diary.with_suffix(".log")


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return -1


def _relative_to_cwd(path: Path) -> str:
    """Return the path as the job's working folder sees it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _most_jobs() -> int:
    text = setting("TABSTUDIO_TRAININGS")
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"TABSTUDIO_TRAININGS: a whole number above 0 was expected, got {text!r}")
    return int(text)


def _job_environment(who: Actor, others: int) -> dict[str, str]:
    """Who trains, and a fair share of the cores: trainings that outnumber the cores slow each other down."""
    threads = str(max(1, (os.cpu_count() or 1) // (others + 1)))
    share = {"OMP_NUM_THREADS": threads, "POLARS_MAX_THREADS": threads} if others else {}
    return share | os.environ | {"TABSTUDIO_ACTOR": who.name}


def _end(process: psutil.Process) -> None:
    """Wait for the end of a stopped job; use force where it does not come."""
    if _wait_for_end(process, STOP_SECONDS):
        return
    with suppress(psutil.NoSuchProcess):
        helpers = process.children(recursive=True)
        process.terminate()
        if not _wait_for_end(process, KILL_SECONDS):
            processes.kill([process, *helpers])


def _wait_for_end(process: psutil.Process, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not processes.alive(process):
            return True
        time.sleep(0.2)
    return not processes.alive(process)
