"""The process that holds the socket: it starts workers, replaces dead ones, and rolls out new versions.

Only here MLflow is asked for the version of an address. A new version is loaded, verified and warmed by every
worker beside the one that answers; when all are ready, all swap. If one cannot, none does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from tabstudio.errors import ConfigError, ModelError, TabstudioError
from tabstudio.serving.control_channel import ControlChannel, ControlMessage
from tabstudio.serving.serve_options import ServedModel, ServeOptions, as_json
from tabstudio.serving.version_lookup import ResolvedVersion, resolve_version, version_identity

LOAD_SECONDS = 120.0
"""Time for a worker to load a version."""
_BACKLOG = 2048
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0

Announce = Callable[[str], None]

log = logging.getLogger("tabstudio.serving")


@dataclass(frozen=True, slots=True)
class VersionSlot:
    """A version to be served: its name, its role, and the address that it follows."""

    name: str
    role: str
    address: str
    share: float = 1.0


@dataclass(slots=True)
class WorkerProcess:
    """A worker as the supervisor knows it."""

    number: int
    process: asyncio.subprocess.Process
    channel: ControlChannel
    ready: asyncio.Event
    failure: str = ""
    served: dict[VersionSlot, str] = field(default_factory=dict)


class Supervisor:
    """Serves the models of `options` until SIGTERM or Ctrl-C."""

    def __init__(self, options: ServeOptions, announce: Announce) -> None:
        self.options, self.announce = options, announce
        self.slots = [slot for model in options.models for slot in _slots(model)]
        self.versions: dict[VersionSlot, ResolvedVersion] = {}
        self._failures: dict[VersionSlot, str] = {}
        self.workers: dict[int, WorkerProcess] = {}
        self.socket = _listening(options.host, options.port)
        self._stopping = asyncio.Event()
        self._look_now = asyncio.Event()
        self._rolling = asyncio.Lock()
        self._ids = count(1)
        self._replies: dict[tuple[int, int], asyncio.Future[ControlMessage]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where the server answers."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def run(self) -> None:
        """Serve. Raises `ModelError` where a model cannot be served at the start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._look_now.set)
        with tempfile.TemporaryDirectory(prefix="tabstudio-serve-") as scratch:
            tempfile.tempdir = scratch  # downloaded versions lie here, and are removed at the end
            self.options = replace(self.options, scratch=scratch)
            try:
                await self._start()
                await self._watch()
            finally:
                await self._end()

    async def _start(self) -> None:
        addresses = [slot.address for slot in self.slots]
        resolving = asyncio.gather(*(asyncio.to_thread(resolve_version, address) for address in addresses))
        numbers = range(self.options.workers)
        spawned = await asyncio.gather(*(self._spawn(number) for number in numbers))
        self.versions = dict(zip(self.slots, await resolving, strict=True))
        for worker in spawned:
            self._begin(worker)
        for worker in spawned:
            await worker.ready.wait()
            if worker.failure:
                raise ModelError(worker.failure)
        for worker in spawned:
            self._run_in_background(self._replace_dead(worker))
        for slot, version in self.versions.items():
            role = "" if slot.role == "live" else f" as {slot.role}"
            self.announce(f"{slot.name}: version {version.version}{role}")
        self.announce(f"serving at {self.url}, its contract at {self.url}/docs")

    async def _spawn(self, number: int) -> WorkerProcess:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "tabstudio.serving.worker",
                    str(self.socket.fileno()),
                    str(theirs.fileno()),
                    str(number),
                    pass_fds=(self.socket.fileno(), theirs.fileno()),
                    start_new_session=True,
                    env=_environment(self.options.workers),
                )
            except BaseException:
                ours.close()
                raise
        worker = WorkerProcess(number, process, await ControlChannel.over(ours), asyncio.Event())
        self.workers[number] = worker
        return worker

    def _begin(self, worker: WorkerProcess) -> None:
        """Send a new worker its versions, and listen to it."""
        worker.served = {slot: version.address for slot, version in self.versions.items()}
        models = [_version_message(slot, version) for slot, version in self.versions.items()]
        worker.channel.send(command="start", options=as_json(self.options).decode(), models=models)
        self._run_in_background(self._listen(worker))

    async def _listen(self, worker: WorkerProcess) -> None:
        async for message in worker.channel.messages():
            match message["event"]:
                case "ready":
                    worker.ready.set()
                case "failed":
                    worker.failure = message["error"]
                    worker.ready.set()
                case "reload":
                    self._run_in_background(self._reload(worker, message))
                case _:
                    reply = self._replies.pop((worker.number, message["id"]), None)
                    if reply and not reply.done():
                        reply.set_result(message)
        worker.failure = worker.failure or "a worker ended before it was ready"
        worker.ready.set()
        for key in [key for key in self._replies if key[0] == worker.number]:
            reply = self._replies.pop(key)
            if not reply.done():
                reply.set_result({"event": "gone"})

    async def _replace_dead(self, worker: WorkerProcess) -> None:
        """Start a new worker whenever this one ends before the supervisor does."""
        pause = _FIRST_PAUSE
        while True:
            started = asyncio.get_running_loop().time()
            code = await worker.process.wait()
            if self._stopping.is_set():
                return
            self.announce(f"worker {worker.number} ended ({_ending(code)}), a new one is started")
            lasted = asyncio.get_running_loop().time() - started
            pause = _FIRST_PAUSE if lasted > _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE)
            await worker.channel.close()
            try:
                worker = await self._spawn(worker.number)
            except OSError as error:  # no memory or no process is left: the next attempt may succeed
                self.announce(f"worker {worker.number} cannot be started: {error.strerror or error}")
                await asyncio.sleep(pause)
                continue
            self._begin(worker)
            await worker.ready.wait()
            if worker.failure:
                self.announce(f"worker {worker.number} cannot serve: {worker.failure}")
                worker.channel.send(command="stop")
                await asyncio.sleep(pause)
            else:
                await self._catch_up(worker)

    async def _catch_up(self, worker: WorkerProcess) -> None:
        """Load the versions that were rolled out while a worker was starting."""
        async with self._rolling:
            for slot, version in self.versions.items():
                if worker.served[slot] != version.address:
                    await self._roll_out(slot, version, [worker])

    async def _watch(self) -> None:
        """Look for moved addresses, every `watch` seconds and on SIGHUP, until the end."""
        while not self._stopping.is_set():
            waiting = [asyncio.create_task(event.wait()) for event in (self._stopping, self._look_now)]
            timeout = self.options.watch or None
            _, pending = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            self._look_now.clear()
            if not self._stopping.is_set():
                for slot in self.slots:
                    await self._follow(slot)

    async def _follow(self, slot: VersionSlot) -> str:
        """Serve the version that the address now stands for; return why not, where that fails."""
        async with self._rolling:
            try:
                if await asyncio.to_thread(version_identity, slot.address) == self.versions[slot].address:
                    return ""
                version = await asyncio.to_thread(resolve_version, slot.address)
                failure = await self._roll_out(slot, version, list(self.workers.values()))
            except Exception as error:  # noqa: BLE001 - whatever it is, the old version goes on
                failure = str(error) or type(error).__name__
            await asyncio.to_thread(self._remove_unused_downloads)
        label = f"{slot.name} ({slot.role})"
        version_name = self.versions[slot].version
        if failure:
            if self._failures.get(slot) != failure:
                self.announce(f"{label}: a new version is not served, {version_name} goes on: {failure}")
            self._failures[slot] = failure
        else:
            self._failures.pop(slot, None)
            self.announce(f"{label}: version {version_name} is served")
        return failure

    async def _roll_out(
        self, slot: VersionSlot, version: ResolvedVersion, workers: list[WorkerProcess]
    ) -> str:
        """Have all workers load a version, and swap when all are ready; return why not, or nothing."""
        number = next(self._ids)
        message = _version_message(slot, version)
        ready = [worker for worker in workers if worker.ready.is_set() and worker.process.returncode is None]
        replies = await asyncio.gather(
            *(self._request(worker, number, command="load", **message) for worker in ready)
        )
        refusals = [reply["error"] for reply in replies if reply["event"] == "refused"]
        if refusals:
            for worker in ready:
                worker.channel.send(command="drop", id=number)
            return str(refusals[0])
        loaded = [w for w, reply in zip(ready, replies, strict=True) if reply["event"] == "loaded"]
        self.versions[slot] = version
        await asyncio.gather(*(self._request(worker, number, command="commit") for worker in loaded))
        for worker in loaded:
            worker.served[slot] = version.address
        return ""

    def _remove_unused_downloads(self) -> None:
        """Delete downloaded versions that are no longer served, or never were."""
        used = [version.folder for version in self.versions.values()]
        for folder in Path(self.options.scratch).glob("tabstudio-model-*"):
            if not any(path.is_relative_to(folder) for path in used):
                shutil.rmtree(folder, ignore_errors=True)

    async def _request(self, worker: WorkerProcess, number: int, **message: object) -> ControlMessage:
        reply: asyncio.Future[ControlMessage] = asyncio.get_running_loop().create_future()
        self._replies[worker.number, number] = reply
        worker.channel.send(id=number, **message)
        try:
            return await asyncio.wait_for(reply, LOAD_SECONDS)
        except TimeoutError:
            return {"event": "refused", "error": f"a worker did not load it within {LOAD_SECONDS:g} s"}
        finally:
            self._replies.pop((worker.number, number), None)

    async def _reload(self, worker: WorkerProcess, message: ControlMessage) -> None:
        """Follow the addresses of a model, and tell the worker that asked how it went."""
        failures = [await self._follow(slot) for slot in self.slots if slot.name == message["name"]]
        error = "; ".join(failure for failure in failures if failure)
        worker.channel.send(command="reloaded", id=message["id"], error=error)

    async def _end(self) -> None:
        """Let every worker answer its requests in flight, then end it."""
        self._stopping.set()
        self.socket.close()
        for worker in self.workers.values():
            worker.channel.send(command="stop")
            await worker.channel.close()
        seconds = self.options.bounds.drain_seconds + 5
        for worker in self.workers.values():
            with contextlib.suppress(ProcessLookupError):
                try:
                    await asyncio.wait_for(worker.process.wait(), seconds)
                except TimeoutError:
                    worker.process.kill()
                    await worker.process.wait()
        for task in self._tasks:
            task.cancel()

    def _run_in_background(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finish_task)

    def _finish_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("the supervisor failed", exc_info=error)


