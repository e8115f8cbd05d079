"""An MLflow server beside the studio: a child process on loopback that ends with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tabstudio.errors import ConfigError
from tabstudio.settings import setting, shown

LOG = "mlflow-server.log"
_END_SECONDS = 10


@contextmanager
def run_mlflow_server(tracking_uri: str, registry_uri: str) -> Iterator[str]:
    """Run an MLflow server over a database while the block lasts, and yield its address.

    It answers to its own two names on loopback and nothing else. What it prints goes to `mlflow-server.log`
    in `TABSTUDIO_HOME`. It takes a few seconds to answer; nobody waits for it here.

    Raises `ConfigError` where runs are not kept in a database.
    """
    if web_address(tracking_uri):
        raise ConfigError(
            f"--mlflow: {shown(tracking_uri)} is a tracking server already; the studio links to it"
        )
    port = _free_port()
    hosts = [f"127.0.0.1:{port}", f"localhost:{port}"]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", tracking_uri, "--registry-store-uri", registry_uri]
    command += ["--no-serve-artifacts", "--default-artifact-root", (Path.cwd() / "mlruns").as_uri()]
    command += ["--allowed-hosts", ",".join(hosts)]
    command += ["--cors-allowed-origins", ",".join(f"http://{host}" for host in hosts)]
    log = Path(setting("TABSTUDIO_HOME")).absolute() / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    supervised = [sys.executable, "-m", "tabstudio.studio.child_process", *command]
    with log.open("wb") as output:
        child = subprocess.Popen(
            supervised,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_server_environment(),
        )
    try:
        yield f"http://{hosts[0]}"
    finally:
        assert child.stdin is not None
        child.stdin.close()  # `child_process` ends the server
        child.wait(_END_SECONDS)


def web_address(uri: str) -> str:
    """Return where a tracking server's pages are, without name and password; empty for any other store."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _server_environment() -> dict[str, str]:
    """No usage statistics, no job runners: only its pages are wanted."""
    return {
        "MLFLOW_DISABLE_TELEMETRY": setting("MLFLOW_DISABLE_TELEMETRY"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **os.environ,
    }
