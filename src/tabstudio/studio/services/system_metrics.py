"""Processor, memory and GPU load of the machine and of processes, measured while somebody watches."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

import psutil

SECONDS = 2.0
KEPT_READINGS = 90
"""Readings of the machine that are kept: three minutes."""
_GPU_SECONDS = 5.0
_GPU_QUERY = "--query-gpu=name,utilization.gpu,memory.used,memory.total"


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """One accelerator: percent of the time that it computes, bytes of its memory."""

    name: str
    busy: float
    used: int
    total: int


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """The machine at a time (Unix seconds): percent of all cores in use, bytes of memory."""

    at: float
    cpu: float
    used: int
    total: int
    gpus: tuple[GpuLoad, ...]


@dataclass(frozen=True, slots=True)
class ProcessLoad:
    """A process and its children: percent of one core since the last sample, bytes of memory."""

    at: float
    cpu: float
    memory: int


class SystemMetrics:
    """The last readings. `sample` is called by the feed, from its threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._machine: deque[MachineLoad] = deque(maxlen=KEPT_READINGS)
        self._loads: dict[int, ProcessLoad] = {}
        self._spent: dict[int, tuple[float, dict[int, float]]] = {}
        self._nvidia = shutil.which("nvidia-smi")  # it comes with the driver
        self._gpus: tuple[GpuLoad, ...] = ()
        self._gpus_due = 0.0
        self._times = psutil.cpu_times()

    def sample(self, pid: str = "") -> Hashable:
        """Measure the machine, or the process of that id; return something that differs each time."""
        if pid:
            return self._sample_process(int(pid))
        self._sample_gpus()
        memory = psutil.virtual_memory()
        used = memory.total - memory.available
        with self._lock:
            before, self._times = self._times, psutil.cpu_times()
            reading = MachineLoad(
                time.time(), cpu_percent(before, self._times), used, memory.total, self._gpus
            )
            self._machine.append(reading)
        return reading.at

    def machine(self) -> list[MachineLoad]:
        """Return the readings of the machine, the oldest first."""
        with self._lock:
            return list(self._machine)

    def load(self, pid: int) -> ProcessLoad | None:
        """Return the last reading of a process; None where there is none, or the process has ended."""
        with self._lock:
            return self._loads.get(pid)

    def _sample_process(self, pid: int) -> Hashable:
        known = self.load(pid)
        if known is not None and time.time() - known.at < SECONDS / 2:
            return known.at  # another page has just measured it
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            self._spent.pop(pid, None)
            with self._lock:
                self._loads.pop(pid, None)
            return None
        now, memory = time.time(), 0
        spent: dict[int, float] = {}
        for one in family:
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                spent[one.pid] = times.user + times.system
                memory += one.memory_info().rss
        before, then = self._spent.get(pid, (now, spent))
        self._spent[pid] = now, spent
        # One by one: a child that has ended takes what it had spent with it.
        since = sum(max(value - then.get(one, 0.0), 0.0) for one, value in spent.items())
        share = 100.0 * since / max(now - before, 0.1)
        with self._lock:
            self._loads[pid] = ProcessLoad(now, share, memory)
        return now

    def _sample_gpus(self) -> None:
        if self._nvidia is None or time.monotonic() < self._gpus_due:
            return
        self._gpus_due = time.monotonic() + _GPU_SECONDS
        command = [self._nvidia, _GPU_QUERY, "--format=csv,noheader,nounits"]
        try:
            output = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
        except (OSError, subprocess.SubprocessError):  # a driver that does not answer is no fault of the page
            output = ""
        self._gpus = parse_gpus(output)


def cpu_percent(before: Any, after: Any) -> float:
    """Return the percent of the time between two `psutil.cpu_times()` in which the cores worked.

    `psutil.cpu_percent` measures since the last call of the same thread only.
    """
    spent = {name: max(now - then, 0.0) for name, now, then in zip(after._fields, after, before, strict=True)}
    whole = sum(spent.values()) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)  # these are users'
    idle = spent["idle"] + spent.get("iowait", 0.0)
    return 100.0 * (1.0 - idle / whole) if whole > 0 else 0.0


def parse_gpus(output: str) -> tuple[GpuLoad, ...]:
    """Parse the output of `nvidia-smi`, a line for each GPU; what it cannot measure counts as 0.

    >>> parse_gpus("NVIDIA H100, 37, 1024, 81920")[0].busy
    37.0
    """
    rows = [[cell.strip() for cell in line.rsplit(",", 3)] for line in output.strip().splitlines()]
    return tuple(
        GpuLoad(
            name,
            _number_or_zero(busy),
            int(_number_or_zero(used) * 2**20),
            int(_number_or_zero(total) * 2**20),
        )
        for name, busy, used, total in rows
    )


def _number_or_zero(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # [N/A], [Not Supported]
        return 0.0
