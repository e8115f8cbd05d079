"""What a connection may hold up: heads and bodies that do not come, heads without end, and others."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tabstudio.model.predictor import Model
from tabstudio.serving.server import HEAD_BYTES, make_server

from .conftest import in_process

HEAD = b"POST /v1/models/ills/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def address(model: Model, tmp_path: Path) -> Iterator[tuple[str, int]]:
    bounds = {"header_seconds": 0.5, "body_seconds": 0.5, "connections": 5, "drain_seconds": 1.0}
    with in_process({"ills": model}, tmp_path, **bounds) as asking, _running(asking) as listening:
        yield listening


@contextmanager
def _running(asking) -> Iterator[tuple[str, int]]:
    listening = socket.create_server(("127.0.0.1", 0))
    made = make_server(asking.app, asking.app.bounds)
    thread = threading.Thread(target=lambda: asyncio.run(made.serve([listening])))
    thread.start()
    try:
        yield listening.getsockname()
    finally:
        made.should_exit = True
        thread.join()


def told(connection: socket.socket) -> tuple[int, dict, float]:
    """Status and content of the answer that ends a connection, and the seconds until it came."""
    started = time.monotonic()
    connection.settimeout(10)
    got = b""
    while more := connection.recv(4096):
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body), time.monotonic() - started


@pytest.mark.parametrize("sent", [b"", b"POST /v1", HEAD])
def test_a_head_that_does_not_come_is_given_up(address: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        status, content, seconds = told(connection)
    assert (status, content["error_code"]) == (408, "HEAD_TOO_SLOW")
    assert 0.3 < seconds < 3


def test_a_body_that_does_not_come_is_given_up(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
        connection.settimeout(10)
        answer = b""
        while b"BODY_TOO_SLOW" not in answer:
            more = connection.recv(4096)
            assert more
            answer += more
        assert answer.startswith(b"HTTP/1.1 408")
        started = time.monotonic()
        assert _closed(connection)  # what is not read is not waited for
        assert time.monotonic() - started < 3


def test_a_head_without_end_is_refused(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(HEAD + b"X-Long: " + b"x" * (HEAD_BYTES + 100))
        assert told(connection)[:2][0] == 431


def test_what_is_no_http_is_refused_in_our_shape(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        status, content, _ = told(connection)
    assert (status, content["error_code"]) == (400, "MALFORMED_HTTP")


def test_more_connections_than_allowed_are_refused(address: tuple[str, int]) -> None:
    held = [socket.create_connection(address) for _ in range(5)]
    time.sleep(0.1)
    with socket.create_connection(address) as connection:
        assert told(connection)[1]["error_code"] == "TOO_MANY_CONNECTIONS"
    for connection in held:
        connection.close()


def test_a_long_body_is_refused_at_its_head_and_not_kept(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        connection.settimeout(10)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_requests_in_one_piece_are_answered_in_their_order(address: tuple[str, int]) -> None:
    """Pipelined requests, one of them answered by a head alone."""
    asked = [b"HEAD /health", b"GET /v2/health/live", b"HEAD /ping", b"GET /v1/models"]
    with socket.create_connection(address) as connection:
        connection.sendall(b"".join(line + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" for line in asked))
        connection.settimeout(10)
        got = b""
        while b'"served"' not in got:
            more = connection.recv(4096)
            assert more
            got += more
    assert got.count(b"HTTP/1.1 200 OK") == 4
    assert got.index(b'"live":true') < got.index(b'"models"')


def _closed(connection: socket.socket) -> bool:
    try:
        while connection.recv(4096):
            continue
    except ConnectionError:
        return True
    return True
