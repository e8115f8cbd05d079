"""Limits on request bodies: their length, and the time between two pieces."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CHUNK_SECONDS = 30.0
"""Time limit for the next piece of a body."""


class RequestRejected(Exception):  # noqa: N818 - an answer, no fault
    """A request is rejected. `unread`: some of its body was not read."""

    def __init__(self, status: int, code: str, message: str, *, unread: bool = False) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.unread = status, code, message, unread


async def call_with_body_limit(
    app: ASGIApp, limit: int, scope: Scope, headers: Headers, receive: Receive, send: Send
) -> None:
    """Call `app`, which can read at most `limit` bytes of the body.

    Raises `RequestRejected` where there is more, unless the application has begun to answer, also where it
    has turned that error into something else.
    """
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limit:
        raise _too_long(limit)
    reading = _Reading(receive, limit)
    started = False

    async def sending(message: Message) -> None:
        nonlocal started
        if reading.refused is not None and not started:
            raise reading.refused
        started = True
        await send(message)

    try:
        await app(scope, reading.receive, sending)
    except Exception:
        if reading.refused is None or started:
            raise
    if reading.refused is not None and not started:
        raise reading.refused


class _Reading:
    """Counts what is read, and keeps the rejection: frameworks turn what is raised into answers."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit = receive, limit
        self._left, self._done = limit, False
        self.refused: RequestRejected | None = None

    async def receive(self) -> Message:
        if self._done:  # what comes now is the end of the connection, whenever it may be
            return await self._receive()
        try:
            async with asyncio.timeout(CHUNK_SECONDS):
                message = await self._receive()
        except TimeoutError:
            self._refuse(
                RequestRejected(
                    408, "too_slow", f"nothing more of the body came within {CHUNK_SECONDS:g} s", unread=True
                )
            )
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self._refuse(_too_long(self._limit))
        self._done = not message.get("more_body", False)
        return message

    def _refuse(self, refused: RequestRejected) -> None:
        self.refused = refused
        raise refused


def _too_long(limit: int) -> RequestRejected:
    return RequestRejected(413, "too_large", f"at most {limit:,} bytes were expected", unread=True)
