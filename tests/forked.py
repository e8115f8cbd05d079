"""Processes that need not import MLflow and the studio once more: they are forked off one that has.

That one is started when the first is asked for, and has done nothing but import.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["mlflow", "tabstudio.registry.mlflow_client", "tabstudio.studio.app", "tabstudio.cli.app"]
)


class Forked:
    """A process that runs code, as `python -c CODE WORDS` does; `subprocess.Popen` as far as tests use it.

    What it prints is added to the file `output`. It has the environment and the folder that are given, by
    default those of this moment.
    """

    def __init__(
        self,
        code: str,
        *words: str,
        output: Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.output = output
        place = str(folder or Path.cwd())
        given = dict(os.environ if environment is None else environment)
        # The name is what NiceGUI takes for no worker of a development server.
        self._process = _CONTEXT.Process(
            target=_run, args=(code, words, str(output.absolute()), place, given), name="MainProcess"
        )
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """Its exit code, that of a signal below zero; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 120) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("forked", timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal while it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _run(code: str, words: Sequence[str], output: str, folder: str, environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["-c", *words]
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    sys.stdout, sys.stderr = (os.fdopen(standard, "w", buffering=1) for standard in (1, 2))
    status = 0
    try:
        exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})
    except BaseException:  # noqa: BLE001 - whatever it is, it is told
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
