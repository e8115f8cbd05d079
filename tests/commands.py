"""Commands as somebody gives them in a terminal of a folder, called in this process."""

from __future__ import annotations

import io
import os
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tabstudio.cli.app import run

_KEPT = ("MLFLOW_DISABLE_TELEMETRY",)


def tabstudio(folder: Path, *words: str, **environment: str) -> CompletedProcess[str]:
    """Run a command in a folder, of our settings with those alone that are given."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(action="ignore"),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        patch.chdir(folder)
        for name in [name for name in os.environ if name.startswith(("MLFLOW_", "TABSTUDIO_"))]:
            if name not in _KEPT:
                patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        code = run(list(words))
    return CompletedProcess(words, code, out.getvalue(), err.getvalue())
