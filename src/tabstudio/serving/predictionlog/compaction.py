"""Compaction of finished segments to Parquet, and removal of old files, in a process of its own.

`python -m tabstudio.serving.predictionlog.compaction FOLDER DAYS GIGABYTES` runs once. Workers start it; of
several at a time one works and the others end at once. It may be killed at any point: a segment is removed
only when its rows are in the catalog.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from tabstudio._util.atomic_files import draft_path
from tabstudio.serving.predictionlog.catalog import LogCatalog, LogFile, model_folder
from tabstudio.serving.predictionlog.record_frames import RecordFrames
from tabstudio.serving.predictionlog.segment import DRAFT, SEGMENTS, is_closed, list_segments, read_segment

BATCH_BYTES = 32 * 2**20
"""Segments that are turned into Parquet together."""
SMALL_BYTES = 4 * 2**20
"""A Parquet file below this size is merged with the next one of its model and day."""
GRACE_SECONDS = 3600.0
"""Seconds that a file out of the catalog is left for its readers."""
LOCK = "compaction.lock"

logger = logging.getLogger("tabstudio.serving")


def compact(folder: Path, days: float, gigabytes: float) -> None:
    """Turn every finished segment into Parquet, then keep the log within its limits.

    Returns at once while another process does it.
    """
    with _exclusive(folder) as locked:
        if not locked:
            return
        with LogCatalog(folder) as catalog:
            _remove_consumed(catalog)
            for batch in _batches(path for path in list_segments(folder) if is_closed(path)):
                _publish(catalog, batch)
            _retain(catalog, days, gigabytes)
            _sweep(catalog)


@contextmanager
def _exclusive(folder: Path) -> Iterator[bool]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _batches(paths: Iterable[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for path in paths:
        batch.append(path)
        size += path.stat().st_size
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _publish(catalog: LogCatalog, batch: Sequence[Path]) -> None:
    fresh: list[LogFile] = []
    replaced: list[str] = []
    for (model, day), frames in _frames(batch).items():
        small = [
            file for file in catalog.files(model) if file.bytes < SMALL_BYTES and _day(file.first) == day
        ]
        before = [pl.read_parquet(catalog.folder / file.path) for file in small]
        fresh.append(_write(catalog.folder, model, day, [*before, *frames]))
        replaced += [file.path for file in small]
    catalog.publish(fresh, replaced, [path.name for path in batch])
    _remove_consumed(catalog)


def _frames(batch: Iterable[Path]) -> dict[tuple[str, str], list[pl.DataFrame]]:
    """Frames by model and day (UTC)."""
    frames: dict[tuple[str, str], list[pl.DataFrame]] = {}
    collected = RecordFrames()
    for path in batch:
        for model, frame in collected.take(read_segment(path, finished=True)):
            _by_day(frames, model, frame)
    for model, frame in collected.rest():
        _by_day(frames, model, frame)
    if collected.unreadable:
        logger.warning("%d rows of the prediction log were kept without inputs", collected.unreadable)
    return frames


def _by_day(frames: dict[tuple[str, str], list[pl.DataFrame]], model: str, frame: pl.DataFrame) -> None:
    dated = frame.with_columns(day=pl.col("time").dt.strftime("%Y-%m-%d"))
    for (day,), part in dated.partition_by("day", as_dict=True, include_key=False).items():
        frames.setdefault((model, day), []).append(part)


def _write(folder: Path, model: str, day: str, frames: Sequence[pl.DataFrame]) -> LogFile:
    frame = pl.concat(frames, how="diagonal_relaxed").sort("time", "request_id", "row")
    path = Path(model_folder(model)) / f"{day}-{secrets.token_hex(6)}.parquet"
    target = folder / path
    target.parent.mkdir(exist_ok=True, mode=0o700)
    with draft_path(target) as draft:
        draft.touch(0o600)
        frame.write_parquet(draft, compression="zstd")
    first, last = (frame["time"][i].timestamp() for i in (0, -1))
    return LogFile(str(path), model, first, last, len(frame), target.stat().st_size)


def _remove_consumed(catalog: LogCatalog) -> None:
    names = catalog.consumed()
    for name in names:
        (catalog.folder / SEGMENTS / name).unlink(missing_ok=True)
    if names:
        catalog.forget(names)


def _retain(catalog: LogCatalog, days: float, gigabytes: float) -> None:
    """Remove files that are too old, then the oldest until the rest is small enough."""
    files = catalog.files()
    oldest = time.time() - days * 86_400
    expired = [file for file in files if file.last < oldest]
    current = [file for file in files if file.last >= oldest]
    excess = sum(file.bytes for file in current) + _bytes(list_segments(catalog.folder)) - gigabytes * 1e9
    for file in current:
        if excess <= 0:
            break
        expired.append(file)
        excess -= file.bytes
    if expired:
        catalog.publish([], [file.path for file in expired], [])
        for file in expired:
            (catalog.folder / file.path).unlink(missing_ok=True)
    with catalog.transaction() as database:
        database.execute("DELETE FROM feedback WHERE at < ?", (oldest,))


def _bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _sweep(catalog: LogCatalog) -> None:
    """Delete files outside of the catalog: left by a killed process, or replaced and no longer read."""
    listed = {catalog.folder / file.path for file in catalog.files()}
    patterns = ("*/*.parquet", "*/*.part", f"{SEGMENTS}/*{DRAFT}")
    for path in (path for pattern in patterns for path in catalog.folder.glob(pattern)):
        if path not in listed and time.time() - path.stat().st_mtime > GRACE_SECONDS:
            path.unlink(missing_ok=True)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def main(arguments: Sequence[str]) -> None:
    """Compact once, at the lowest priority: answers come first."""
    os.nice(19)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    folder, days, gigabytes = arguments
    compact(Path(folder), float(days), float(gigabytes))


if __name__ == "__main__":
    main(sys.argv[1:])
