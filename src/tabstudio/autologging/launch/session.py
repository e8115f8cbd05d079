"""The one session of a process: it owns the recorder, the runs and the observers."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from tabstudio.autologging.events import Observer, WatchedTraining
from tabstudio.autologging.instrument.patches import ImportHooks
from tabstudio.tracking import Recorder, Run
from tabstudio.tracking.run import Status

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AutologOptions:
    """What `tabstudio.autolog` was asked for; see there."""

    experiment: str | None = None
    run_name: str | None = None
    registered_model_name: str | None = None
    log_models: bool = True
    log_datasets: bool = True
    log_every_n_step: int | None = None
    extra_tags: dict[str, str] = field(default_factory=dict)
    silent: bool = False


class AutologSession:
    """Watches this process until it ends or `close` is called.

    `run` is the run that things belong to at this moment. It is started when something is recorded first, and
    never in a process that is not the one to record (a forked worker, a DDP rank other than 0).
    """

    def __init__(self, options: AutologOptions, recorder: Recorder, source: str | None = None) -> None:
        self.options = options
        self.recorder = recorder
        self.source = source
        self.imports = ImportHooks()
        self.trainings: list[WatchedTraining] = []
        self.runs: list[Run] = []
        self.joined: list[Run] = []
        self.holds = False
        self.spawned = False
        self._run: Run | None = None
        self._held: list[Run] = []
        self._observers: list[Observer] = []
        self._warned: set[str] = set()
        self._muted = self._forked = self._closed = self._idle = False
        os.register_at_fork(after_in_child=self._in_child)

    @property
    def closed(self) -> bool:
        """Say whether the session has ended."""
        return self._closed

    @property
    def here(self) -> bool:
        """Say whether this process, at this moment, is the one that records."""
        return not self._idle

    @property
    def muted(self) -> bool:
        """Whether what happens now is not to be recorded."""
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._muted = muted
        self._idle = self._closed or self._muted or self._forked

    @property
    def run(self) -> Run:
        """The current run, started now if there is none."""
        return self._run or self.start_run()

    @run.setter
    def run(self, run: Run) -> None:
        self._run = run

    def start_run(self) -> Run:
        """Start a run of our own. It is held back until a training begins, or longer where `holds` is set."""
        options = self.options
        run = self.recorder.start(
            options.experiment, options.run_name, dict(options.extra_tags), self.source, held=True
        )
        self._run = run
        self.runs.append(run)
        self._held.append(run)
        self.tell("run_began", run)
        return run

    def join(self, **where: str) -> None:
        """Let the current run go into one of the script's own, or another one where it has gone already."""
        if self._run not in self._held:
            self.start_run()
        self.joined.append(self.run)
        self._held.remove(self.run)
        self.recorder.send(self.run, **where)

    def send(self, **where: str) -> None:
        """Let go what was held back."""
        for run in self._held:
            self.recorder.send(run, **where)
        self._held.clear()

    def metrics(self, values: Mapping[str, float], step: int = 0, run: Run | None = None) -> None:
        """Record metrics in a run, by default the current one."""
        (run or self.run).metrics(values, step)

    def params(self, values: Mapping[str, object], run: Run | None = None) -> None:
        """Record parameters of a run, by default the current one; the first value of each name stands."""
        (run or self.run).params(values)

    def begin_training(self) -> WatchedTraining:
        """Begin a training: in the current run, or where that has one already, in a run of its own.

        A run of the script's own holds as many trainings as it likes.
        """
        before = sum(training.run is self._run for training in self.trainings)
        if before and self._run not in self.joined:
            self.start_run()
            before = 0
        training = WatchedTraining(self.run, f"_{before + 1}" if before else "")
        self.trainings.append(training)
        if not self.holds:
            self.send()
        return training

    def observe(self, observer: Observer) -> None:
        """Install an observer."""
        self._observers.append(observer)
        self._call(observer, "install", self)

    def tell(self, event: str, *what: object) -> None:
        """Call the method `event` of every observer."""
        if self.here:
            for observer in tuple(self._observers):
                self._call(observer, event, *what)

    def guarded(self, observer: Observer, function: Callable[..., T]) -> Callable[..., T | None]:
        """Return `function` for use in a hook or a patch: an exception removes the observer, no more."""

        @functools.wraps(function)
        def guard(*args: object) -> T | None:
            if self._idle:
                return None
            try:
                return function(*args)
            except Exception as error:  # noqa: BLE001 - the user's training must not feel our faults
                self._failed(observer, error)
                return None

        return guard

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """What is computed inside is our own, and not looked at."""
        before, self.muted = self.muted, True
        try:
            yield
        finally:
            self.muted = before

    def warn(self, message: str) -> None:
        """Tell the user something, once, on stderr; not where `silent` was asked for."""
        if message not in self._warned:
            self._warned.add(message)
            if not self.options.silent:
                print(f"tabstudio: {message}", file=sys.stderr)  # noqa: T201 - the session's one voice

    def close(self, status: Status = "FINISHED", error: BaseException | None = None) -> None:
        """End everything, and let the delivering process go. A second call changes nothing."""
        if not self._closed and not self._forked:
            self.end(status, error)
            self.recorder.close()

    def end(self, status: Status = "FINISHED", error: BaseException | None = None) -> None:
        """End trainings, observers and runs; the recorder stays open, to wait for.

        A second call changes nothing.
        """
        if self._closed or self._forked:
            return
        self.tell("process_ends", status)
        self.send()
        for observer in reversed(self._observers):
            self._call(observer, "remove")
        self._observers.clear()
        self.imports.undo()
        self._closed = self._idle = True
        for run in self.runs:
            if error is not None and run.status is None:
                run.fail(error)
            run.finish(status)

    def _in_child(self) -> None:
        """A forked worker records nothing: it shares its parent's files."""
        self._forked = self._idle = True

    def _call(self, observer: Observer, event: str, *what: object) -> None:
        try:
            getattr(observer, event)(*what)
        except Exception as error:  # noqa: BLE001 - see `guarded`
            self._failed(observer, error)

    def _failed(self, observer: Observer, error: Exception) -> None:
        if observer not in self._observers:
            return
        self._observers.remove(observer)
        self.warn(
            f"watching {observer.name} stops after a fault of its own ({type(error).__name__}: {error}); "
            "your code goes on; please report it"
        )
        try:
            observer.remove()
        except Exception:  # noqa: BLE001 - told above; nothing more can be done
            traceback.print_exc()
