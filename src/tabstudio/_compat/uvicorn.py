"""Private names of uvicorn. Importing this does not import uvicorn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def becomes_websocket(protocol: HttpToolsProtocol) -> bool:
    """Return whether another protocol goes on after the headers that were just read."""
    return bool(protocol.parser.should_upgrade() and protocol._should_upgrade())
