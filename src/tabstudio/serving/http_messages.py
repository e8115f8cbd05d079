"""A request's head and body, within bounds."""

from __future__ import annotations

import asyncio
import re
import secrets
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import count
from typing import Any, NamedTuple

import msgspec

from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.serve_options import Bounds

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_KEYS = frozenset(
    (
        b"host",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"x-request-id",
        b"x-routing-key",
        b"inference-header-content-length",
    )
)
_prefix = secrets.token_hex(8)
_numbers = count(1)


class ClientDisconnected(Exception):  # noqa: N818 - nobody is there to hear of an error
    """The client went away before its request was whole."""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers that we look at, by name in lower case; the last of several wins."""
    return {name: value for name, value in scope["headers"] if name in _KEYS}


def request_id(headers: dict[bytes, bytes]) -> str:
    """The caller's own id where it is a plain word, else a new one."""
    given = headers.get(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return f"{_prefix}-{next(_numbers):x}"


class AllowedHosts:
    """The names under which the server may be asked: a page of another origin cannot pass for us.

    Names are compared whole, without the port. Those of the loopback are always among them. An address of IP
    version 6 may be given without its brackets.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.any = "*" in names
        self.names = {b"localhost", b"127.0.0.1", b"[::1]", *map(_host_name, names)}
        self._seen: set[bytes] = set()

    def check(self, host: bytes | None) -> None:
        """Refuse, with 400, a request for another host, or for none."""
        if host in self._seen:
            return
        name = (host or b"").lower()
        name = name if name.endswith(b"]") else re.sub(rb":\d*$", b"", name)
        if not self.any and name not in self.names:
            shown = name[:100].decode("ascii", "replace")
            raise HttpError(
                400, "UNKNOWN_HOST", f"this server does not answer for the host {shown!r}; see --allow-host"
            )
        if len(self._seen) < 100 and host is not None:
            self._seen.add(host)


class BodyReader:
    """Reads bodies: each within `body_bytes`, all together within `buffered_bytes`, none for ever.

    Whoever reads a body calls `release` with its length when it needs the body no more.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.buffered = 0

    async def read(self, receive: Receive, headers: dict[bytes, bytes]) -> bytes:
        """The body, decompressed where it is gzip. Raises `HttpError` or `ClientDisconnected`."""
        if int(headers.get(b"content-length", 0)) > self.bounds.body_bytes:
            raise self._too_long()
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body = message["body"]
            if len(body) > self.bounds.body_bytes:
                raise self._too_long()
            self._reserve(len(body))
        else:
            body = await self._rest(receive, message)
        encoding = headers.get(b"content-encoding")
        if not encoding:
            return bytes(body)
        try:
            plain = self._unpacked(body, encoding)
            self._reserve(len(plain))
        finally:
            self.release(len(body))
        return plain

    def release(self, length: int) -> None:
        """Make room for others."""
        self.buffered -= length

    async def _rest(self, receive: Receive, message: Message) -> bytes:
        body, whole = bytearray(), False
        try:
            async with asyncio.timeout(self.bounds.body_seconds):
                while True:
                    if message["type"] != "http.request":
                        raise ClientDisconnected
                    chunk = message["body"]
                    if len(body) + len(chunk) > self.bounds.body_bytes:
                        raise self._too_long()
                    self._reserve(len(chunk))
                    body += chunk
                    if not message.get("more_body", False):
                        whole = True
                        return bytes(body)
                    message = await receive()
        except TimeoutError:
            seconds = self.bounds.body_seconds
            raise HttpError(408, "BODY_TOO_SLOW", f"the body did not arrive within {seconds:g} s") from None
        finally:
            if not whole:
                self.release(len(body))

    def _reserve(self, length: int) -> None:
        if self.buffered + length > self.bounds.buffered_bytes:
            raise HttpError(503, "OUT_OF_BUFFER", "too many large bodies are on their way", retry_after=1)
        self.buffered += length

    def _unpacked(self, body: bytes, encoding: bytes) -> bytes:
        if encoding.lower() not in (b"gzip", b"identity"):
            raise HttpError(415, "UNSUPPORTED_ENCODING", "a body may be plain or gzip")
        if encoding.lower() == b"identity":
            return bytes(body)
        unpacker = zlib.decompressobj(wbits=31)
        try:
            plain = unpacker.decompress(body, self.bounds.body_bytes + 1)
        except zlib.error as error:
            raise HttpError(400, "MALFORMED_GZIP", f"the body is no gzip: {error}") from None
        if len(plain) > self.bounds.body_bytes:
            raise self._too_long("decompressed ")
        if not unpacker.eof or unpacker.unused_data:
            raise HttpError(400, "MALFORMED_GZIP", "the body is not one whole gzip stream")
        return plain

    def _too_long(self, what: str = "") -> HttpError:
        return HttpError(
            413,
            "BODY_TOO_LARGE",
            f"the {what}body is longer than the {self.bounds.body_bytes:,} bytes allowed",
        )


def _host_name(name: str) -> bytes:
    return (f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name).lower().encode()


_CHALLENGES = (
    (b"www-authenticate", b'Bearer realm="tabstudio"'),
    (b"www-authenticate", b'Basic realm="tabstudio"'),
)
"""In headers of their own: of several schemes in one, Chromium sees the first alone, and asks nobody."""


class Response(NamedTuple):
    """Status, body and headers beside length and request id."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def respond(send: Send, response: Response, request_id: str) -> None:
    """Send a whole response."""
    status, body, content_type, more = response
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_response(refused: HttpError, request_id: str) -> Response:
    """An error in the one shape that every endpoint has."""
    content = {
        "error": refused.message,
        "error_code": refused.code,
        "faults": refused.faults,
        "request_id": request_id,
    }
    more: list[tuple[bytes, bytes]] = []
    if refused.retry_after is not None:
        more.append((b"retry-after", b"%d" % refused.retry_after))
    if refused.status == 401:
        more += _CHALLENGES
    return Response(refused.status, msgspec.json.encode(content), headers=tuple(more))
