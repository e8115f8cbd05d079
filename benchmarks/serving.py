"""Serving, side by side with `mlflow models serve` of the same bundle, payloads and machine.

    python -m benchmarks.serving [--rounds 3] [--seconds 4] [--soak 60]

A small network of 30 numbers, the tutorial's. All servers run one worker; a process of its own loads them
over 16 connections. MLflow is measured with our bundle, and with the bare network as it keeps PyTorch modules
itself, which checks no column. Printed are requests/s, the median latency of one row and of 1,000 rows over
one connection, the seconds from the start of the command to the first answer, and each as a ratio to MLflow's
of the bundle.
`--soak` then loads our server with two workers over 64 connections while a new version is promoted and a
worker is killed, beside 100 stalled sockets and a body of 1 GB, and counts what failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

READY_SECONDS = 90.0


@dataclass
class Load:
    """What a load generator saw: seconds of each answer, and requests that got none or another status."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)

    def fail(self, what: str) -> None:
        """Note a failure, and when it was."""
        self.failed.append(what)
        self.failed_at.append(time.time())

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered; reconnects when it is closed."""

    def __init__(self, request: bytes, load: Load, until: float) -> None:
        self.request, self.load, self.until = request, load, until
        self.done = asyncio.get_running_loop().create_future()
        self.asked = False
        self._got = b""
        self._need = -1

    def connection_made(self, transport: Any) -> None:
        """Ask."""
        self.transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count an answer when it is whole, and ask again."""
        self._got = self._got + data if self._got else data
        if self._need < 0:
            head = self._got.find(b"\r\n\r\n")
            if head < 0:
                return
            start = self._got.index(b"content-length: ") + 16  # both servers write it so
            self._need = head + 4 + int(self._got[start : self._got.index(b"\r", start)])
        if len(self._got) < self._need:
            return
        now = time.perf_counter()
        self.load.latencies.append(now - self._since)
        if not self._got.startswith(b"HTTP/1.1 200"):
            self.load.fail(self._got[:300].decode("latin-1"))
        self.asked = False
        if now >= self.until:
            self.transport.close()
        elif self._got.find(b"connection: close", 0, 500) < 0:
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whether a request was under way."""
        if self.asked:
            self.load.fail(f"connection lost: {error}")
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self._got, self._need, self.asked = b"", -1, True
        self._since = time.perf_counter()
        self.transport.write(self.request)


async def _ask_until(port: int, request: bytes, connections: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    load = Load(seconds)
    started = time.perf_counter()
    until = started + seconds

    async def one() -> None:
        while time.perf_counter() < until:
            try:
                _, client = await loop.create_connection(
                    lambda: Client(request, load, until), "127.0.0.1", port
                )
            except OSError as error:
                load.fail(f"not connected: {error}")
                await asyncio.sleep(0.05)
                continue
            await client.done

    await asyncio.gather(*(one() for _ in range(connections)))
    load.seconds = time.perf_counter() - started
    return load


def _loading(queue: Any, *arguments: Any) -> None:
    import uvloop

    queue.put(uvloop.run(_ask_until(*arguments)))


class Loading:
    """A load generator in a process of its own."""

    def __init__(self, port: int, request: bytes, connections: int, seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.queue = context.Queue()
        arguments = (self.queue, port, request, connections, seconds)
        self.process = context.Process(target=_loading, args=arguments)
        self.process.start()

    def result(self) -> Load:
        """Wait until it is done."""
        load: Load = self.queue.get(timeout=300)
        self.process.join()
        return load


def request(path: str, body: Any) -> bytes:
    """A whole HTTP request."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


