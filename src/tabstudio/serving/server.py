"""uvicorn's HTTP protocol, with bounds on what a connection may hold up."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tabstudio._compat.uvicorn import becomes_websocket
from tabstudio.serving.serve_options import Bounds

if TYPE_CHECKING:
    from tabstudio.serving.app import App

HEAD_BYTES = 64 << 10
SWEEP_SECONDS = 0.5
"""How often connections are looked at."""


def make_server(app: App, bounds: Bounds) -> HttpServer:
    """Make a uvicorn server that answers with `app` within bounds."""

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
        timeout_keep_alive=bounds.idle_seconds,  # type: ignore[arg-type]  # it is handed to call_later
        timeout_graceful_shutdown=bounds.drain_seconds,  # type: ignore[arg-type]  # handed to wait_for
    )
    return HttpServer(config)


class HttpServer(uvicorn.Server):
    """A uvicorn server that looks after its connections and leaves signals to the worker."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `should_exit` is set."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            await self._serve(sockets)
        finally:
            sweeping.cancel()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.expire(now)


class CoalescingTransport:
    """A transport that sends a response's head together with its body: a system call is dear."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send, or keep the head until there is more."""
        if not self._head and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100"):
            self._head = data
            return
        self._transport.write(self._head + data)
        self._head = b""

    def flush(self) -> None:
        """Send a head that nothing follows."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Send what is left and close."""
        self.flush()
        self._transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """Ends connections whose head, body or reading of the answer takes too long, and heads that are too long.

    A request is timed from its first byte, the first of a connection from the connecting.
    """

    limits: Bounds
    _head_since: float | None = None
    _body_since: float | None = None
    _stuck_since: float | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Refuse a connection beyond the bound, with 503."""
        super().connection_made(transport)
        self._whole = CoalescingTransport(transport)
        self._head_since = self.loop.time()
        if len(self.connections) > self.limits.connections:
            self._end(503, "TOO_MANY_CONNECTIONS", "too many connections are open", "retry-after: 1\r\n")

    def data_received(self, data: bytes) -> None:
        """Parse, and count the bytes of a head that has no end."""
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
        self.cycle.transport = self._whole  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        """Stop timing."""
        self._body_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Send the head of a response that has no body."""
        self._whole.flush()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer to what is no HTTP in the shape of all our errors."""
        self._end(400, "MALFORMED_HTTP", msg)

    def described(self, code: str, message: str) -> dict[str, Any]:
        """An error in the shape of all of the server's."""
        return {"error": message, "error_code": code, "faults": [], "request_id": ""}

    def expire(self, now: float) -> None:
        """End the connection where it has held something up for too long."""
        limits = self.limits
        if self._head_since is not None and now - self._head_since > limits.header_seconds:
            said = f"the request did not arrive within {limits.header_seconds:g} s"
            self._end(408, "HEAD_TOO_SLOW", said)
        elif (
            self._body_since is not None and now - self._body_since > limits.body_seconds + 2 * SWEEP_SECONDS
        ):
            self.transport.abort()  # the application has answered 408 or 413 by now, or cannot
        elif not self.transport.get_write_buffer_size():
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > limits.body_seconds:
            self.transport.abort()

    @property
    def _patience(self) -> float:
        """Seconds for a body that the application leaves unread, or has just given up."""
        return self.limits.body_seconds + 2 * SWEEP_SECONDS

    def _end(self, status: int, code: str, message: str, more: str = "") -> None:
        body = json.dumps(self.described(code, message)).encode()
        length = f"content-length: {len(body)}\r\n"
        head = f"content-type: application/json\r\n{length}connection: close\r\n{more}\r\n"
        self.transport.write(b"".join([STATUS_LINE[status], head.encode(), body]))
        self.transport.close()
