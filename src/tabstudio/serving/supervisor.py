"""The process that holds the socket: it starts workers, replaces dead ones, and rolls new versions out.

Only here is MLflow asked what an address stands for. A new version is loaded, verified and warmed by every
worker beside the one that answers; only when all have it ready do all swap. If one cannot, none does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from tabstudio.errors import ConfigError, ModelError, TabstudioError
from tabstudio.serving.control_channel import ControlChannel, ControlMessage
from tabstudio.serving.serve_options import ServedModel, ServeOptions, as_json
from tabstudio.serving.version_lookup import ResolvedVersion, resolve_version, version_identity

LOAD_SECONDS = 120.0
"""What a worker gets to load a version."""
_BACKLOG = 2048
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class VersionSlot:
    """One version to be served: under which name, in which role, and which address it follows."""

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
    has: dict[VersionSlot, str] | None = None


class Supervisor:
    """Serves what `options` say until it is told to stop."""

    def __init__(self, options: ServeOptions, tell: Announce) -> None:
        self.options, self.tell = options, tell
        self.places = [place for model in options.models for place in _places(model)]
        self.found: dict[VersionSlot, ResolvedVersion] = {}
        self._failures: dict[VersionSlot, str] = {}
        self.workers: dict[int, WorkerProcess] = {}
        self.socket = _listening(options.host, options.port)
        self._stopping = asyncio.Event()
        self._look = asyncio.Event()
        self._rolling = asyncio.Lock()
        self._ids = count(1)
        self._replies: dict[tuple[int, int], asyncio.Future[ControlMessage]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

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
        loop.add_signal_handler(signal.SIGHUP, self._look.set)
        with tempfile.TemporaryDirectory(prefix="tabstudio-serve-") as scratch:
            tempfile.tempdir = scratch  # what is fetched from a server lies here, and goes with us
            self.options = replace(self.options, scratch=scratch)
            try:
                await self._start()
                await self._watch()
            finally:
                await self._end()

    async def _start(self) -> None:
        finding = asyncio.gather(
            *(asyncio.to_thread(resolve_version, place.address) for place in self.places)
        )
        numbers = range(self.options.workers)
        spawned = await asyncio.gather(*(self._spawn(number) for number in numbers))
        found = await finding
        self.found = dict(zip(self.places, found, strict=True))
        for worker in spawned:
            self._begin(worker)
        for worker in spawned:
            await worker.ready.wait()
            if worker.failure:
                raise ModelError(worker.failure)
        for worker in spawned:
            self._keep(self._mind(worker))
        for place in self.places:
            role = "" if place.role == "live" else f" as {place.role}"
            self.tell(f"{place.name}: version {self.found[place].version}{role}")
        self.tell(f"serving at {self.url}, its contract at {self.url}/docs")

    async def _spawn(self, number: int) -> WorkerProcess:
        ours, theirs = socket.socketpair()
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
        theirs.close()
        worker = WorkerProcess(number, process, await ControlChannel.over(ours), asyncio.Event())
        self.workers[number] = worker
        return worker

    def _begin(self, worker: WorkerProcess) -> None:
        """Tell a new worker what it serves, and listen to it."""
        worker.has = {place: found.address for place, found in self.found.items()}
        models = [_word(place, found) for place, found in self.found.items()]
        worker.channel.say(do="start", options=as_json(self.options).decode(), models=models)
        self._keep(self._listen(worker))

    async def _listen(self, worker: WorkerProcess) -> None:
        async for word in worker.channel.heard():
            match word["say"]:
                case "ready":
                    worker.ready.set()
                case "failed":
                    worker.failure = word["error"]
                    worker.ready.set()
                case "reload":
                    self._keep(self._asked(worker, word))
                case _:
                    reply = self._replies.pop((worker.number, word["id"]), None)
                    if reply and not reply.done():
                        reply.set_result(word)
        worker.failure = worker.failure or "a worker ended before it was ready"
        worker.ready.set()
        for key in [key for key in self._replies if key[0] == worker.number]:
            reply = self._replies.pop(key)
            if not reply.done():
                reply.set_result({"say": "gone"})

    async def _mind(self, worker: WorkerProcess) -> None:
        """Replace a worker that ends before we do."""
        pause = _FIRST_PAUSE
        while True:
            started = asyncio.get_running_loop().time()
            code = await worker.process.wait()
            if self._stopping.is_set():
                return
            self.tell(f"worker {worker.number} ended ({_ending(code)}), a new one is started")
            lasted = asyncio.get_running_loop().time() - started
            pause = _FIRST_PAUSE if lasted > _LONGEST_PAUSE else min(2 * pause, _LONGEST_PAUSE)
            await worker.channel.close()
            worker = await self._spawn(worker.number)
            self._begin(worker)
            await worker.ready.wait()
            if worker.failure:
                self.tell(f"worker {worker.number} cannot serve: {worker.failure}")
                worker.channel.say(do="stop")
                await asyncio.sleep(pause)
            else:
                await self._catch_up(worker)

    async def _catch_up(self, worker: WorkerProcess) -> None:
        """Bring a worker that was starting while versions moved to where the others are."""
        async with self._rolling:
            for place, found in self.found.items():
                if worker.has is not None and worker.has[place] != found.address:
                    await self._roll_over(place, found, [worker])

    async def _watch(self) -> None:
        """Look for moved addresses, every so often and whenever asked, until we stop."""
        while not self._stopping.is_set():
            waiting = [asyncio.create_task(event.wait()) for event in (self._stopping, self._look)]
            timeout = self.options.watch or None
            _, pending = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            self._look.clear()
            if not self._stopping.is_set():
                for place in self.places:
                    await self._follow(place)

    async def _follow(self, place: VersionSlot) -> str:
        """Serve what the address stands for now; return why not, where that fails."""
        async with self._rolling:
            try:
                if await asyncio.to_thread(version_identity, place.address) == self.found[place].address:
                    return ""
                found = await asyncio.to_thread(resolve_version, place.address)
                failure = await self._roll_over(place, found, list(self.workers.values()))
            except Exception as error:  # noqa: BLE001 - whatever it is, the old version goes on
                failure = str(error) or type(error).__name__
        what = f"{place.name} ({place.role})"
        if failure:
            version = self.found[place].version
            if self._failures.get(place) != failure:
                self.tell(f"{what}: a new version is not served, {version} goes on: {failure}")
            self._failures[place] = failure
        else:
            self._failures.pop(place, None)
            self.tell(f"{what}: version {self.found[place].version} is served")
        return failure

    async def _roll_over(
        self, place: VersionSlot, found: ResolvedVersion, workers: list[WorkerProcess]
    ) -> str:
        """Have all workers load a version, and swap when all are ready; return why not, or nothing."""
        number = next(self._ids)
        word = _word(place, found)
        ready = [worker for worker in workers if worker.ready.is_set() and worker.process.returncode is None]
        replies = await asyncio.gather(
            *(self._request(worker, number, do="load", **word) for worker in ready)
        )
        refusals = [reply["error"] for reply in replies if reply["say"] == "refused"]
        if refusals:
            for worker in ready:
                worker.channel.say(do="drop", id=number)
            return str(refusals[0])
        loaded = [w for w, reply in zip(ready, replies, strict=True) if reply["say"] == "loaded"]
        before, self.found[place] = self.found[place], found
        await asyncio.gather(*(self._request(worker, number, do="commit") for worker in loaded))
        for worker in loaded:
            if worker.has is not None:
                worker.has[place] = found.address
        if before.folder != found.folder and before.folder.is_relative_to(self.options.scratch):
            shutil.rmtree(before.folder, ignore_errors=True)
        return ""

    async def _request(self, worker: WorkerProcess, number: int, **word: Any) -> ControlMessage:
        reply: asyncio.Future[ControlMessage] = asyncio.get_running_loop().create_future()
        self._replies[worker.number, number] = reply
        worker.channel.say(id=number, **word)
        try:
            return await asyncio.wait_for(reply, LOAD_SECONDS)
        except TimeoutError:
            return {"say": "refused", "error": f"a worker did not load it within {LOAD_SECONDS:g} s"}

    async def _asked(self, worker: WorkerProcess, word: ControlMessage) -> None:
        """A worker was asked to reload a model."""
        failures = [await self._follow(place) for place in self.places if place.name == word["name"]]
        error = "; ".join(failure for failure in failures if failure)
        worker.channel.say(do="reloaded", id=word["id"], error=error)

    async def _end(self) -> None:
        """Let every worker answer what is in flight, then go."""
        self._stopping.set()
        self.socket.close()
        for worker in self.workers.values():
            worker.channel.say(do="stop")
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

    def _keep(self, doing: Any) -> None:
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def serve(options: ServeOptions, tell: Announce) -> None:
    """Serve until SIGTERM or Ctrl-C; `tell` gets a line for everything an operator wants to know.

    Raises `ModelError` where a model cannot be served, `TabstudioError` where the port is taken and
    `ConfigError` on Windows.
    """
    if os.name == "nt":
        raise ConfigError("tabstudio serve needs Linux or macOS: run it in WSL or in a container")
    supervisor = Supervisor(options, tell)
    asyncio.run(supervisor.run())


def _places(model: ServedModel) -> list[VersionSlot]:
    candidates = [VersionSlot(model.name, c.role, c.address, c.share) for c in model.candidates]
    return [VersionSlot(model.name, "live", model.address), *candidates]


def _word(place: VersionSlot, found: ResolvedVersion) -> ControlMessage:
    return {
        "name": place.name,
        "role": place.role,
        "share": place.share,
        "folder": str(found.folder),
        "version": found.version,
    }


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=False)
    except OSError as error:
        raise TabstudioError(
            f"{host}:{port} cannot be listened at: {error.strerror or error}; choose another --port or --host"
        ) from error
    made.setblocking(False)
    return made


def _environment(workers: int) -> dict[str, str]:
    """Divide the processors among the workers: threads that wait for each other answer nobody."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    return dict.fromkeys(names, threads) | {"OMP_WAIT_POLICY": "PASSIVE"} | dict(os.environ)


def _ending(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"
