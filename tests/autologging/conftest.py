"""A session whose runs are read from the spool: no MLflow, so that a test of a loop takes milliseconds."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tabstudio.autologging.launch.session import AutologOptions, AutologSession
from tabstudio.tracking import Run
from tabstudio.tracking.spool import Journal, RunFolder


class Spooled:
    """Stands for a recorder: the runs are real, and nobody delivers them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids: list[str] = []

    def start(self, experiment=None, run_name=None, tags=None, source=None, **_):
        about = {
            "tracking_uri": "sqlite:////nowhere/mlflow.db",
            "registry_uri": "sqlite:////nowhere/mlflow.db",
            "experiment": experiment or "e",
            "run_name": run_name or "r",
            "source": source or "s",
            "tags": tags or {},
            "start_time": int(time.time() * 1000),
        }
        run = Run(Journal(self.folder, about), lambda _: None, "watched")
        self.ids.append(run.id)
        return run

    def send(self, run, **where):
        run.readdress(**where)

    def close(self):
        pass


class Recorded:
    """What a session has recorded: by run, then by name."""

    def __init__(self) -> None:
        self.runs: list[Recorded] = []
        self.params: dict[str, str] = {}
        self.metrics: dict[str, list[tuple[int, float]]] = {}
        self.tags: dict[str, str] = {}
        self.artifacts: dict[str, bytes] = {}
        self.datasets: list[dict] = []
        self.models: dict[str, dict] = {}
        self.status = ""
        self.warnings: list[str] = []
        self.told: list[str] = []

    def values(self, name: str) -> list[float]:
        """The values of a metric of the first run."""
        return [value for _, value in self.runs[0].metrics.get(name, [])]

    def steps(self, name: str) -> list[int]:
        """The steps of a metric of the first run."""
        return [step for step, _ in self.runs[0].metrics.get(name, [])]


def read_run(folder: Path) -> Recorded:
    """Read one run back from the spool."""
    run, spooled = Recorded(), RunFolder(folder)
    while events := spooled.read():
        for offset, event in events:
            spooled.state.offset = offset
            if isinstance(event, list):
                _, name, value, step, _ = event
                run.metrics.setdefault(name, []).append((step, value))
            elif event["kind"] == "params":
                run.params |= event["values"]
            elif event["kind"] == "tags":
                run.tags |= event["values"]
            elif event["kind"] == "artifact":
                for path in (folder / event["place"]).iterdir():
                    run.artifacts["/".join(filter(None, [event["to"], path.name]))] = path.read_bytes()
            elif event["kind"] == "dataset":
                run.datasets.append(event)
            elif event["kind"] == "model":
                run.models[event["name"]] = {**event, "folder": folder / event["place"]}
            elif event["kind"] == "finish":
                run.status = event["status"]
    return run


@pytest.fixture
def watched(tmp_path, capsys):
    """A context in which a loop is watched by the given observers; gives what was recorded of it."""

    @contextmanager
    def watch(*observers, **options):
        recorder = Spooled(tmp_path / "spool")
        session = AutologSession(AutologOptions(**options), recorder)
        for observer in observers or _loops():
            session.observe(observer)
        recorded = Recorded()
        try:
            yield recorded
        finally:
            session.close()
            recorded.runs = [read_run(tmp_path / "spool" / "runs" / id_) for id_ in recorder.ids]
            recorded.told = capsys.readouterr().err.splitlines()
            recorded.warnings = [line for line in recorded.told if line.startswith("tabstudio:")]

    return watch


def _loops():
    from tabstudio.autologging.observers.training_loop import TrainingLoopObserver

    return [TrainingLoopObserver()]


def points(path: Path) -> list:
    """The metric points of a journal."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("[")]
