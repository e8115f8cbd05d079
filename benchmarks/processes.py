"""Whole processes, timed from outside."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path


def timed(command: list[str], folder: str | Path) -> float:
    """Wall-clock seconds of a command in a folder, untouched by MLflow's settings. Ends where it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    took = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return took
