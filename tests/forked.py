"""Code in processes of its own that need not import MLflow once more: they are forked off one that has."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["mlflow.tracking", "tabstudio.registry.mlflow_client"])


class Forked:
    """A process that runs code as `python -c CODE WORDS` would; what it prints goes to a file."""

    def __init__(self, code: str, *words: str, output: Path) -> None:
        self.output = output
        self._process = _CONTEXT.Process(target=_run, args=(code, words, str(output), str(Path.cwd())))
        self._process.start()

    def wait(self, seconds: float = 120) -> int:
        """Return its exit code, that of a signal below zero; what it has printed stands in `output` then."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"it did not end within {seconds} s"
        return self._process.exitcode


def _run(code: str, words: Sequence[str], output: str, folder: str) -> None:
    os.chdir(folder)
    sys.argv = ["-c", *words]
    with Path(output).open("w", buffering=1) as file:
        sys.stdout = sys.stderr = file
        names: dict[str, Any] = {"__name__": "__main__"}
        try:
            exec(compile(code, "<code>", "exec"), names)
        except BaseException:  # noqa: BLE001 - whatever it is, it is told
            traceback.print_exc(file=file)
            os._exit(1)
