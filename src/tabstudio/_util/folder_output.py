"""Writing a folder of files so that either all of them are there, or none has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tabstudio.errors import TabstudioError


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write every file beside its place under another name, and move them all when all are written.

    Raises `TabstudioError` naming the folder and the reason: a full disk, no permission, a file in the way.
    """
    is_new = not folder.exists()
    drafts: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            draft = folder / f".{name}.{os.getpid()}.part"
            drafts[draft] = folder / name
            draft.write_bytes(content)
        for draft, place in drafts.items():
            draft.replace(place)
    except OSError as error:
        _clear(folder, drafts, is_new)
        raise TabstudioError(
            f"{folder}: the report cannot be written: {error.strerror or error}. "
            "Make room or name another folder; nothing was left half-written."
        ) from error


def _clear(folder: Path, drafts: Mapping[Path, Path], is_new: bool) -> None:
    for draft in drafts:
        if draft.exists():
            draft.unlink()
    if is_new and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
