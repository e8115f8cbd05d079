"""Heads and bodies of requests, within bounds, and whole responses."""

from __future__ import annotations

import asyncio
import re
import secrets
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tabstudio.serving.request_hooks import HttpError
from tabstudio.serving.serve_options import Bounds

if TYPE_CHECKING:
    from tabstudio._compat.python import Decompressor

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_USED_HEADERS = frozenset(
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
INLINE_BYTES = 64 << 10
"""Decompressed bytes up to which a body is decompressed on the event loop; a longer one goes to a thread."""
_prefix = secrets.token_hex(8)
_numbers = count(1)


class ClientDisconnected(Exception):  # noqa: N818 - nobody is left to get an error
    """The client went away before its request was whole."""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The headers that are used here, by name in lower case; the last of several wins."""
    return {name: value for name, value in scope["headers"] if name in _USED_HEADERS}


def request_id(headers: dict[bytes, bytes]) -> str:
    """The client's own id where it is a plain word, else a new one."""
    own = headers.get(b"x-request-id")
    if own is not None and _REQUEST_ID.fullmatch(own):
        return own.decode()
    return f"{_prefix}-{next(_numbers):x}"


class AllowedHosts:
    """The host names that a request may have, which stops DNS rebinding.

    Names are compared whole, without the port. Those of the loopback are always among them. An address of IP
    version 6 may be given without its brackets.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.any = "*" in names
        self.names = {b"localhost", b"127.0.0.1", b"[::1]", *map(_host_name, names)}
        self._accepted: set[bytes] = set()

    def check(self, host: bytes | None) -> None:
        """Refuse, with 400, a request for another host, or for none."""
        if host in self._accepted:
            return
        name = (host or b"").lower()
        name = name if name.endswith(b"]") else re.sub(rb":\d*$", b"", name)
        if not self.any and name not in self.names:
            shown = name[:100].decode("ascii", "replace")
            raise HttpError(
                400,
                "UNKNOWN_HOST",
                f"this server does not answer for the host {shown!r}; see --allow-host",
            )
        if len(self._accepted) < 100 and host is not None:
            self._accepted.add(host)


class BodyReader:
    """Reads bodies: each within `body_bytes` and `body_seconds`, all together within `buffered_bytes`.

    Whoever reads a body calls `release` with its length once it is done with.
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
            plain = await self._decoded(body, encoding)
            self._reserve(len(plain))
        finally:
            self.release(len(body))
        return plain

    def release(self, length: int) -> None:
        """Make room for others."""
        self.buffered -= length

    async def _rest(self, receive: Receive, message: Message) -> bytes:
        body, complete = bytearray(), False
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
                        complete = True
                        return bytes(body)
                    message = await receive()
        except TimeoutError:
            seconds = self.bounds.body_seconds
            raise HttpError(408, "BODY_TOO_SLOW", f"the body did not arrive within {seconds:g} s") from None
        finally:
            if not complete:
                self.release(len(body))

    def _reserve(self, length: int) -> None:
        if self.buffered + length > self.bounds.buffered_bytes:
            raise HttpError(503, "OUT_OF_BUFFER", "too many large bodies are on their way", retry_after=1)
        self.buffered += length

    async def _decoded(self, body: bytes, encoding: bytes) -> bytes:
        if encoding.lower() not in (b"gzip", b"identity"):
            raise HttpError(415, "UNSUPPORTED_ENCODING", "a body may be plain or gzip")
        if encoding.lower() == b"identity":
            return bytes(body)
        decompressor = zlib.decompressobj(wbits=31)
        try:
            plain = decompressor.decompress(body, INLINE_BYTES)
            if decompressor.unconsumed_tail:
                plain += await asyncio.to_thread(self._decompress_rest, decompressor, len(plain))
        except zlib.error as error:
            raise HttpError(400, "MALFORMED_GZIP", f"the body is no gzip: {error}") from None
        if len(plain) > self.bounds.body_bytes:
            raise self._too_long("decompressed ")
        if not decompressor.eof or decompressor.unused_data:
            raise HttpError(400, "MALFORMED_GZIP", "the body is not one whole gzip stream")
        return plain

    def _decompress_rest(self, decompressor: Decompressor, length: int) -> bytes:
        most = max(1, self.bounds.body_bytes + 1 - length)
        return decompressor.decompress(decompressor.unconsumed_tail, most)

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
"""In headers of their own: of several schemes in one header, Chromium reads the first alone."""


class Response(NamedTuple):
    """Status, body and headers beside length and request id."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def respond(send: Send, response: Response, request_id: str) -> None:
    """Send a whole response."""
    status, body, content_type, extra = response
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_response(error: HttpError, request_id: str) -> Response:
    """An error in the one shape that every endpoint has."""
    content = {
        "error": error.message,
        "error_code": error.code,
        "faults": error.faults,
        "request_id": request_id,
    }
    headers: list[tuple[bytes, bytes]] = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if error.status == 401:
        headers += _CHALLENGES
    return Response(error.status, msgspec.json.encode(content), headers=tuple(headers))
