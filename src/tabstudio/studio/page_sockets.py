"""Websockets of pages: each speaks for the pages of who opened it only, and ends when their access ends."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from nicegui import Client, core
from socketio.exceptions import ConnectionRefusedError as SocketRefusedError

from tabstudio.studio.access.authentication import Claim

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio

MESSAGE_BYTES = 1 << 20
"""The longest message that a page may send."""
WATCH_SECONDS = 5.0
"""After so long at most, open pages are looked after."""
_TRUSTED_SECONDS = 1.0
"""How long a claim that held is not asked about again, for messages. An action asks by itself, each time."""
_MESSAGES = ("event", "javascript_response", "ack", "log")
_RELOAD = "Implicit handshake failed"
"""At this word a page is loaded anew, and so comes to the door."""
Handler = Callable[..., Any]


class PageSockets:
    """Stands before NiceGUI's handlers of messages.

    A message names the page that it is for. NiceGUI believes it; here it must be the page that the
    websocket was opened for, by somebody known by the same claim, and the claim must still hold.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._held: dict[Claim, float] = {}
        self._handlers: dict[str, Handler] = dict(core.sio.handlers["/"])

    def install(self) -> None:
        """Take NiceGUI's place at the door, and follow who may still use the studio."""
        core.sio.eio.max_http_buffer_size = MESSAGE_BYTES
        core.sio.on("connect", self._connect)
        core.sio.on("handshake", self._handshake)
        for name in _MESSAGES:
            core.sio.on(name, self._passing(name))

    async def watch(self) -> None:
        """Send every page whose claim holds no more to the door, and tell it nothing from now on."""
        self._held.clear()
        for client in list(Client.instances.values()):
            claim = _claim(client.request.scope)
            if claim and await self.studio.access.authenticate(claim) is None:
                reload = {"code": "window.location.reload()"}
                await core.sio.emit("run_javascript", reload, room=client.id)
                if not client.is_deleted:
                    client.delete()

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        if "client_id" in query and not _same(environ, query["client_id"][0]):
            raise SocketRefusedError(_RELOAD)
        await self._handlers["connect"](sid, environ, auth)

    async def _handshake(self, sid: str, data: dict[str, Any]) -> bool:
        if not _same(core.sio.get_environ(sid), str(data.get("client_id"))):
            return False
        return bool(await self._handlers["handshake"](sid, data))

    def _passing(self, name: str) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
        handler = self._handlers[name]

        async def checked(sid: str, message: dict[str, Any]) -> None:
            if message.get("client_id") not in core.sio.rooms(sid) or not self._holds(sid):
                return
            answer = handler(sid, message)
            if inspect.isawaitable(answer):
                await answer

        return checked

    def _holds(self, sid: str) -> bool:
        claim = _claim(core.sio.get_environ(sid)["asgi.scope"])
        if claim is None:
            return False
        now = monotonic()
        if self._held.get(claim, 0.0) < now:
            if self.studio.access.who(claim) is None:
                return False
            self._held = {one: until for one, until in self._held.items() if until >= now}
            self._held[claim] = now + _TRUSTED_SECONDS
        return True


def _same(environ: dict[str, Any], client_id: str) -> bool:
    """Whether a websocket was opened by who opened the page, known by the same claim."""
    client = Client.instances.get(client_id)
    claim = _claim(environ["asgi.scope"])
    return client is not None and claim is not None and claim == _claim(client.request.scope)


def _claim(scope: Any) -> Claim | None:
    claim: Claim | None = scope.get("state", {}).get("claim")
    return claim
