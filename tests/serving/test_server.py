"""The server as a process: it drops nothing, gives nobody more than the bounds, and survives its workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psutil
import pytest

from tabstudio.model.predictor import Model
from tabstudio.serving.tokens import create
from tabstudio.tracking import Recorder

from .conftest import server

Rows = list[dict[str, Any]]


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    return model.save(tmp_path / "ills")


def replaced(folder: Path, model: Model) -> None:
    """Put another model where one lies, in one step."""
    new = model.save(folder.with_name("new"))
    folder.rename(folder.with_name("old"))
    new.rename(folder)


class Load:
    """Clients that ask one after the other until they are told to stop; what they got."""

    def __init__(self, url: str, row: dict[str, Any], clients: int) -> None:
        self.url, self.body = f"{url}/v1/models/ills/predict", {"rows": [row]}
        self.versions: set[str] = set()
        self.answers = 0
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        with httpx.Client(timeout=20) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(self.url, json=self.body)
                except httpx.HTTPError as error:
                    self.failed.append(f"{type(error).__name__}: {error}")
                    continue
                self.answers += 1
                if answer.status_code == 200:
                    self.versions.add(answer.json()["version"])
                else:
                    self.failed.append(f"{answer.status_code} {answer.text}")

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def workers(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children()


def until(what: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(httpx.HTTPError):
            if found := what():
                return found
        time.sleep(0.05)
    raise AssertionError(f"it did not happen within {seconds} s")


def version(url: str) -> str:
    return str(httpx.get(f"{url}/v1/models/ills").json()["version"])


def test_a_promotion_and_a_killed_worker_go_unnoticed(
    folder: Path, make_model: Callable[..., Model], rows: Rows, tmp_path: Path
) -> None:
    with server(str(folder), "--workers", "2", "--watch", "0.2", log=tmp_path / "log") as (url, pid):
        before = version(url)
        load = Load(url, rows[0], 8)
        until(lambda: load.answers > 50)
        replaced(folder, make_model(seed=4))
        until(lambda: version(url) != before)
        victim = workers(pid)[0]
        victim.kill()
        until(lambda: victim.pid not in {w.pid for w in workers(pid)} and len(workers(pid)) == 2)
        answered = load.answers
        until(lambda: load.answers > answered + 50)
        load.stop()
        assert load.answers > 100
        assert load.versions == {before, version(url)}
        # what the killed worker was answering is lost, at most one request a client; nothing else is
        assert all("RemoteProtocolError" in text or "ReadError" in text for text in load.failed), load.failed
        assert len(load.failed) <= 8
        # the new worker serves what the others do
        assert {version(url) for _ in range(20)} == {max(load.versions - {before})}
    assert "ended (by signal 9), a new one is started" in (tmp_path / "log").read_text()


def test_a_damaged_version_is_refused_and_the_old_one_goes_on(
    folder: Path, make_model: Callable[..., Model], rows: Rows, tmp_path: Path
) -> None:
    with server(str(folder), "--workers", "2", "--watch", "0", log=tmp_path / "log") as (url, pid):
        before = version(url)
        new = make_model(seed=4).save(tmp_path / "new")
        weights = new / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
        folder.rename(tmp_path / "old")
        new.rename(folder)
        answer = httpx.post(f"{url}/v1/models/ills/reload")
        assert (answer.status_code, answer.json()["error_code"]) == (409, "NOT_RELOADED")
        assert "weights.safetensors was changed" in answer.json()["error"]
        assert version(url) == before
        assert (
            httpx.post(f"{url}/v1/models/ills/predict", json={"rows": rows[:1]}).json()["version"] == before
        )
        shutil.rmtree(folder)
        make_model(seed=5).save(folder)
        os.kill(pid, signal.SIGHUP)
        until(lambda: version(url) != before)
    assert f"a new version is not served, {before} goes on" in (tmp_path / "log").read_text()


def test_what_is_in_flight_is_answered_before_the_end(folder: Path, rows: Rows, tmp_path: Path) -> None:
    body = json.dumps({"rows": rows[:1]}).encode()
    with server(str(folder), log=tmp_path / "log") as (url, pid):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half, socket.create_connection((host, int(port))):
            head = b"POST /v1/models/ills/predict HTTP/1.1\r\nHost: localhost\r\n"
            head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            half.sendall(head + body[:10])
            assert httpx.get(f"{url}/health").is_success  # what came before it has been read
            os.kill(pid, signal.SIGTERM)
            until(lambda: _refused(host, int(port)))
            half.sendall(body[10:])
            half.settimeout(10)
            answer = half.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer


def _refused(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_stalled_sockets_and_a_flood_hold_nobody_up(folder: Path, rows: Rows, tmp_path: Path) -> None:
    with server(str(folder), log=tmp_path / "log") as (url, pid):
        host, port = url.removeprefix("http://").split(":")
        until(lambda: httpx.post(f"{url}/v1/models/ills/predict", json={"rows": rows}).is_success)
        before = sum(w.memory_info().rss for w in workers(pid))
        stalled = [socket.create_connection((host, int(port))) for _ in range(100)]
        for connection in stalled[1:]:
            connection.sendall(b"POST /v1/models/ills/predict HTTP/1.1\r\nHost: localhost\r\nContent-Len")
        flood = threading.Thread(target=_flood, args=(host, int(port), 256))
        flood.start()
        slowest, highest = 0.0, 0
        while flood.is_alive():
            started = time.monotonic()
            assert httpx.get(f"{url}/health").status_code == 200
            slowest = max(slowest, time.monotonic() - started)
            highest = max(highest, sum(w.memory_info().rss for w in workers(pid)))
        assert slowest < 1.0
        assert highest - before < 40 << 20
        for connection in stalled:
            connection.close()


def _flood(host: str, port: int, megabytes: int) -> None:
    with socket.create_connection((host, port)) as connection:
        connection.settimeout(60)
        connection.sendall(
            b"POST /v1/models/ills/predict HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with suppress(OSError):
            for _ in range(megabytes):
                connection.sendall(b"100000\r\n" + bytes(1 << 20) + b"\r\n")


def test_a_browser_is_told_to_ask_for_the_token(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tmp_path / "tokens"
    secret = create("ward-3", tokens)
    monkeypatch.setenv("TABSTUDIO_SERVE_TOKENS", str(tokens))
    with server(str(folder), log=tmp_path / "log") as (url, _):
        for asked in (httpx.get(f"{url}/try"), httpx.post(f"{url}/v1/models/ills/predict", json={})):
            assert (asked.status_code, asked.json()["error_code"]) == (401, "UNAUTHENTICATED")
            # a header for each: of several schemes in one, Chromium sees the first alone
            challenges = asked.headers.get_list("www-authenticate")
            assert challenges == ['Bearer realm="tabstudio"', 'Basic realm="tabstudio"']
        assert "<form" in httpx.get(f"{url}/try/ills", auth=("anybody", secret)).raise_for_status().text
        assert httpx.get(f"{url}/health").is_success
        if browser := shutil.which("chromium"):
            page = url.replace("//", f"//anybody:{secret}@") + "/try/ills"
            words = [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={tmp_path / 'browser'}",
            ]
            done = subprocess.run([*words, "--dump-dom", page], capture_output=True, check=True, timeout=60)
            assert b"<form" in done.stdout


def test_a_model_that_cannot_be_served_is_told_on_one_line(folder: Path, tmp_path: Path) -> None:
    (folder / "profile.json").write_text("{}")
    command = [sys.executable, "-m", "tabstudio", "serve", str(folder), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "profile.json was changed after the model was saved" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "tabstudio", "serve", str(folder), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "choose another --port" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "a"], "came twice"),
        (["a", "--canary", "b"], "=10% was expected"),
        (["a", "--canary", "a=0%"], "between 0% and 100%"),
        (["a", "b", "--shadow", "c"], "none of the models served"),
        (["a", "--workers", "0"], "at least 1"),
        (["a", "--deadline", "0"], "greater than 0"),
    ],
)
def test_wrong_words_are_told(words: list[str], said: str) -> None:
    import contextlib
    import io

    from tabstudio.cli.app import run

    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        assert run(["serve", *words]) == 2
    assert said in errors.getvalue()


@pytest.mark.delivers
def test_an_alias_is_followed_without_a_failed_request(
    make_model: Callable[..., Model], frame: pl.DataFrame, rows: Rows, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with Recorder(tracking_uri=uri) as recorder:
        for seed in (1, 2):
            model = make_model(seed=seed)
            saved = model.save(tmp_path / f"saved{seed}")
            with recorder.start("ills") as run:
                run.model(saved, model.schema, frame.head(2), registered_name="ills", card="# Ills")
        recorder.wait(120)
    client = MlflowClient(uri, uri)
    client.set_registered_model_alias("ills", "production", "1")
    words = ["models:/ills@production", "--canary", "models:/ills/2=50%", "--watch", "0.2"]
    with server(*words, log=tmp_path / "log") as (url, _):
        assert version(url) == "1"
        load = Load(url, rows[1], 2)
        until(lambda: load.versions == {"1", "2"})
        client.set_registered_model_alias("ills", "production", "2")
        until(lambda: version(url) == "2")
        load.stop()
        assert not load.failed
        served = httpx.get(f"{url}/v1/models/ills").json()["served"]
        assert [(one["version"], one["role"]) for one in served] == [("2", "live"), ("2", "canary")]
