"""Middleware that checks every request and websocket before anything else sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from nicegui import Client
from nicegui import __version__ as nicegui_version
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tabstudio._version import __version__
from tabstudio.errors import AccessError, DatabaseError
from tabstudio.remote.contract import API, API_HEADER, API_VERSION
from tabstudio.studio.access.request_claims import request_claim
from tabstudio.studio.body_limits import RequestRejected, call_with_body_limit

if TYPE_CHECKING:
    from tabstudio.studio.access.authentication import Claim
    from tabstudio.studio.studio import Studio

BODY_BYTES = 1 << 20
"""The longest body of anything but an upload."""
_ENVELOPE = 1 << 16
"""What an upload's form may take around the file."""
LOGIN = "/login"
_STATIC = ("/static/", f"/_nicegui/{nicegui_version}/", "/favicon.ico")
_OPEN = (LOGIN, "/health")
_PAGES = "/_nicegui/client/"
_UPLOADS = (_PAGES, f"{API}/tables/")
_READING = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class AccessGuard:
    """Rejects foreign hosts and origins, unauthenticated requests and endless bodies.

    It puts the user into `scope["state"]` as `who`, and their claim as `claim`.
    """

    def __init__(self, app: ASGIApp, studio: Studio) -> None:
        self.app, self.studio = app, studio
        self.origins = studio.options.origins()
        self.hosts = {origin.partition("://")[2] for origin in self.origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), scope["path"]
        sending = send if scope["type"] == "websocket" else _with_headers(send, path)
        try:
            self._check_origin(scope, headers)
            if not path.startswith(_STATIC) and path not in _OPEN:
                await self._authenticate(scope, headers)
            if scope["type"] == "websocket":
                await self.app(scope, receive, sending)
            else:
                limit = self._limit(path)
                await call_with_body_limit(self.app, limit, scope, headers, receive, sending)
        except RequestRejected as refused:
            await _answer(self._rejection(scope, headers, refused), refused, scope, receive, sending)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Reject what another site's page could have caused."""
        host = headers.get("host", "").lower()
        if host not in self.hosts or len(headers.getlist("host")) > 1:
            raise RequestRejected(
                400,
                "unknown_host",
                f"this studio does not answer for the host {host[:100]!r}; see --allow-host",
            )
        origin = headers.get("origin")
        if origin is not None and (origin not in self.origins or origin.partition("://")[2] != host):
            raise RequestRejected(
                403, "foreign_origin", f"a page of {origin[:100]!r} must not use this studio"
            )
        changing = scope["type"] == "websocket" or scope["method"] not in _READING
        if changing and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise RequestRejected(403, "foreign_origin", "a page of another site must not use this studio")

    async def _authenticate(self, scope: Scope, headers: Headers) -> None:
        """Authenticate the request."""
        try:
            claim = request_claim(self.studio.options, scope, headers)
            who = await self.studio.access.authenticate(claim) if claim else None
        except AccessError as error:
            raise RequestRejected(403, "forbidden", str(error)) from error
        except DatabaseError as error:
            raise RequestRejected(503, "unavailable", str(error)) from error
        if who is None or claim is None:
            raise RequestRejected(401, "unauthenticated", _unauthenticated_text(claim))
        if scope["path"].startswith(_PAGES) and not _owns(claim, scope["path"]):
            raise RequestRejected(403, "forbidden", "this page is somebody else's")
        scope.setdefault("state", {}).update(who=who, claim=claim)

    def _rejection(self, scope: Scope, headers: Headers, refused: RequestRejected) -> Response:
        """Return the rejection: a browser is redirected to the login, a program gets JSON."""
        path = scope["path"]
        if path.startswith(API):
            more = {"www-authenticate": 'Bearer realm="tabstudio"'} if refused.status == 401 else {}
            error = {"error": {"code": refused.code, "message": refused.message}}
            return JSONResponse(error, refused.status, more)
        by_password = refused.code == "unauthenticated" and not self.studio.options.user_header
        if by_password and "text/html" in headers.get("accept", ""):
            address = path + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
            return RedirectResponse(f"{LOGIN}?next={quote(address)}", 303)
        return PlainTextResponse(refused.message, refused.status)

    def _limit(self, path: str) -> int:
        return self.studio.options.upload_bytes + _ENVELOPE if path.startswith(_UPLOADS) else BODY_BYTES


def _owns(claim: Claim, path: str) -> bool:
    """Whether an address that belongs to one page, such as its uploads, is requested by who opened it."""
    client = Client.instances.get(path.removeprefix(_PAGES).partition("/")[0])
    return client is not None and client.request.scope.get("state", {}).get("claim") == claim


def _unauthenticated_text(claim: Claim | None) -> str:
    if claim is None:
        return "log in, or send a token: Authorization: Bearer TOKEN"
    if claim.kind == "token":
        return (
            "this token is unknown, was revoked or is too old; an admin makes one: tabstudio users token NAME"
        )
    if claim.kind == "proxy":
        return f"{claim.key} is not known here; an admin lets people in: tabstudio users add NAME --role ROLE"
    return "this session has ended: log in again"


async def _answer(
    response: Response, refused: RequestRejected, scope: Scope, receive: Receive, send: Send
) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": refused.message[:100]})
        return
    if refused.unread:  # what is still on its way must not be taken for another request
        response.headers["connection"] = "close"
    await response(scope, receive, send)


def _with_headers(send: Send, path: str) -> Send:
    extra = dict(_HEADERS)
    if not path.startswith(_STATIC):
        extra["cache-control"] = "no-store"
    if path.startswith(API):
        extra[API_HEADER] = f"{API_VERSION} {__version__}"

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.setdefault("headers", [])
            present = {name.lower() for name, _ in headers}
            headers.extend((n.encode(), v.encode()) for n, v in extra.items() if n.encode() not in present)
        await send(message)

    return sending
