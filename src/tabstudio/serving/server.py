"""uvicorn's HTTP server with bounds on the time and size of a request's head and body."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tabstudio._compat.uvicorn import becomes_websocket
from tabstudio.serving.serve_options import Bounds

if TYPE_CHECKING:
    from tabstudio.serving.app import App

log = logging.getLogger("tabstudio.serving")

HEAD_BYTES = 64 << 10
SWEEP_SECONDS = 0.5
"""How often connections are checked for their time limits."""


def make_server(app: App, bounds: Bounds) -> HttpServer:
    """Build a uvicorn server that answers with `app` within bounds."""

    class Protocol(BoundedProtocol):
        limits = bounds

    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=bounds.idle_seconds,  # type: ignore[arg-type]  # passed to call_later
        timeout_graceful_shutdown=bounds.drain_seconds,  # type: ignore[arg-type]  # passed to wait_for
    )
    return HttpServer(config)


class HttpServer(uvicorn.Server):
    """A uvicorn server that ends connections at their limits and leaves signals to the worker."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `should_exit` is set."""
        sweep = asyncio.create_task(self._sweep())
        try:
            await self._serve(sockets)
        finally:
            sweep.cancel()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    try:
                        connection.expire(now)
                    except Exception:
                        log.exception("a connection cannot be checked for its time limits")


class CoalescingTransport:
    """A transport that sends a response's head together with its body.

    uvicorn writes them apart, in two system calls. With one, a request of a row takes 0.85 (minimum) to 0.96
    (median) of the worker's CPU time, over four runs side by side on a busy machine.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send, or hold the head back until the body comes."""
        if not self._head and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
            return
        self._transport.write(self._head + data)
        self._head = b""

    def flush(self) -> None:
        """Send a head without a body."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Send what was held back, and close."""
        self.flush()
        self._transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """Ends connections that take too long to send a head or body, or to read the answer, and too long heads.

    A request is timed from its first byte, the first one of a connection from its start.
    """

    limits: Bounds
    _head_since: float | None = None
    _body_since: float | None = None
    _unread_since: float | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse a connection beyond the bound, with 503."""
        super().connection_made(transport)
        self._coalescing = CoalescingTransport(transport)
        self._head_since = self.loop.time()
        if len(self.connections) > self.limits.connections:
            self._end(503, "TOO_MANY_CONNECTIONS", "too many connections are open", "retry-after: 1\r\n")

    def data_received(self, data: bytes) -> None:
        """Parse, and count the bytes of an unfinished head."""
        super().data_received(data)
        if self._head_since is not None and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._end(431, "HEAD_TOO_LARGE", f"the headers are longer than {HEAD_BYTES:,} bytes")

    def on_message_begin(self) -> None:
        """Time the head."""
        self._head_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Time the body."""
        self._head_since, self._head_bytes = None, 0
        super().on_headers_complete()
        if becomes_websocket(self):
            return  # a websocket: another protocol goes on from here
        self._body_since = self.loop.time()
        self.cycle.transport = self._coalescing  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        """Stop timing."""
        self._body_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Send the head of a response that has no body."""
        self._coalescing.flush()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer to what is no HTTP in the format of all errors."""
        self._end(400, "MALFORMED_HTTP", msg)

    def error_content(self, code: str, message: str) -> dict[str, object]:
        """An error in the format of all of the server's errors."""
        return {"error": message, "error_code": code, "faults": [], "request_id": ""}

    def expire(self, now: float) -> None:
        """End the connection where a time limit has passed."""
        limits = self.limits
        if self._head_since is not None and now - self._head_since > limits.header_seconds:
            message = f"the request did not arrive within {limits.header_seconds:g} s"
            self._end(408, "HEAD_TOO_SLOW", message)
        elif (
            self._body_since is not None and now - self._body_since > limits.body_seconds + 2 * SWEEP_SECONDS
        ):
            self.transport.abort()  # the application has answered 408 or 413 by now, or cannot
        elif not self.transport.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > limits.body_seconds:
            self.transport.abort()

    def _end(self, status: int, code: str, message: str, extra_headers: str = "") -> None:
        body = json.dumps(self.error_content(code, message)).encode()
        length = f"content-length: {len(body)}\r\n"
        head = f"content-type: application/json\r\n{length}connection: close\r\n{extra_headers}\r\n"
        self.transport.write(b"".join([STATUS_LINE[status], head.encode(), body]))
        self.transport.close()
