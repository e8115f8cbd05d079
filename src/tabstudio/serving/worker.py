"""One worker process: `python -m tabstudio.serving.worker LISTENING_FD CONTROL_FD NUMBER`.

It loads what the supervisor tells it to, answers on the socket that all workers share, and ends when it is
told to, by SIGTERM, or because the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import uvloop

from tabstudio.errors import TabstudioError
from tabstudio.serving import runtime, server_log
from tabstudio.serving.app import App
from tabstudio.serving.batching import BatchQueue, Endpoint
from tabstudio.serving.control_channel import ControlChannel, ControlMessage
from tabstudio.serving.serve_options import ServeOptions, from_json
from tabstudio.serving.server import HttpServer, make_server
from tabstudio.serving.worker_hooks import build_hooks

THREADS = 4

log = logging.getLogger("tabstudio.serving")


class Worker:
    """Does what the supervisor says, and asks it for reloads."""

    def __init__(self, listening: socket.socket, channel: ControlChannel, number: int) -> None:
        self.listening, self.channel, self.number = listening, channel, number
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="answer")
        self.app: App | None = None
        self.server: HttpServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._loaded: dict[int, tuple[ControlMessage, runtime.Runtime]] = {}
        self._asked: dict[int, asyncio.Future[ControlMessage]] = {}
        self._ids = count(1)
        self._loading: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until the supervisor says stop or is gone; what is in flight is still answered."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is the supervisor's affair
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        async for word in self.channel.heard():
            await self._obey(word)
        self.stop()
        if self._serving:
            await self._serving
        await self.channel.close()

    def stop(self) -> None:
        """Take no new connections, answer what is in flight, end."""
        if self.app:
            self.app.draining = True
        if self.server:
            self.server.should_exit = True

    async def _obey(self, word: ControlMessage) -> None:
        match word["do"]:
            case "start":
                await self._start(from_json(word["options"]), word["models"])
            case "load":
                task = asyncio.create_task(self._load(word))
                self._loading.add(task)
                task.add_done_callback(self._loading.discard)
            case "commit":
                told, loaded = self._loaded.pop(word["id"])
                assert self.app
                self.app.install(told["name"], loaded, told["role"], told["share"])
                self.channel.say(say="committed", id=word["id"])
            case "drop":
                self._loaded.pop(word["id"], None)
            case "reloaded":
                self._asked.pop(word["id"]).set_result(word)
            case "stop":
                self.stop()

    async def _start(self, options: ServeOptions, models: list[ControlMessage]) -> None:
        server_log.configure(options.json_logs)
        try:
            hooks = build_hooks(options, self.number)
            loaded = [(told, _read(told)) for told in models]
            options.log.check([ready.schema for _, ready in loaded])
        except TabstudioError as error:
            self.channel.say(say="failed", error=str(error))
            return
        endpoints = {
            told["name"]: Endpoint(told["name"], BatchQueue(ready, "live", self.pool))
            for told, ready in loaded
            if told["role"] == "live"
        }
        self.app = App(endpoints, options, hooks, self.pool, self._reload)
        for told, ready in loaded:
            self.app.install(told["name"], ready, told["role"], told["share"])
        await hooks.start(self.app)
        self.server = make_server(self.app, options.bounds)
        self._serving = asyncio.create_task(self._serve(hooks.stop))
        gc.enable()
        gc.collect()
        gc.freeze()  # what is loaded stays: the collector need not look at it again
        gc.set_threshold(10_000, 20, 50)  # requests leave no cycles behind

    async def _serve(self, stop: Any) -> None:
        assert self.server
        self.channel.say(say="ready")
        try:
            await self.server.serve([self.listening])
        finally:
            self.pool.shutdown(cancel_futures=True)
            await stop()
            await self.channel.close()

    async def _load(self, word: ControlMessage) -> None:
        """Read, verify and warm a version beside the one that answers."""
        loop = asyncio.get_running_loop()
        try:
            loaded = await loop.run_in_executor(self.pool, _read, word)
        except Exception as error:  # whatever it is, the old version goes on
            if not isinstance(error, TabstudioError):
                log.exception("loading %s failed", word["folder"])
            self.channel.say(say="refused", id=word["id"], error=str(error))
            return
        self._loaded[word["id"]] = word, loaded
        self.channel.say(say="loaded", id=word["id"])

    async def _reload(self, name: str) -> ControlMessage:
        number = next(self._ids)
        future: asyncio.Future[ControlMessage] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self.channel.say(say="reload", id=number, name=name)
        return await future


def _read(word: ControlMessage) -> runtime.Runtime:
    return runtime.load(word["folder"], word["name"], word["version"])


async def _main(listening: int, control: int, number: int) -> None:
    channel = await ControlChannel.over(socket.socket(fileno=control))
    await Worker(socket.socket(fileno=listening), channel, number).run()


def main() -> None:
    """Run a worker as its command line says."""
    gc.disable()  # until all is loaded
    listening, control, number = map(int, sys.argv[1:])
    uvloop.run(_main(listening, control, number))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is answered and closed; tearing libraries down would take time


if __name__ == "__main__":
    main()
