"""A worker and its supervisor's commands: nothing stays waiting or loaded that nobody wants any more."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tabstudio.serving import worker as worker_module
from tabstudio.serving.request_hooks import ServingHooks
from tabstudio.serving.worker import Worker


class Channel:
    """What a worker sends; it gets no messages."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, **message: Any) -> None:
        self.sent.append(message)

    async def messages(self) -> Any:
        return
        yield

    async def close(self) -> None:
        return


def make_worker() -> Worker:
    return Worker(None, Channel(), 0)  # type: ignore[arg-type]


def test_a_version_dropped_while_it_loads_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def load(*_: Any) -> object:
        release.wait(5)
        return object()

    monkeypatch.setattr(worker_module.runtime, "load", load)

    async def scenario() -> Worker:
        worker = make_worker()
        await worker._obey({"command": "load", "id": 1, "folder": "f", "name": "m", "version": "2"})
        await asyncio.sleep(0)
        await worker._obey({"command": "drop", "id": 1})
        release.set()
        await asyncio.to_thread(worker.pool.shutdown)
        await asyncio.sleep(0.01)
        return worker

    worker = asyncio.run(scenario())
    assert worker._loaded == {}
    assert worker._loading == {}
    assert worker.channel.sent == []  # type: ignore[attr-defined]


def test_a_reload_ends_when_the_supervisor_is_gone() -> None:
    async def scenario() -> Any:
        worker = make_worker()
        reload = asyncio.create_task(worker._reload("m"))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await worker.run()
            return await reload

    assert "about to end" in asyncio.run(scenario())["error"]


def test_a_reload_that_nobody_waits_for_is_forgotten() -> None:
    async def scenario() -> Worker:
        worker = make_worker()
        reload = asyncio.create_task(worker._reload("m"))
        await asyncio.sleep(0)
        reload.cancel()
        await asyncio.sleep(0)
        await worker._obey({"command": "reloaded", "id": 1, "error": ""})
        return worker

    assert asyncio.run(scenario())._reloads == {}


def test_the_channel_is_closed_even_where_a_hook_fails_at_the_end() -> None:
    closed: list[bool] = []

    class Server:
        async def serve(self, sockets: Any) -> None:
            return

    async def scenario() -> None:
        worker = make_worker()
        worker.server = Server()  # type: ignore[assignment]

        async def close() -> None:
            closed.append(True)

        async def failing() -> None:
            raise OSError("the disk is gone")

        worker.channel.close = close  # type: ignore[method-assign]
        with pytest.raises(OSError, match="gone"):
            await worker._serve(ServingHooks(stop=failing).stop)

    asyncio.run(scenario())
    assert closed == [True]
