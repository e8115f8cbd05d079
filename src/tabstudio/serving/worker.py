"""One worker process: `python -m tabstudio.serving.worker LISTENING_FD CONTROL_FD NUMBER`.

It loads the versions that the supervisor names, answers on the socket that all workers share, and ends by the
supervisor's command, by SIGTERM, or when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

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
    """Carries out the supervisor's commands, and passes reloads on to it."""

    def __init__(self, listening: socket.socket, channel: ControlChannel, number: int) -> None:
        self.listening, self.channel, self.number = listening, channel, number
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="answer")
        self.app: App | None = None
        self.server: HttpServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._loaded: dict[int, tuple[ControlMessage, runtime.Runtime]] = {}
        self._loading: dict[int, asyncio.Task[None]] = {}
        self._reloads: dict[int, asyncio.Future[ControlMessage]] = {}
        self._ids = count(1)

    async def run(self) -> None:
        """Work until the supervisor says stop or is gone; what is in flight is still answered."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is handled by the supervisor
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        async for message in self.channel.messages():
            await self._obey(message)
        self.stop()
        if self._serving:
            await self._serving
        await self.channel.close()

    def stop(self) -> None:
        """Take no new connections, answer what is in flight, end."""
        if self.app:
            self.app.draining = True
        for number in list(self._reloads):
            self._finish_reload(number, {"error": "the server is about to end"})
        if self.server:
            self.server.should_exit = True

    async def _obey(self, message: ControlMessage) -> None:
        match message["command"]:
            case "start":
                await self._start(from_json(message["options"]), message["models"])
            case "load":
                self._loading[message["id"]] = asyncio.create_task(self._load(message))
            case "commit":
                version, loaded = self._loaded.pop(message["id"])
                assert self.app
                self.app.install(version["name"], loaded, version["role"], version["share"])
                self.channel.send(event="committed", id=message["id"])
            case "drop":
                if task := self._loading.pop(message["id"], None):
                    task.cancel()
                self._loaded.pop(message["id"], None)
            case "reloaded":
                self._finish_reload(message["id"], message)
            case "stop":
                self.stop()

    async def _start(self, options: ServeOptions, models: list[ControlMessage]) -> None:
        server_log.configure(options.json_logs)
        try:
            hooks = build_hooks(options, self.number)
            loaded = [(version, _read(version)) for version in models]
            options.log.check([ready.schema for _, ready in loaded])
        except TabstudioError as error:
            self.channel.send(event="failed", error=str(error))
            return
        endpoints = {
            version["name"]: Endpoint(version["name"], BatchQueue(ready, "live", self.pool))
            for version, ready in loaded
            if version["role"] == "live"
        }
        self.app = App(endpoints, options, hooks, self.pool, self._reload)
        for version, ready in loaded:
            self.app.install(version["name"], ready, version["role"], version["share"])
        await hooks.start(self.app)
        self.server = make_server(self.app, options.bounds)
        self._serving = asyncio.create_task(self._serve(hooks.stop))
        gc.enable()
        gc.collect()
        gc.freeze()  # the loaded models stay: the collector passes over them
        gc.set_threshold(10_000, 20, 50)  # requests leave no cycles behind

    async def _serve(self, stop_hooks: Callable[[], Awaitable[None]]) -> None:
        assert self.server
        self.channel.send(event="ready")
        try:
            await self.server.serve([self.listening])
        finally:
            self.pool.shutdown(cancel_futures=True)
            try:
                await stop_hooks()
            finally:
                await self.channel.close()

    async def _load(self, message: ControlMessage) -> None:
        """Read, verify and warm a version beside the one that answers."""
        number = message["id"]
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(self.pool, _read, message)
        except Exception as error:  # whatever it is, the old version goes on
            if not isinstance(error, TabstudioError):
                log.exception("loading %s failed", message["folder"])
            self.channel.send(event="refused", id=number, error=str(error))
        else:
            self._loaded[number] = message, loaded
            self.channel.send(event="loaded", id=number)
        finally:
            self._loading.pop(number, None)

    async def _reload(self, name: str) -> ControlMessage:
        number = next(self._ids)
        self._reloads[number] = asyncio.get_running_loop().create_future()
        self.channel.send(event="reload", id=number, name=name)
        try:
            return await self._reloads[number]
        finally:
            self._reloads.pop(number, None)

    def _finish_reload(self, number: int, reply: ControlMessage) -> None:
        future = self._reloads.get(number)
        if future is not None and not future.done():
            future.set_result(reply)


def _read(message: ControlMessage) -> runtime.Runtime:
    return runtime.load(message["folder"], message["name"], message["version"])


async def _main(listening: int, control: int, number: int) -> None:
    channel = await ControlChannel.over(socket.socket(fileno=control))
    await Worker(socket.socket(fileno=listening), channel, number).run()


def main() -> None:
    """Run the worker of the command line."""
    gc.disable()  # until all is loaded
    listening, control, number = map(int, sys.argv[1:])
    uvloop.run(_main(listening, control, number))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is answered and closed; unloading the libraries would take time


if __name__ == "__main__":
    main()
