"""A real MLflow: databases, a server that can be killed, and a small bundle to register."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tabstudio.table.schema import Column, Schema, Target

SCHEMA = Schema(
    (
        Column("mean radius", "number", dtype="Float64"),
        Column("count", "number", dtype="Int64"),
        Column("gaps", "number", dtype="Int64", missing=3),
        Column("colour", "category", dtype="String"),
        Column("id", "number", "id", dtype="Int64"),
        Column("diagnosis", "category", "target", dtype="String"),
    ),
    Target("diagnosis", "binary", ("benign", "malignant"), "malignant"),
)


class Server:
    """`mlflow server` on a loopback port of its own; `kill` is SIGKILL, `start` brings it back."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(Path(sys.executable).parent / "mlflow"), "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def database(empty_mlflow, tmp_path):
    """The address of an empty `mlflow.db` in the test's folder."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(scope="session")
def server(empty_mlflow, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_mlflow, folder / "mlflow.db")
    server = Server(folder)
    yield server
    server.kill()


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "a bundle"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return folder