@contextmanager
def served(command: list[str], port: int, ask: bytes, folder: Path) -> Iterator[tuple[int, float]]:
    """Run a server; yield its process id and the seconds from its start to its first answer."""
    started = time.perf_counter()
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process.pid, _first_answer(process, port, ask, started)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _first_answer(process: subprocess.Popen[bytes], port: int, ask: bytes, started: float) -> float:
    while time.perf_counter() - started < READY_SECONDS:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(ask)
            if connection.recv(64).startswith(b"HTTP/1.1 200"):
                return time.perf_counter() - started
        time.sleep(0.01)
    raise RuntimeError("the server gave no answer in time")


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def trained(folder: Path, name: str = "cancer", seed: int = 0) -> list[dict[str, float]]:
    """Register a version of the tutorial's network in `folder`; return the table's rows."""
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer(as_frame=True)
    frame = table.frame
    frame.to_csv(folder / "cancer.csv", index=False)
    command = [*TABSTUDIO, "train", "cancer.csv", "-t", "target", "--recipe", "tutorial", "--name", name]
    subprocess.run([*command, "--seed", str(seed)], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    rows: list[dict[str, float]] = frame.drop(columns="target").to_dict("records")
    return rows


TABSTUDIO = [sys.executable, "-m", "tabstudio"]


def bundle(folder: Path, name: str = "cancer", version: int = 1) -> Path:
    """The folder of the MLflow model around a registered version's bundle."""
    from tabstudio.registry import resolve

    return resolve(f"models:/{name}/{version}", tracking_uri=f"sqlite:///{folder}/mlflow.db").parent


def bare_network(folder: Path) -> Path:
    """The same layers as MLflow keeps a plain PyTorch module: a matrix in, a matrix out, nothing checked."""
    import mlflow.pytorch
    import numpy as np
    from torch import nn

    layers = (nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 15), nn.ReLU(), nn.Linear(15, 1), nn.Sigmoid())
    example = np.zeros((2, 30), dtype=np.float32)
    mlflow.pytorch.save_model(nn.Sequential(*layers).eval(), folder / "bare", input_example=example)
    return folder / "bare"


@dataclass
class Figures:
    """One server's figures of one round."""

    cold: float
    rate: float
    one: float
    thousand: float


def measure(
    command: list[str], port: int, path: str, bodies: list[Any], seconds: float, folder: Path
) -> Figures:
    """Start a server and load it."""
    one, thousand = (request(path, body) for body in bodies)
    with served(command, port, one, folder) as (_, cold):
        Loading(port, one, 16, 0.5).result()
        many = _good(Loading(port, one, 16, seconds).result())
        single = _good(Loading(port, one, 1, seconds / 2).result())
        large = _good(Loading(port, thousand, 1, seconds / 2).result())
    return Figures(cold, many.rate, statistics.median(single.latencies), statistics.median(large.latencies))


def _good(load: Load) -> Load:
    if load.failed:
        raise RuntimeError(f"{len(load.failed)} requests failed: {load.failed[0]}")
    return load


