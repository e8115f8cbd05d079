"""`tabstudio studio --mlflow`: MLflow's own pages one click away, and never there without the studio."""

from __future__ import annotations

import re
import time

import httpx
import psutil
import pytest

from tabstudio.errors import ConfigError
from tabstudio.studio import mlflow_server
from tabstudio.studio.mlflow_server import web_address

from .conftest import start_studio


def descendants(pid: int) -> list[psutil.Process]:
    """The leash and all that hangs on it."""
    return psutil.Process(pid).children(recursive=True)


def link_of(url: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", httpx.get(url, timeout=30).text)
    assert found
    return found[0]


def answering(url: str, seconds: float = 90) -> httpx.Response:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            return httpx.get(url, timeout=30)
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"nothing answers at {url}")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_it_runs_with_the_studio_answers_to_its_own_names_and_ends_with_it(tmp_path, end):
    running = start_studio(tmp_path, "--mlflow", fresh=True)
    try:
        started = descendants(running.process.pid)
        url = link_of(running.url)
        assert "mlflow" in answering(url).text.lower()
        started = {*started, *descendants(running.process.pid)}
        assert len(started) >= 2
        evil = httpx.get(f"{url}/api/2.0/mlflow/experiments/search", headers={"host": "evil.example"})
        assert evil.status_code == 403
        port = url.rpartition(":")[2]
        other = httpx.get(
            f"{url}/ajax-api/2.0/mlflow/experiments/search", headers={"host": f"10.0.0.1:{port}"}
        )
        assert other.status_code == 403
    finally:
        getattr(running, end)()
    _, alive = psutil.wait_procs(started, timeout=15)
    assert alive == []


def test_a_tracking_server_is_linked_without_its_password():
    assert web_address("https://ann:secret@mlflow.example.org/base") == "https://mlflow.example.org/base"
    assert web_address("sqlite:///mlflow.db") == ""
    assert web_address("postgresql://ann@db/mlflow") == ""


def test_beside_a_tracking_server_none_is_started():
    with (
        pytest.raises(ConfigError, match="is a tracking server already"),
        mlflow_server.run_mlflow_server("http://ann:secret@127.0.0.1:5000", "http://127.0.0.1:5000"),
    ):
        pass
