"""People of a studio, as the command line adds them, and programs and browsers that come as one of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.commands import tabstudio

PASSWORD = "correct horse battery"
ROLES = {"ann": "admin", "carol": "approver", "ed": "editor", "vera": "viewer"}


def people(folder: Path, **environment: str) -> dict[str, str]:
    """Add one person of each role; return their tokens."""
    tokens = {}
    for name, role in ROLES.items():
        add = ("users", "add", name, "--role", role)
        done = tabstudio(folder, *add, TABSTUDIO_PASSWORD=PASSWORD, **environment)
        assert done.returncode == 0, done.stderr
        made = tabstudio(folder, "users", "token", name, **environment)
        assert made.returncode == 0, made.stderr
        tokens[name] = made.stdout.strip()
    return tokens


@contextmanager
def browser(url: str, name: str, password: str = PASSWORD) -> Iterator[httpx.Client]:
    """Somebody who has logged in."""
    with httpx.Client(base_url=url, timeout=30) as client:
        answer = client.post("/login", data={"name": name, "password": password})
        assert answer.status_code == 303, answer.text
        yield client


def program(url: str, token: str) -> httpx.Client:
    """A program that shows a token."""
    return httpx.Client(base_url=f"{url}/api/v1", headers={"authorization": f"Bearer {token}"}, timeout=60)


def page_of(client: httpx.Client, path: str = "/") -> str:
    """Open a page and return the id by which its websocket is known."""
    answer = client.get(path)
    assert answer.status_code == 200
    found = re.search(r"client_id\W+([0-9a-f-]{36})", answer.text)
    assert found, answer.text[:1000]
    return found[1]


@contextmanager
def socket(url: str, client_id: str, cookie: str = "", **headers: str) -> Iterator[ClientConnection]:
    """The websocket of a page, as the page opens it."""
    query = (
        f"client_id={client_id}&tab_id={client_id}&document_id=d&next_message_id=0&implicit_handshake=true"
    )
    address = url.replace("http://", "ws://") + f"/_nicegui_ws/socket.io/?EIO=4&transport=websocket&{query}"
    given = ({"cookie": cookie} if cookie else {}) | {
        name.replace("_", "-"): v for name, v in headers.items()
    }
    with connect(address, additional_headers=given, open_timeout=10) as opened:
        assert opened.recv(timeout=10).startswith("0{")
        opened.send("40")
        yield opened


def heard(opened: ClientConnection, seconds: float = 10.0) -> Iterator[str]:
    """What a websocket hears, pings answered."""
    while True:
        said = opened.recv(timeout=seconds)
        if said == "2":
            opened.send("3")
        else:
            yield said


def say(opened: ClientConnection, event: str, **message: object) -> None:
    """Send what a page sends."""
    opened.send("42" + json.dumps([event, message]))