def compare(folder: Path, rounds: int, seconds: float) -> None:
    """Measure MLflow and ours in turn, and print medians and ratios."""
    rows = trained(folder)
    thousand = (rows * 2)[:1000]
    split = [
        {"dataframe_split": {"columns": list(rows[0]), "data": [list(r.values()) for r in some]}}
        for some in (rows[:1], thousand)
    ]
    typed = [{"rows": some} for some in (rows[:1], thousand)]
    source = str(bundle(folder))
    mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "-m", source, "--env-manager", "local"]
    ours = [*TABSTUDIO, "serve", f"cancer={source}", "--no-log"]
    logged = [*ours[:-1], "--log-folder", "log"]
    bare_mlflow = [*mlflow]
    bare_mlflow[bare_mlflow.index("-m", 3) + 1] = str(bare_network(folder))
    matrix = [{"inputs": [list(row.values()) for row in some]} for some in (rows[:1], thousand)]
    systems = {
        "mlflow models serve, /invocations": (mlflow, "/invocations", split),
        "mlflow, the bare PyTorch network": (bare_mlflow, "/invocations", matrix),
        "tabstudio, typed, log off": (ours, "/v1/models/cancer/predict", typed),
        "tabstudio, /invocations": (ours, "/invocations", split),
        "tabstudio, typed, log on": (logged, "/v1/models/cancer/predict", typed),
    }
    figures: dict[str, list[Figures]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, (command, path, bodies) in systems.items():
            port = free_port()
            figures[name].append(
                measure([*command, "--port", str(port)], port, path, bodies, seconds, folder)
            )
    base = figures[next(iter(systems))]
    for name, found in figures.items():
        print(f"{name:36s} {_line(found)}")
        if found is not base:
            print(f"{'  ratio to MLflow':36s} {_ratios(found, base)}")


def _line(found: list[Figures]) -> str:
    rate, cold = (statistics.median(getattr(f, name) for f in found) for name in ("rate", "cold"))
    one, thousand = (1e3 * statistics.median(getattr(f, name) for f in found) for name in ("one", "thousand"))
    latencies = f"1 row {one:6.2f} ms  1,000 rows {thousand:7.2f} ms"
    return f"{rate:9,.0f} requests/s  {latencies}  first answer {cold:5.2f} s"


def _ratios(found: list[Figures], base: list[Figures]) -> str:
    names = ("rate", "one", "thousand", "cold")
    pairs = [(a, b) for a, b in zip(found, base, strict=True)]
    rate, one, thousand, cold = (
        statistics.median(getattr(a, name) / getattr(b, name) for a, b in pairs) for name in names
    )
    return f"{rate:9.1f} times       {one:12.2f}    {thousand:19.2f}    {cold:16.2f}"


def soak(folder: Path, seconds: float) -> None:
    """Load two workers while everything happens that must not be noticed."""
    rows = trained(folder)
    live = folder / "live"
    shutil.copytree(bundle(folder), live)
    trained(folder, seed=1)
    port = free_port()
    ask = request("/v1/models/live/predict", {"rows": rows[:1]})
    command = [*TABSTUDIO, "serve", str(live), "--workers", "2", "--watch", "0.5", "--no-log"]
    command += ["--port", str(port)]
    with served(command, port, ask, folder) as (pid, _):
        workers = [child.pid for child in psutil.Process(pid).children()]
        before = _memory(pid)
        loading = Loading(port, ask, 64, seconds)
        stalled = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        for number, connection in enumerate(stalled):
            connection.sendall(
                b"POST /v1/models/live/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"[: 20 + number % 40]
            )
        flood = multiprocessing.get_context("spawn").Process(target=_flood, args=(port, 1 << 30))
        flood.start()
        health, highest = _watched(port, pid, seconds, workers[0], lambda: _promote(folder, live))
        load = loading.result()
        flood.join()
    versions = "a promotion" + ("" if highest.promoted else ", which did not arrive")
    print(
        f"{len(load.latencies):,} requests in {load.seconds:.0f} s over 64 connections through {versions}, "
        f"one killed worker, 100 stalled sockets and a body of 1 GB: {len(load.failed)} failed"
    )
    memory = f"memory {before:,.0f} MiB before, {highest.memory:,.0f} MiB at most"
    print(f"health at most {health * 1e3:.0f} ms; {memory}")
    elsewhere = sum(abs(at - highest.killed) > 1 for at in load.failed_at)
    print(f"failures more than a second away from the kill: {elsewhere}")


@dataclass
class Highest:
    """What was seen while the server was under load."""

    memory: float = 0.0
    promoted: bool = False
    killed: float = 0.0


def _watched(port: int, pid: int, seconds: float, victim: int, promote: Any) -> tuple[float, Highest]:
    slowest, seen = 0.0, Highest()
    started = time.perf_counter()

    def kill() -> None:
        os.kill(victim, signal.SIGKILL)
        seen.killed = time.time()

    steps = [(seconds / 4, promote), (seconds / 2, kill)]
    versions = set()
    while (now := time.perf_counter() - started) < seconds:
        if steps and now > steps[0][0]:
            steps.pop(0)[1]()
        asked = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10):
            slowest = max(slowest, time.perf_counter() - asked)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/live", timeout=10) as answer:
            versions.add(json.load(answer)["version"])
        seen.memory = max(seen.memory, _memory(pid))
        time.sleep(0.2)
    seen.promoted = len(versions) == 2
    return slowest, seen


def _promote(folder: Path, live: Path) -> None:
    """Put the second version where the first one is, in one step."""
    shutil.copytree(bundle(folder, version=2), folder / "next")
    live.rename(folder / "before")
    (folder / "next").rename(live)


def _flood(port: int, size: int) -> None:
    block = bytes(1 << 20)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(120)
        head = f"POST /v1/models/live/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        with suppress(OSError):
            for _ in range(size // len(block)):
                connection.sendall(block)


def _memory(pid: int) -> float:
    """Resident MiB of a process and its children."""
    total = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children()]:
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total / (1 << 20)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--soak", type=float, default=60.0)
    options = parser.parse_args()
    os.environ["PATH"] = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # for MLflow's uvicorn
    )
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        if options.rounds:
            compare(Path(folder), options.rounds, options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        if options.soak:
            soak(Path(folder), options.soak)


if __name__ == "__main__":
    main()
