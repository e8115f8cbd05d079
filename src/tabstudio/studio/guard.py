"""The door: every request and every websocket is checked here before anything else sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tabstudio.settings import actor
from tabstudio.studio.access.roles import Who

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio

_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Refuses foreign hosts and origins, and says in `scope["state"]["who"]` who asks."""

    def __init__(self, app: ASGIApp, studio: Studio) -> None:
        self.app, self.studio = app, studio
        options = studio.options
        name = f"[{options.host}]" if ":" in options.host else options.host
        own = {name, "localhost", "127.0.0.1", "[::1]"} if options.loopback else {name}
        self.hosts = {f"{host}:{options.port}" for host in own} | set(options.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        problem = self._problem(Headers(scope=scope))
        if problem:
            await _refuse(problem, scope, receive, send)
            return
        scope.setdefault("state", {})["who"] = Who(actor(), "admin")

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message.get("headers", ())}
                message.setdefault("headers", []).extend(
                    (n.encode(), v.encode()) for n, v in _HEADERS.items() if n.encode() not in given
                )
            await send(message)

        await self.app(scope, receive, sending)

    def _problem(self, headers: Headers) -> str:
        host = headers.get("host", "")
        if host not in self.hosts:
            return f"this studio does not answer for the host {host[:100]!r}; see --allow-host"
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] not in self.hosts:
            return f"a page of {origin[:100]!r} must not use this studio"
        return ""


async def _refuse(problem: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": problem[:100]})
        return
    await PlainTextResponse(problem, status_code=400)(scope, receive, send)