def serve(options: ServeOptions, announce: Announce) -> None:
    """Serve until SIGTERM or Ctrl-C; `announce` gets a line for each event that an operator should know.

    Raises `ModelError` where a model cannot be served, `TabstudioError` where the port is taken and
    `ConfigError` on Windows.
    """
    if os.name == "nt":
        raise ConfigError("tabstudio serve needs Linux or macOS: run it in WSL or in a container")
    supervisor = Supervisor(options, announce)
    asyncio.run(supervisor.run())


def _slots(model: ServedModel) -> list[VersionSlot]:
    candidates = [VersionSlot(model.name, c.role, c.address, c.share) for c in model.candidates]
    return [VersionSlot(model.name, "live", model.address), *candidates]


def _version_message(slot: VersionSlot, version: ResolvedVersion) -> ControlMessage:
    return {
        "name": slot.name,
        "role": slot.role,
        "share": slot.share,
        "folder": str(version.folder),
        "version": version.version,
    }


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=False)
    except OSError as error:
        raise TabstudioError(
            f"{host}:{port} cannot be listened at: {error.strerror or error}; choose another --port or --host"
        ) from error
    listening.setblocking(False)
    return listening


def _environment(workers: int) -> dict[str, str]:
    """Divide the processors among the workers, so that their threads do not wait for each other."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    return dict.fromkeys(names, threads) | {"OMP_WAIT_POLICY": "PASSIVE"} | dict(os.environ)


def _ending(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"
