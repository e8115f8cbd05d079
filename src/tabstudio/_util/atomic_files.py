"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRAFT_PREFIX = ".part-"
"""Names of drafts begin so; one that is left over is of a process that was killed."""


@contextmanager
def draft_path(path: Path, *, durable: bool = True, overwrite: bool = True) -> Iterator[Path]:
    """Yield a path beside `path`: the file or folder made there takes that name when the block has ended.

    After an exception nothing is left of it. A `durable` file has reached the disk before it has its name.
    Without `overwrite`, `FileExistsError` is raised for a file that exists by then.
    """
    draft = path.with_name(f"{DRAFT_PREFIX}{secrets.token_hex(4)}-{path.name}")
    try:
        yield draft
        if durable:
            sync(draft)
        if overwrite:
            draft.replace(path)
        else:
            os.link(draft, path)
    finally:
        shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file whole: its readers see the content before or this one."""
    with draft_path(path, durable=durable) as draft:
        draft.write_bytes(content)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable; Windows does so for folders by itself."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
