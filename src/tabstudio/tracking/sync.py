"""The process that brings the spool to MLflow: `python -m tabstudio.tracking.sync --spool FOLDER`.

It is started by a recorder, or by `tabstudio sync` with `--all`. On its input come lines `run ID` and
`finish ID`; on its output go JSON lines: `{"problem": ...}` when the store cannot be used or can again, and a
report for each run that was delivered or given up for now. Whatever goes wrong, the spool keeps what was not
delivered.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import select
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tabstudio.errors import TrackingError
from tabstudio.settings import SETTINGS
from tabstudio.tracking.spool import RunFolder, runs
from tabstudio.tracking.sqlite_template import sqlite_file

if TYPE_CHECKING:
    from tabstudio.tracking.courier import Courier
    from tabstudio.tracking.environment import Sampler
    from tabstudio.tracking.mlflow_store import MlflowStore

TRIES = 3
"""So many failures in a row after the end of a run, and it is left to `tabstudio sync`."""

LONGEST_PAUSE = 30.0
POLL = 0.03
GRACE = 5.0


@dataclass(slots=True)
class Route:
    """One run on its way, and how the last attempts went."""

    folder: RunFolder
    courier: Courier
    sampler: Sampler | None = None
    claimed: bool = False
    finishing: bool = False
    failures: int = 0
    retry_at: float = 0.0
    error: str = ""
    reported: bool = False

    @property
    def over(self) -> bool:
        """Delivered, or given up for now."""
        return self.courier.done or (self.finishing and self.failures >= TRIES)


class Sync:
    """The delivery loop: the recorder's own runs come first, then those that other processes left."""

    def __init__(
        self, spool: Path, tracking_uri: str | None, registry_uri: str | None, everything: bool, answers: int
    ) -> None:
        self.spool, self.tracking_uri, self.registry_uri = spool, tracking_uri, registry_uri
        self.everything, self.answers = everything, answers
        self.parent, self.alone_since = os.getppid(), 0.0
        self.own: dict[str, Route] = {}
        self.left: list[Route] = []
        self.problem = ""
        self._input = b""
        self._servers: dict[tuple[str, str, str], MlflowStore] = {}

    def run(self) -> None:
        """Deliver until the recorder's process has ended and nothing is left to deliver."""
        if not self.everything:
            self._warm_up()
        self._find_left_behind()
        while True:
            moved = [self._turn(route) for route in self.own.values()]
            if not any(moved):
                moved += [self._turn(route) for route in self.left]
            if self.alone_since and not any(moved) and self._nothing_to_do():
                return
            self._listen(0.0 if any(moved) else POLL)

    def _warm_up(self) -> None:
        """Import all that is needed; open the store when there is a run, and tell early of its faults.

        Before that nothing is made: a training that refuses its table leaves no database.
        """
        from tabstudio.tracking.mlflow_model import requirements

        requirements()
        if sqlite_file(self.tracking_uri or ""):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - half a second, while others work
        while not self.own and not self.alone_since:
            self._listen(POLL)
        if self.own:
            try:
                self._open(self.tracking_uri or "", self.registry_uri or "", str(Path.cwd()))
            except TrackingError as error:
                self._tell_problem(str(error))

    def _open(self, tracking_uri: str, registry_uri: str, folder: str) -> MlflowStore:
        from tabstudio.tracking.mlflow_store import MlflowStore

        key = (tracking_uri, registry_uri, folder)
        if key not in self._servers:
            self._servers[key] = MlflowStore(*key)
        self._servers[key].use()
        return self._servers[key]

    def _connect(self, folder: RunFolder) -> MlflowStore:
        about = folder.about
        if self.everything and self.tracking_uri:
            return self._open(self.tracking_uri, self.tracking_uri, about.cwd)
        return self._open(about.tracking_uri, about.registry_uri, about.cwd)

    def _route(self, folder: RunFolder) -> Route:
        from tabstudio.tracking.courier import Courier

        return Route(folder, Courier(folder, self._connect))

    def _find_left_behind(self) -> None:
        """Claim undelivered runs: all of them on request, else those without a writing process."""
        for folder in runs(self.spool):
            if (self.everything or folder.left()) and folder.claim():
                route = self._route(folder)
                route.claimed = route.finishing = True
                self.left.append(route)

    def _turn(self, route: Route) -> bool:
        if route.over or time.monotonic() < route.retry_at:
            return False
        try:
            if not route.claimed:
                if not route.folder.path.exists():  # delivered by another process
                    route.courier.done = True
                    return False
                route.claimed = route.folder.claim()
                route.courier = self._route(route.folder).courier
                return route.claimed
            self._sample(route)
            moved = route.courier.step()
        except TrackingError as error:
            self._failed(route, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - a fault of ours or of a store's client must not end the loop
            traceback.print_exc()
            self._failed(
                route, f"delivery failed: {type(error).__name__}: {error}; see {self.spool / 'sync.log'}"
            )
            return False
        route.failures, route.error = 0, ""
        if moved:
            self._tell_problem("")
        if route.courier.done:
            self._report(route)
        return moved

    def _failed(self, route: Route, error: str) -> None:
        route.failures += 1
        route.error = error
        route.retry_at = time.monotonic() + min(0.25 * 2**route.failures, LONGEST_PAUSE)
        self._tell_problem(error)
        if route.over:
            self._report(route)

    def _sample(self, route: Route) -> None:
        from mlflow.entities import Metric

        if route.sampler is None or not route.sampler.due() or len(route.courier.samples) > 20_000:
            return
        stamp = int(time.time() * 1000)
        values = route.sampler.sample()
        step = route.sampler.count - 1
        route.courier.samples += [Metric(key, value, stamp, step) for key, value in values.items()]

    def _nothing_to_do(self) -> bool:
        """True when every run is over, or cannot go on: its process lives, or others deliver it."""
        waited = time.monotonic() - self.alone_since > GRACE
        for route in (*self.own.values(), *self.left):
            if route.over:
                continue
            if route.failures or not (waited or (self.everything and route.folder.alive())):
                return False
        return True

    def _listen(self, seconds: float) -> None:
        if self.alone_since:
            time.sleep(seconds)
            return
        if os.getppid() != self.parent:
            self._left_alone()
        elif select.select([0], [], [], seconds)[0]:
            data = os.read(0, 2**16)
            *lines, self._input = (self._input + data).split(b"\n")
            for line in lines:
                self._told(*line.decode().split())
            if not data:
                self._left_alone()

    def _left_alone(self) -> None:
        self.alone_since = time.monotonic()
        for route in self.own.values():
            route.finishing = True

    def _told(self, what: str, run_id: str) -> None:
        if what == "run":
            for route in self.own.values():  # a long session: a server that was away may be back
                route.failures = 0
            self.own[run_id] = self._own_route(run_id)
            return
        route = self.own[run_id]
        route.finishing, route.failures, route.retry_at = True, 0, 0.0

    def _own_route(self, run_id: str) -> Route:
        """Return the route of our recorder's run. Was the recorder killed, it is among those left behind."""
        from tabstudio.tracking.environment import Sampler

        for route in self.left:
            if route.folder.about.id == run_id:
                self.left.remove(route)
                return route
        route = self._route(RunFolder(self.spool / "runs" / run_id))
        if not (route.folder.about.parent or route.folder.about.into):
            route.sampler = Sampler.of(route.folder.about.pid, route.folder.path)
        return route

    def _report(self, route: Route) -> None:
        if route.reported:
            return
        state = route.folder.state
        route.reported = route.courier.done
        self._say(
            {
                "id": route.folder.about.id,
                "done": route.courier.done,
                "run_id": state.run_id,
                "experiment_id": state.experiment_id,
                "model_uri": state.model_uri,
                "version": state.version,
                "pending": 0 if route.courier.done else route.folder.pending(),
                "error": route.error,
                "notes": state.notes,
            }
        )

    def _tell_problem(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._say({"problem": problem})

    def _say(self, message: Mapping[str, object]) -> None:
        try:
            os.write(self.answers, json.dumps(message).encode() + b"\n")
        except BrokenPipeError:  # nobody listens any more; the spool is what counts
            return


def _give_way() -> None:
    """Take the processor after the training that we deliver for.

    A session of its own is a scheduling group of its own on Linux, which has to give way, too.
    """
    os.nice(10)
    group = Path("/proc/self/autogroup")
    with contextlib.suppress(OSError):  # a kernel without such groups
        if group.exists():
            group.write_text("10")


def main() -> None:
    """Run the loop, then leave at once: taking the interpreter apart would cost a second."""
    parser = argparse.ArgumentParser(prog="python -m tabstudio.tracking.sync", description=__doc__)
    parser.add_argument("--spool", type=Path, required=True, help="the folder of the spool")
    parser.add_argument("--tracking-uri", help="the store of runs")
    parser.add_argument("--registry-uri", help="the store of registered models")
    parser.add_argument("--all", action="store_true", help="deliver all that waits, then end")
    options = parser.parse_args()
    for setting in SETTINGS:
        if setting.name.startswith(("MLFLOW_HTTP", "MLFLOW_DISABLE")):
            os.environ.setdefault(setting.name, setting.default)
    # MLflow's client prints to the standard output: that goes to the log, the answers elsewhere.
    answers = os.dup(1)
    os.dup2(2, 1)
    if not options.all:
        _give_way()
    # Nothing that an import makes is garbage: collecting meanwhile doubles the time of importing MLflow.
    gc.disable()
    import tabstudio.tracking.courier  # noqa: F401

    gc.freeze()
    # SQLAlchemy makes some fifty objects of a point, and lets go of them by itself: to look for cycles every
    # 700 objects takes 40 % of the time.
    gc.set_threshold(100_000, 20, 50)
    gc.enable()
    code = 0
    try:
        Sync(options.spool, options.tracking_uri, options.registry_uri, options.all, answers).run()
    except Exception:  # noqa: BLE001 - printed to the log; os._exit below would swallow it
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
