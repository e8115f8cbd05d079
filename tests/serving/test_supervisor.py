"""The supervisor: what fails once is tried again, and nothing is left behind on the disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tabstudio.serving import supervisor as supervisor_module
from tabstudio.serving.serve_options import ServedModel, ServeOptions
from tabstudio.serving.supervisor import Supervisor, VersionSlot, WorkerProcess
from tabstudio.serving.version_lookup import ResolvedVersion


@pytest.fixture
def supervisor(tmp_path: Path) -> Any:
    options = ServeOptions((ServedModel("m", "models:/m@live"),), port=0, scratch=str(tmp_path))
    announced: list[str] = []
    made = Supervisor(options, announced.append)
    made.announced = announced  # type: ignore[attr-defined]
    yield made
    made.socket.close()


def download(scratch: Path, name: str) -> Path:
    folder = scratch / f"tabstudio-model-{name}" / "bundle"
    folder.mkdir(parents=True)
    return folder


class RefusingChannel:
    """A worker that refuses every version."""

    supervisor: Supervisor

    def send(self, **message: Any) -> None:
        if message["command"] == "load":
            reply = {"event": "refused", "error": "it is broken"}
            self.supervisor._replies.pop((0, message["id"])).set_result(reply)


def test_a_refused_version_leaves_no_download_behind(
    supervisor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (slot,) = supervisor.slots
    served = download(tmp_path, "served")
    supervisor.versions = {slot: ResolvedVersion("1", "1", served)}
    numbers = iter(range(9))
    monkeypatch.setattr(supervisor_module, "version_identity", lambda _: "2")
    monkeypatch.setattr(
        supervisor_module,
        "resolve_version",
        lambda _: ResolvedVersion("2", "2", download(tmp_path, str(next(numbers)))),
    )

    async def scenario() -> list[str]:
        channel = RefusingChannel()
        channel.supervisor = supervisor
        process = SimpleNamespace(returncode=None)
        worker = WorkerProcess(0, process, channel, asyncio.Event())  # type: ignore[arg-type]
        worker.ready.set()
        supervisor.workers = {0: worker}
        return [await supervisor._follow(slot) for _ in range(3)]

    assert asyncio.run(scenario()) == ["it is broken"] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["tabstudio-model-served"]
    assert served.is_dir()
    assert supervisor._replies == {}


def test_a_worker_that_cannot_be_started_is_tried_again(
    supervisor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "_FIRST_PAUSE", 0.001)
    attempts: list[int] = []

    class Channel:
        async def close(self) -> None:
            return

    class Ended:
        async def wait(self) -> int:
            if len(attempts) == 3:
                supervisor._stopping.set()
            return -9

    def worker(number: int) -> WorkerProcess:
        made = WorkerProcess(number, Ended(), Channel(), asyncio.Event())  # type: ignore[arg-type]
        made.ready.set()
        return made

    async def spawn(number: int) -> WorkerProcess:
        attempts.append(number)
        if len(attempts) < 3:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return worker(number)

    monkeypatch.setattr(supervisor, "_spawn", spawn)
    monkeypatch.setattr(supervisor, "_begin", lambda _: None)

    async def scenario() -> None:
        async with asyncio.timeout(5):
            await supervisor._replace_dead(worker(0))

    asyncio.run(scenario())
    assert attempts == [0, 0, 0]
    assert sum("Resource temporarily unavailable" in line for line in supervisor.announced) == 2


def test_slots_are_the_live_versions_and_their_candidates(supervisor: Any) -> None:
    assert supervisor.slots == [VersionSlot("m", "live", "models:/m@live")]
