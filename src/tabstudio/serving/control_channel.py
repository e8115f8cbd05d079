"""Messages between supervisor and worker: one JSON object per line over a socket pair.

A supervisor sends commands (`command`: start, load, commit, drop, reloaded, stop), a worker events (`event`:
ready, failed, loaded, refused, committed, reload).
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

MAX_LINE_BYTES = 1 << 20

ControlMessage = dict[str, Any]


class ControlChannel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, end: socket.socket) -> ControlChannel:
        """Talk over a connected socket, which the channel then owns."""
        end.setblocking(False)
        return cls(*await asyncio.open_connection(sock=end, limit=MAX_LINE_BYTES))

    def send(self, **message: object) -> None:
        """Send; nothing happens where the other end is gone."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def messages(self) -> AsyncIterator[ControlMessage]:
        """Messages of the other end, until it is gone."""
        try:
            while line := await self._reader.readline():
                yield json.loads(line)
        except ConnectionError:
            return

    async def close(self) -> None:
        """Send what is left and hang up."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
