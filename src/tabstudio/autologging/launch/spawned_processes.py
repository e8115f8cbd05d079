"""`torch.multiprocessing.spawn`: of the processes that train one model together, the first one records."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tabstudio.autologging.events import Observer
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.observers.console_output import ConsoleObserver
from tabstudio.tracking.recorder import PATIENCE

if TYPE_CHECKING:
    from tabstudio.autologging.launch.session import AutologOptions, AutologSession
    from tabstudio.tracking.run import Status


class SpawnObserver(Observer):
    """Has the first process watched as this one is; the others, and this one, train nothing of their own."""

    name = "spawned processes"

    def __init__(
        self, start: Callable[..., AutologSession], current: Callable[[], AutologSession | None]
    ) -> None:
        """`start` and `current` give the session of a process; they are module functions, to be pickled."""
        self._start, self._current = start, current

    def install(self, session: AutologSession) -> None:
        """Look on where processes are started. There is no hook for it."""
        self._session = session
        self._patches = Patches()
        session.imports.when("torch.multiprocessing.spawn", self._watch)

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()

    def _watch(self, module: ModuleType) -> None:
        start, session = module.start_processes, self._session

        def watched(
            fn: Callable[..., object],
            args: tuple[object, ...] = (),
            nprocs: int = 1,
            *rest: object,
            **kwargs: object,
        ) -> object:
            if session.here:
                session.spawned = True
                fn = SpawnedFunction(fn, session.options, session.source or "", self._start, self._current)
            return start(fn, args, nprocs, *rest, **kwargs)

        self._patches.set(module, "start_processes", watched)


@dataclass(frozen=True, slots=True)
class SpawnedFunction:
    """What runs in a process in place of `function`: it is watched where `index` is 0."""

    function: Callable[..., object]
    options: AutologOptions
    source: str
    start: Callable[..., AutologSession]
    current: Callable[[], AutologSession | None]

    def __call__(self, index: int, *args: object) -> object:
        """Run in the process of this number."""
        session = self.current()
        if index or os.environ.get("RANK", "0") != "0":
            if session is not None:
                session.muted = True
            return self.function(index, *args)
        if session is None or not session.here:
            session = self._started()
        try:
            result = self.function(index, *args)
        except BaseException as error:
            killed = isinstance(error, KeyboardInterrupt)
            _end(session, "KILLED" if killed else "FAILED", None if killed else error)
            raise
        _end(session, "FINISHED", None)
        return result

    def _started(self) -> AutologSession:
        session = self.start(self.options, self.source or None, watch_end=False)
        if self.source:
            session.observe(ConsoleObserver(Path(str(sys.modules["__main__"].__file__))))
        return session


def _end(session: AutologSession, status: Status, error: BaseException | None) -> None:
    """End the session here: what is registered with `atexit` is not called in such a process."""
    session.end(status, error)
    if session.runs:
        session.warn(str(session.recorder.wait(PATIENCE)))
    session.recorder.close()
