"""A segment: the file that one worker process appends its predictions to.

A record is its length (4 bytes, little-endian) and a MessagePack array: a `SegmentHeader` before the first
prediction of each model version, so that a segment can be read alone, then a `SegmentEntry` per request. Each
record is one write to the kernel before the answer is sent: `kill -9` cannot take back what the page cache
holds.

A row of 30 numbers costs 2 to 3 microseconds this way; a row of SQLite (WAL, commits of 64 rows) cost 9.5
on the same machine, and every worker would wait for the one lock. The writer holds a lock on its file, which
the kernel releases when the process is gone: a file without it is complete.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

SEGMENTS = "segments"
DRAFT = ".new"
"""Suffix of a segment that is not locked yet; one that is left is removed by compaction."""
logger = logging.getLogger("tabstudio.serving")
DAY = 86_400
_LENGTH = struct.Struct("<I")

Cell = float | int | str | bool | None


class SegmentHeader(msgspec.Struct, array_like=True, tag=0, frozen=True):
    """A model version, known by `number` in its segment; `masked` columns hold hashes."""

    number: int
    model: str
    version: str
    schema: dict[str, Any]
    columns: tuple[str, ...]
    masked: tuple[str, ...]


class SegmentEntry(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """One answered request: `rows` of raw values in the order of the version's columns.

    `labels` are classes or, for a regression, values; `probabilities` are in the order of the classes,
    `warnings` by row.
    """

    number: int
    role: str
    protocol: str
    request_id: str
    caller: str
    at: float
    rows: list[tuple[Cell, ...]]
    labels: list[Cell]
    probabilities: list[list[float]] | None
    warnings: dict[int, list[Any]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SegmentHeader | SegmentEntry).decode


class SegmentWriter:
    """Appends records to a new file in `folder`. One process, any thread, one at a time.

    `until` is the midnight (UTC, in seconds) after which another file should go on, `size` its bytes so far.
    """

    def __init__(self, folder: Path) -> None:
        """Create the file, locked before it is visible. Raises `OSError`."""
        folder.mkdir(exist_ok=True, mode=0o700)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self.path = folder / f"{stamp}-{os.getpid()}-{secrets.token_hex(4)}.log"
        draft = self.path.with_suffix(DRAFT)
        self.descriptor = os.open(draft, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            draft.rename(self.path)
        except OSError:
            os.close(self.descriptor)
            draft.unlink(missing_ok=True)
            raise
        self.until = (time.time() // DAY + 1) * DAY
        self.size = 0

    def append(self, record: SegmentHeader | SegmentEntry) -> None:
        """Write one record, whole or not at all. Raises `OSError`, such as for a full disk."""
        body = _encode(record)
        data = _LENGTH.pack(len(body)) + body
        written = os.write(self.descriptor, data)
        if written != len(data):
            os.ftruncate(self.descriptor, self.size)
            raise OSError(28, "No space left on device")
        self.size += written

    def sync(self) -> None:
        """Bring to the disk what the kernel holds."""
        os.fsync(self.descriptor)

    def close(self) -> None:
        """Release the file for compaction."""
        os.close(self.descriptor)


def read_segment(path: Path, *, finished: bool = False) -> Iterator[SegmentHeader | SegmentEntry]:
    """Every whole record of a file, also of one that is being written.

    A torn record ends it: `kill -9` may cut the last write short, before its answer was sent. For a
    `finished` file the length of the torn rest is logged.
    """
    with path.open("rb") as file:
        valid = 0
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            body = file.read(_LENGTH.unpack(head)[0])
            try:
                record = _decode(body)
            except msgspec.MsgspecError:
                break
            yield record
            valid += len(head) + len(body)
        rest = path.stat().st_size - valid if finished else 0
    if rest:
        logger.warning("%s: the last %d bytes are no whole record and are left out", path.name, rest)


def is_closed(path: Path) -> bool:
    """Say whether a segment's writer has closed it or is gone."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def list_segments(folder: Path) -> list[Path]:
    """The segments of a log, the oldest first."""
    return sorted((folder / SEGMENTS).glob("*.log"))
