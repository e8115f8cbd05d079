"""A registry, and the same one through the REST API and its client, in one process."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest

from tabstudio.remote.connection import Connection
from tabstudio.remote.contract import API, API_HEADER
from tabstudio.remote.registry import RemoteRegistry
from tabstudio.studio.access.roles import Actor
from tabstudio.studio.api.app import build

from ..registry.mlflows import copied

URL = "http://studio.example.org"


@pytest.fixture
def place(tmp_path, empty_mlflow):
    """A registry of plain MLflow with `ill` in four versions."""
    made = copied(empty_mlflow, tmp_path)
    made.register("ill", 4)
    return made


@pytest.fixture
def near(place):
    with place.open("ann") as registry:
        yield registry


@pytest.fixture
def far(near, monkeypatch):
    """The client of a studio over that registry, which knows everybody as the approver ann."""
    studio = SimpleNamespace(
        registry=lambda who: near.as_actor(who.name), feed=SimpleNamespace(touch=lambda _: None)
    )
    api = build(studio)

    async def guarded(scope, receive, send):
        scope.setdefault("state", {})["who"] = Actor("ann", "approver")
        await api(scope, receive, send)

    async def request(method, path, body, headers):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url=URL) as client:
            return await client.request(method, path, content=body, headers=headers)

    @contextmanager
    def answered(method, url, *, seconds, body, headers):
        response = asyncio.run(request(method, url.removeprefix(URL + API), body, headers))
        response.headers[API_HEADER] = "1 0.1.0"
        yield response

    monkeypatch.setattr("tabstudio.remote.connection.open_request", answered)
    return RemoteRegistry(Connection(URL, "token"))
