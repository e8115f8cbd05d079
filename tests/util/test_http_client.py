"""Requests over HTTP: answers, refusals, lines, redirects, proxies, and what cannot be reached."""

from __future__ import annotations

import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tabstudio._util.http_client import RequestError, open_request, send_request


class Echo(BaseHTTPRequestHandler):
    """Answers with what was asked; some paths answer otherwise."""

    def do_GET(self):
        status = {"/away": 302, "/refused": 409}.get(self.path, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("location", "/elsewhere")
        body = f"{self.command} {self.path}\n{self.headers.get('x-word')}\n".encode()
        body += self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_body_and_headers_arrive_and_the_answer_is_read(url):
    answer = send_request("POST", f"{url}/a", seconds=5, body=b"content", headers={"x-word": "w"})
    assert (answer.status_code, answer.text) == (200, "POST /a\nw\ncontent")


def test_lines_come_one_by_one(url):
    with open_request("GET", f"{url}/b", seconds=5, headers={"x-word": "w"}) as answer:
        assert list(answer.iter_lines()) == ["GET /b", "w"]


@pytest.mark.parametrize(("path", "status"), [("/away", 302), ("/refused", 409)])
def test_redirects_and_refusals_are_answers(url, path, status):
    assert send_request("GET", url + path, seconds=5).status_code == status


def test_no_address_is_logged(url, caplog):
    with caplog.at_level(logging.INFO):
        send_request("GET", f"{url}/secret", seconds=5)
    assert "secret" not in caplog.text


def test_what_cannot_be_reached_says_why():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(RequestError, match="timed out"):
            send_request("GET", f"http://127.0.0.1:{port}", seconds=0.05)
    with pytest.raises(RequestError, match="Connection refused"):
        send_request("GET", f"http://127.0.0.1:{port}", seconds=5)
    with pytest.raises(RequestError):
        send_request("GET", "http://", seconds=5)


def test_errors_of_the_caller_pass_through(url):
    with pytest.raises(KeyError), open_request("GET", url, seconds=5):
        raise KeyError("mine")


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_of_the_environment_is_used(url, monkeypatch, scheme):
    monkeypatch.setenv("http_proxy", url.replace("http://", scheme))
    answer = send_request("GET", "http://studio.example/x", seconds=5)
    assert answer.text.startswith("GET http://studio.example/x")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert send_request("GET", f"{url}/x", seconds=5).text.startswith("GET /x")


def test_a_proxy_is_passed_over_where_it_is_not_wanted(url, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    assert send_request("GET", f"{url}/x", seconds=5, use_proxy=False).text.startswith("GET /x")
