"""Websockets of pages: each may use its own page only, and ends when the access of its user ends."""

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
    from starlette.types import Scope

    from tabstudio.studio.studio import Studio

MESSAGE_BYTES = 1 << 20
"""The longest message that a page may send."""
WATCH_SECONDS = 5.0
"""Longest time between two checks of open pages."""
_TRUSTED_SECONDS = 1.0
"""How long a verified claim counts for messages. Every action verifies it again."""
_MESSAGES = ("event", "javascript_response", "ack", "log")
_RELOAD = "Implicit handshake failed"
"""At this message a browser loads the page again, and so meets the access guard."""
Handler = Callable[..., Any]


class PageSockets:
    """Wraps NiceGUI's handlers of messages.

    A message names the page that it is for. NiceGUI believes it; here it must be the page that the
    websocket was opened for, by somebody known by the same claim, and the claim must still hold.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._verified_until: dict[Claim, float] = {}
        self._handlers: dict[str, Handler] = dict(core.sio.handlers["/"])

    def install(self) -> None:
        """Replace NiceGUI's handlers."""
        core.sio.eio.max_http_buffer_size = MESSAGE_BYTES
        core.sio.on("connect", self._connect)
        core.sio.on("handshake", self._handshake)
        for name in _MESSAGES:
            core.sio.on(name, self._checked(name))

    async def watch(self) -> None:
        """Reload every page whose claim has ended, and send it nothing from now on."""
        self._verified_until.clear()
        for client in list(Client.instances.values()):
            claim = _claim(client.request.scope)
            if claim and await self.studio.access.authenticate(claim) is None:
                reload = {"code": "window.location.reload()"}
                await core.sio.emit("run_javascript", reload, room=client.id)
                if not client.is_deleted:
                    client.delete()

    async def _connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        if "client_id" in query and not _same(environ, query["client_id"][0]):
            raise SocketRefusedError(_RELOAD)
        await self._handlers["connect"](sid, environ, auth)

    async def _handshake(self, sid: str, data: dict[str, object]) -> bool:
        if not _same(core.sio.get_environ(sid), str(data.get("client_id"))):
            return False
        return bool(await self._handlers["handshake"](sid, data))

    def _checked(self, name: str) -> Callable[[str, dict[str, object]], Awaitable[None]]:
        handler = self._handlers[name]

        async def checked(sid: str, message: dict[str, object]) -> None:
            if message.get("client_id") not in core.sio.rooms(sid) or not self._is_valid(sid):
                return
            answer = handler(sid, message)
            if inspect.isawaitable(answer):
                await answer

        return checked

    def _is_valid(self, sid: str) -> bool:
        claim = _claim(core.sio.get_environ(sid)["asgi.scope"])
        if claim is None:
            return False
        now = monotonic()
        if self._verified_until.get(claim, 0.0) < now:
            if self.studio.access.who(claim) is None:
                return False
            self._verified_until = {one: until for one, until in self._verified_until.items() if until >= now}
            self._verified_until[claim] = now + _TRUSTED_SECONDS
        return True


def _same(environ: dict[str, Any], client_id: str) -> bool:
    """Whether a websocket was opened with the same claim as the page."""
    client = Client.instances.get(client_id)
    claim = _claim(environ["asgi.scope"])
    return client is not None and claim is not None and claim == _claim(client.request.scope)


def _claim(scope: Scope) -> Claim | None:
    claim: Claim | None = scope.get("state", {}).get("claim")
    return claim
