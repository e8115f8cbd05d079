"""Where a run runs: source version, packages, and how busy the machine is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import tabstudio
from tabstudio.settings import actor

MEGABYTE = 1e6


def source_tags(about_source: str, folder: Path) -> dict[str, str]:
    """Tags that MLflow's own pages show: who ran what, from which commit."""
    tags = {
        "mlflow.user": actor(),
        "mlflow.source.name": about_source,
        "mlflow.source.type": "LOCAL",
        "tabstudio.version": tabstudio.__version__,
    }
    if found := commit(folder):
        tags["mlflow.source.git.commit"] = found
        tags["mlflow.source.git.branch"] = _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
        tags["tabstudio.git.changed"] = str(bool(_git(folder, "status", "--porcelain", "-uno"))).lower()
        tags["mlflow.source.git.repoURL"] = _git(folder, "config", "--get", "remote.origin.url")
    return {name: value for name, value in tags.items() if value}


def commit(folder: Path) -> str:
    """Return the git commit that a folder is at, '' where it is in no repository."""
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):  # no git here, or a folder that it cannot read
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def packages() -> list[str]:
    """List every installed distribution as `name==version`, sorted."""
    versions = {d.name: d.version for d in importlib.metadata.distributions() if d.name}
    return sorted((f"{name}=={number}" for name, number in versions.items()), key=str.lower)


def environment() -> dict[str, object]:
    """Describe the interpreter and the machine."""
    import psutil

    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "memory_megabytes": round(psutil.virtual_memory().total / MEGABYTE),
        "tabstudio": tabstudio.__version__,
    }


class Sampler:
    """Samples the machine and one process, under the names that MLflow gives its system metrics.

    Every second at first, so that a short run has a few points; every ten seconds after the first ten.
    """

    def __init__(self, pid: int, folder: Path) -> None:
        import psutil

        self.folder = folder
        self.count = 0
        self._due = 0.0
        self._system = psutil
        self._process = psutil.Process(pid)
        self._network = psutil.net_io_counters()
        psutil.cpu_percent()

    @classmethod
    def of(cls, pid: int, folder: Path) -> Sampler | None:
        """Return a sampler of a process, None where it has ended already."""
        import psutil

        try:
            return cls(pid, folder)
        except psutil.NoSuchProcess:
            return None

    def due(self) -> bool:
        """Say whether it is time for the next sample."""
        return time.monotonic() >= self._due

    def sample(self) -> dict[str, float]:
        """Measure now: megabytes and percent. Empty once the process has ended."""
        self._due = time.monotonic() + (1.0 if self.count < 10 else 10.0)
        self.count += 1
        memory, disk = self._system.virtual_memory(), self._system.disk_usage(str(self.folder))
        values = {
            "cpu_utilization_percentage": self._system.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / MEGABYTE,
            "system_memory_usage_percentage": memory.percent,
            "disk_usage_megabytes": disk.used / MEGABYTE,
            "disk_usage_percentage": disk.percent,
            "disk_available_megabytes": disk.free / MEGABYTE,
        }
        network = self._system.net_io_counters()
        if network is not None and self._network is not None:
            received = network.bytes_recv - self._network.bytes_recv
            sent = network.bytes_sent - self._network.bytes_sent
            values["network_receive_megabytes"] = received / MEGABYTE
            values["network_transmit_megabytes"] = sent / MEGABYTE
        try:
            values["process_cpu_percentage"] = self._process.cpu_percent()
            values["process_memory_megabytes"] = self._process.memory_info().rss / MEGABYTE
        except self._system.NoSuchProcess:
            return {}
        return {f"system/{name}": value for name, value in (values | _graphics()).items()}


def _graphics() -> dict[str, float]:
    """Use and memory of each NVIDIA GPU; nothing where NVIDIA's library is not installed."""
    try:
        import pynvml  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return {}
    values: dict[str, float] = {}
    try:
        pynvml.nvmlInit()
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            busy = pynvml.nvmlDeviceGetUtilizationRates(handle)
            values[f"gpu_{number}_memory_usage_megabytes"] = memory.used / MEGABYTE
            values[f"gpu_{number}_memory_usage_percentage"] = 100.0 * memory.used / memory.total
            values[f"gpu_{number}_utilization_percentage"] = float(busy.gpu)
    except pynvml.NVMLError:  # the library without a driver or a device
        return values
    return values
