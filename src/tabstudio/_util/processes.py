"""Processes that outlive whoever started them, and are known again by number and time of birth.

A number alone would not do: the system gives it to somebody else once its bearer has ended.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

_SAME_SECONDS = 0.05
"""The clock by which the system dates processes has ticks of 0.01 s."""
_LAUNCH = """
import subprocess, sys
log, *command = sys.argv[1:]
with open(log, "ab") as output:
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )
print(child.pid)
child.returncode = 0  # it goes on without us
"""


def launch(
    command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None
) -> psutil.Process:
    """Start a command as nobody's child, in a session of its own: no terminal takes it along.

    It works in `folder`, what it prints goes to the end of `log`. Raises `OSError` where that cannot be.
    """
    launcher = [sys.executable, "-c", _LAUNCH, str(log), *command]
    done = subprocess.run(launcher, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
    return psutil.Process(int(done.stdout))


def find(pid: int, born: float) -> psutil.Process | None:
    """The very process that began at `born` (Unix seconds) as number `pid`; None where it is gone."""
    try:
        process = psutil.Process(pid) if pid else None
        same = process is not None and abs(process.create_time() - born) < _SAME_SECONDS
    except psutil.NoSuchProcess:
        return None
    return process if process is not None and same and alive(process) else None


def alive(process: psutil.Process) -> bool:
    """Whether it works still; one that has ended and was not yet asked how is dead."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill(processes: Sequence[psutil.Process]) -> None:
    """End processes by force, those that are still there."""
    for one in processes:
        try:
            one.kill()  # psutil looks at the time it began, too
        except psutil.NoSuchProcess:
            continue
