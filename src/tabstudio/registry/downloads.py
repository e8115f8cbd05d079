"""Temporary folders for artifacts that lie on a server."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Self


class Downloads:
    """Hands out temporary folders, and removes them: on `close`, when it is collected, or at exit."""

    def __init__(self) -> None:
        self._folders: list[str] = []
        self._finalizer = weakref.finalize(self, _remove, self._folders, os.getpid())

    def folder(self) -> Path:
        """Return a new, empty folder."""
        self._folders.append(tempfile.mkdtemp(prefix="tabstudio-model-"))
        return Path(self._folders[-1])

    def close(self) -> None:
        """Remove every folder that was handed out; `with Downloads()` does so at the end of the block."""
        _remove(self._folders, os.getpid())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _remove(folders: list[str], owner: int) -> None:
    while folders and os.getpid() == owner:  # a forked child leaves the folders of its parent alone
        shutil.rmtree(folders.pop(), ignore_errors=True)
