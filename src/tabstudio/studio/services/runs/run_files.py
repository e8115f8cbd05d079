"""Files of a run: what there is, and one of them on this machine for as long as it is sent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tabstudio.errors import TrackingError

if TYPE_CHECKING:
    from tabstudio.registry.mlflow_client import RegistryClient

MOST_FILES = 500
MOST_TEXT = 200_000
PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
PAGES = {".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8"}
TEXTS = frozenset({".txt", ".json", ".csv", ".md", ".toml", ".yaml", ".yml", ".py", ".log", ".tsv"})


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file of a run by its path in there; `bytes` is None where the store does not tell."""

    path: str
    bytes: int | None

    @property
    def suffix(self) -> str:
        """The ending of its name, in lower case."""
        return PurePosixPath(self.path).suffix.lower()


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of a run in alphabetical order; `whole` is false where there are more than are listed."""

    files: tuple[RunFile, ...]
    whole: bool

    @property
    def bytes(self) -> int:
        """The size of all that are listed."""
        return sum(file.bytes or 0 for file in self.files)

    def named(self, path: str) -> bool:
        """Whether there is a file of that path."""
        return any(file.path == path for file in self.files)


def list_files(client: RegistryClient, run_id: str, most: int = MOST_FILES) -> RunFiles:
    """List what a run has, folder by folder, up to `most` files. Raises `TrackingError`."""
    files: list[RunFile] = []
    folders = [""]
    with client.asking("list the files"):
        while folders and len(files) < most:
            folder = folders.pop(0)
            for entry in client.mlflow.list_artifacts(run_id, folder or None):
                if entry.is_dir:
                    folders.append(entry.path)
                else:
                    files.append(RunFile(entry.path, entry.file_size))
    shown = sorted(files[:most], key=lambda file: file.path)
    return RunFiles(tuple(shown), not folders and len(files) <= most)


@contextmanager
def open_file(client: RegistryClient, run_id: str, path: str) -> Iterator[Path]:
    """A file of a run on this machine, until the context ends. See `fetched` for what it raises."""
    file, done = fetch_file(client, run_id, path)
    try:
        yield file
    finally:
        done()


def fetch_file(client: RegistryClient, run_id: str, path: str) -> tuple[Path, Callable[[], None]]:
    """A file of a run on this machine, and what to call when it is no longer needed.

    From a store elsewhere it is copied into a new temporary folder. Raises `TrackingError` where there is
    no such file, and for a path or a link that leads out of the run's files.
    """
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or "\\" in path or "\0" in path:
        raise TrackingError(f"file {path!r}: a path inside of the run's files was expected")
    with client.asking(f"look at run {run_id[:64]}"):
        root = str(client.mlflow.get_run(run_id).info.artifact_uri)
    local = Path(root.removeprefix("file://"))
    if "://" in root.removeprefix("file://") or not local.is_absolute():
        return _copied(client, run_id, path)
    file = (local / path).resolve()
    if not file.is_relative_to(local.resolve()) or not file.is_file():
        raise TrackingError(f"file {path!r}: the run has no such file")
    return file, lambda: None


def _copied(client: RegistryClient, run_id: str, path: str) -> tuple[Path, Callable[[], None]]:
    folder = tempfile.mkdtemp(prefix="tabstudio-file-")

    def done() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # nobody reads it here
    try:
        with client.asking(f"fetch {path!r}"):
            file = Path(client.mlflow.download_artifacts(run_id, path, folder))
    except BaseException:
        done()
        raise
    if file.is_file():
        return file, done
    done()
    raise TrackingError(f"file {path!r}: the run has no such file")


def read_text(client: RegistryClient, run_id: str, path: str, most: int = MOST_TEXT) -> str:
    """The beginning of a text file of a run. Raises `TrackingError` where there is none."""
    with open_file(client, run_id, path) as file, file.open("rb") as stream:
        return stream.read(most).decode("utf-8", errors="replace")


def response_headers(path: str) -> dict[str, str]:
    """How a browser may treat a file, by the ending of its name, so that nothing in it runs in our origin.

    Pictures are shown; a page is shown in a sandbox, without scripts, without its origin and without any
    request; everything else is a download.
    """
    name = PurePosixPath(path)
    suffix = name.suffix.lower()
    headers = {
        "x-content-type-options": "nosniff",
        "cache-control": "private, max-age=60",
        "content-security-policy": (
            "sandbox; default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
            "frame-ancestors 'self'"
        ),
    }
    kind = PICTURES.get(suffix) or PAGES.get(suffix)
    if kind is None:
        kind = "application/octet-stream"
        headers["content-disposition"] = "attachment"
    return headers | {"content-type": kind}
