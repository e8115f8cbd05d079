"""The tables below one folder: listed, found by name, taken in from outside.

A name is the path below the folder, with `/`. Nothing outside the folder is ever named: not by `..`, not by
an absolute path, not by a link that leads out.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tabstudio._util.atomic_files import DRAFT_PREFIX, draft_path
from tabstudio.errors import ConfigError, DataError
from tabstudio.table.sources import identify, named_as_table

MOST_TABLES = 10_000
"""Tables that are listed at most."""
PACKED_FACTOR = 20
"""A packed upload may hold so many times the bytes that an upload may have."""
_LONGEST_NAME = 200
_ABANDONED_SECONDS = 3600.0
_BLOCK = 1 << 22


class UploadTooLargeError(DataError):
    """An upload has more bytes than may be."""


class NameTakenError(DataError):
    """There is a table of that name already."""


@dataclass(frozen=True, slots=True)
class TableEntry:
    """A table of the studio's folder."""

    name: Annotated[str, "The path below the folder."]
    bytes: int
    changed: Annotated[float, "Seconds since 1970."]


class TableFolder:
    """The tables below `folder`; uploads of at most `limit` bytes go there."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit

    def list(self) -> list[TableEntry]:
        """Return every table by name; links that lead out of the folder, and hidden files, are left out."""
        root = self.folder.resolve()
        entries = []
        for path in sorted(self.folder.rglob("*")) if self.folder.is_dir() else ():
            inside = path.is_file() and path.resolve().is_relative_to(root)
            if inside and named_as_table(path) and not _hidden(path, self.folder):
                about = path.stat()
                entries.append(
                    TableEntry(path.relative_to(self.folder).as_posix(), about.st_size, about.st_mtime)
                )
                if len(entries) == MOST_TABLES:
                    break
        return entries

    def find(self, name: str) -> Path:
        """Return the path of the table of that name.

        Raises `DataError` where there is none, or where the name leads out of the folder.
        """
        path = self.folder / name
        if "\0" in name or not name or not path.resolve().is_relative_to(self.folder.resolve()):
            raise DataError(f"{name[:200]!r}: a table below {self.folder} was expected")
        if _hidden(path, self.folder) or not (path.is_file() and named_as_table(path)):
            raise DataError(f"{name[:200]}: there is no such table below {self.folder}")
        return path

    def prepare(self, name: str) -> Path:
        """Return the path that an upload of that name will have.

        Directories before the name are dropped, as browsers send them, and signs that do no good in a name.
        Raises `ConfigError` for a name that does not end as a table's does.
        """
        last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
        plain = re.sub(r"[^\w.\- ()+,=@]+", "_", last, flags=re.UNICODE).strip(" .").lstrip("._-")
        if len(plain.encode()) > _LONGEST_NAME:
            raise ConfigError(f"{name[:200]!r}: a name of at most {_LONGEST_NAME} bytes was expected")
        path = self.folder / plain
        if not named_as_table(path):
            raise ConfigError(
                f"{name[:200]!r}: a name that ends in .csv, .tsv, .txt, .parquet or .arrow was expected, "
                "also packed as .gz, .zst, .bz2 or .xz"
            )
        return path

    async def receive(
        self,
        name: str,
        blocks: AsyncIterator[bytes],
        check: Callable[[Path], Awaitable[object]],
        *,
        replace: bool = False,
    ) -> TableEntry:
        """Store a table whose bytes come block by block: whole, or not at all.

        `check` reads it where it lies until then, and raises where it is no table. What has that name
        already stays, unless `replace` is said.

        Raises `ConfigError` for the name, `NameTakenError`, `UploadTooLargeError`, and what `check` raises.
        """
        path = self.prepare(name)
        if path.exists() and not replace:
            raise _name_taken_error(path)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with draft_path(path, durable=False, overwrite=replace) as draft:
                await self._write(draft, path.name, blocks)
                await _check_draft(draft, path.name, check)
        except FileExistsError as error:
            raise _name_taken_error(path) from error
        about = path.stat()
        return TableEntry(path.name, about.st_size, about.st_mtime)

    async def _write(self, draft: Path, name: str, blocks: AsyncIterator[bytes]) -> None:
        with draft.open("xb") as stream:
            size = 0
            async for block in blocks:
                size += len(block)
                if size > self.limit:
                    raise UploadTooLargeError(f"{name}: at most {self.limit:,} bytes may be uploaded")
                stream.write(block)

    def check_packing(self, path: Path) -> None:
        """Raise `UploadTooLargeError` for a packed file that would fill the memory when read whole."""
        file = identify(path)
        if not file.packing:
            return
        size = 0
        for block in file.blocks(_BLOCK):
            size += len(block)
            if size > PACKED_FACTOR * self.limit:
                raise UploadTooLargeError(
                    f"{path}: unpacked it has more than {PACKED_FACTOR * self.limit:,} bytes"
                )

    def clear(self) -> None:
        """Remove files of uploads that were cut off an hour ago or more."""
        for part in self.folder.glob(f"{DRAFT_PREFIX}*"):
            with suppress(FileNotFoundError):
                if part.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                    part.unlink()


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def _name_taken_error(path: Path) -> NameTakenError:
    return NameTakenError(
        f"{path.name}: there is a table of that name; replace it, or upload under another name"
    )


async def _check_draft(draft: Path, name: str, check: Callable[[Path], Awaitable[object]]) -> None:
    """Read an uploaded file before it has its name; what is said of it names it as the user does."""
    try:
        await check(draft)
    except DataError as error:
        message = str(error).replace(str(draft), name).replace(draft.name, name)
        raise type(error)(message) from error
