"""A job's diary: its request and its progress, one JSON object a line, appended only.

The process of the job writes it; readers read on from where they left. A line stands in the
kernel's page cache when `write` returns: neither the end of the process nor of the studio takes it back.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tabstudio.studio.services.jobs.job_command import JobRequest

DiaryLine = dict[str, Any]
Ended = Literal["done", "stopped", "failed"]
Point = tuple[int, float, float | None]
"""An epoch's number, its training loss and its validation loss, None where no rows are held out."""


class JobDiary:
    """The writing end. `write` may be called from several threads, and from several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, what: str, **body: object) -> None:
        """Append a line; `at` in it is the time, Unix seconds."""
        line = json.dumps(
            {"what": what, "at": round(time.time(), 3), **body}, ensure_ascii=False, default=str
        )
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, line.encode("utf-8", "surrogatepass") + b"\n")
        finally:
            os.close(file)

    def request(self) -> JobRequest:
        """Return the first line: what the job was asked for."""
        with self.path.open("rb") as file:
            first: JobRequest = json.loads(file.readline())
        return first


@dataclass(frozen=True, slots=True)
class JobStep:
    """A finished step with its results, one a line; or a warning."""

    at: float
    title: str
    lines: tuple[str, ...] = ()
    warning: bool = False


@dataclass
class JobProgress:
    """The progress of a job, read from its diary.

    `epochs` have ended here, of at most `epochs_wanted`; `trials` have ended of `trials_wanted`, and
    `best` holds the lowest validation loss after so many of them. `seconds_left` is at most what the rest
    takes from `last_line_at` (Unix seconds) on, None where that is unknown. `run_id` is MLflow's. `result`
    is the summary of a job that succeeded, `error` why it failed.
    """

    began: float = 0.0
    last_line_at: float = 0.0
    steps: list[JobStep] = field(default_factory=list)
    epochs: list[Point] = field(default_factory=list)
    epochs_wanted: int = 0
    rows_per_second: float = 0.0
    trials: int = 0
    trials_wanted: int = 0
    best: list[tuple[int, float]] = field(default_factory=list)
    seconds_left: float | None = None
    run_id: str = ""
    stopping: str = ""
    ended: Ended | None = None
    ended_at: float = 0.0
    result: DiaryLine = field(default_factory=dict)
    error: str = ""

    @property
    def share(self) -> float | None:
        """Return the share that is done, from 0 to 1; None while unknown. Most trainings end before 1."""
        if self.ended == "done":
            return 1.0
        done, wanted = self.epochs[-1][0] if self.epochs else 0, self.epochs_wanted
        if self.trials_wanted:
            done, wanted = self.trials, self.trials_wanted
        return min(done / wanted, 1.0) if wanted else None

    def copy(self) -> JobProgress:
        """Return a copy that further lines do not change."""
        return replace(self, steps=self.steps[:], epochs=self.epochs[:], best=self.best[:])

    def take(self, line: DiaryLine) -> None:
        """Apply one line of the diary."""
        self.last_line_at = line["at"]
        apply = getattr(self, f"_on_{line['what']}", None)
        if apply is not None:  # a newer tabstudio may write more
            apply(line)

    def _on_began(self, line: DiaryLine) -> None:
        self.began = line["at"]

    def _on_step(self, line: DiaryLine) -> None:
        self.steps.append(JobStep(line["at"], line["title"], tuple(line["lines"])))
        self.seconds_left = None

    def _on_warning(self, line: DiaryLine) -> None:
        first, *rest = line["text"].splitlines() or [""]
        self.steps.append(JobStep(line["at"], first, tuple(rest), warning=True))

    def _on_epoch(self, line: DiaryLine) -> None:
        self.epochs.append((line["number"], line["train"], line["val"]))
        self.epochs_wanted = line["of"]
        self.rows_per_second, self.seconds_left = line["rows_per_second"], line["left"]

    def _on_trials(self, line: DiaryLine) -> None:
        self.trials, self.trials_wanted, self.seconds_left = line["done"], line["of"], line["left"]
        if line["best"] is not None:
            self.best.append((line["done"], line["best"]))

    def _on_run(self, line: DiaryLine) -> None:
        self.run_id = line["id"]

    def _on_stopping(self, line: DiaryLine) -> None:
        self.stopping = line["who"]

    def _on_result(self, line: DiaryLine) -> None:
        self._end("stopped" if line["partial"] else "done", line)
        self.result = line
        self.run_id = line["run_id"] or self.run_id

    def _on_stopped(self, line: DiaryLine) -> None:
        self._end("stopped", line)

    def _on_failed(self, line: DiaryLine) -> None:
        self._end("failed", line)
        self.error = line["error"]

    def _end(self, how: Ended, line: DiaryLine) -> None:
        self.ended, self.ended_at, self.seconds_left = how, line["at"], None


class DiaryReader:
    """Reads a diary on from where it left. May be called from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._progress = JobProgress()
        self._offset = 0
        self._lock = Lock()

    def read(self) -> JobProgress:
        """Read what is new, and return the progress; an empty one where there is no diary (yet)."""
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    file.seek(self._offset)
                    data = file.read()
            except FileNotFoundError:
                return self._progress.copy()
            whole = data[: data.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.splitlines():
                with suppress(ValueError):  # a full disk cuts a line short: the others still count
                    self._progress.take(json.loads(line.decode("utf-8", "surrogatepass")))
            return self._progress.copy()
