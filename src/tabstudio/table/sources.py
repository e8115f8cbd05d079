"""Where tables lie: single files, folders and globs; what each file is, and its bytes unpacked."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from tabstudio.errors import DataError

Format = Literal["text", "parquet", "arrow"]

TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".tab", ".dat", ".data", ".psv")
_ENDINGS: dict[str, Format] = {
    **dict.fromkeys(TEXT_ENDINGS, "text"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".arrow", ".feather", ".ipc"), "arrow"),
}
_PACKED = (".gz", ".zst", ".bz2", ".xz")
_MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2", b"\xfd7zXZ\x00": ".xz"}
_NOT_TABLES = {
    b"PK\x03\x04": "a zip archive or an Excel workbook: unpack it, or save the sheet as CSV",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG picture",
    b"SQLite format 3": "an SQLite database: export the table as CSV or Parquet",
    b"\x89HDF": "an HDF5 file: save the table as Parquet",
    b"<!doctype": "a web page: was the download refused?",
    b"<html": "a web page: was the download refused?",
    b'{"': "JSON: save the table as CSV or Parquet",
    b"[{": "JSON: save the table as CSV or Parquet",
    b"\x80\x04": "a Python pickle: save the frame with to_parquet",
}


@dataclass(frozen=True, slots=True)
class TableFile:
    """One file of a table: its path, what it holds, and the packing around it (`""` where there is none)."""

    path: Path
    format: Format
    packing: str

    def open(self) -> IO[bytes]:
        """The unpacked bytes as a stream."""
        if self.packing == ".gz":
            return cast("IO[bytes]", gzip.open(self.path))
        if self.packing == ".bz2":
            return cast("IO[bytes]", bz2.open(self.path))
        if self.packing == ".xz":
            return cast("IO[bytes]", lzma.open(self.path))
        if self.packing == ".zst":
            import pyarrow as pa

            return cast("IO[bytes]", pa.CompressedInputStream(pa.OSFile(str(self.path)), "zstd"))
        return self.path.open("rb")

    def content(self) -> bytes:
        """The unpacked content, whole. Raises `DataError` where the packing is damaged."""
        return b"".join(self.blocks(1 << 24))

    def blocks(self, size: int) -> Iterator[bytes]:
        """The unpacked content in blocks of `size` bytes. Raises `DataError` where the packing is damaged."""
        try:
            with self.open() as stream:
                while block := stream.read(size):
                    yield block
        except (zlib.error, EOFError, lzma.LZMAError, gzip.BadGzipFile, OSError) as error:
            raise DataError(
                f"{self.path}: the {self.packing or 'file'} cannot be unpacked: {error}"
            ) from error

    def head(self, size: int) -> bytes:
        """The first bytes of the unpacked content."""
        return next(self.blocks(size), b"")


def find_files(source: str | Path) -> list[TableFile]:
    """The files of a path, a folder or a glob, in the order of their names.

    Raises `DataError` where nothing is there, where it may not be read, or where it holds no tables.
    """
    path = Path(source)
    try:
        if path.is_dir():
            return _of_folder(path)
        if path.exists():
            return [identify(path)]
    except PermissionError as error:
        raise DataError(
            f"{path}: reading it is not permitted: check the owner and mode of the file"
        ) from error
    if any(sign in str(source) for sign in "*?["):
        return _of_glob(path)
    raise DataError(f"{path}: there is no such file{_near(path)}")


def identify(path: Path) -> TableFile:
    """The format of a file, by its first bytes, then by its name. Raises `DataError` where it is no table."""
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except PermissionError as error:
        raise DataError(
            f"{path}: reading it is not permitted: check the owner and mode of the file"
        ) from error
    if not start:
        raise DataError(f"{path}: the file is empty: a table with a line of column names was expected")
    for magic, what in _NOT_TABLES.items():
        if start.lower().startswith(magic.lower()):
            raise DataError(f"{path}: this is {what}; CSV, Parquet or Arrow was expected")
    packing = next((ending for magic, ending in _MAGIC.items() if start.startswith(magic)), "")
    if start.startswith(b"PAR1"):
        return TableFile(path, "parquet", "")
    if start.startswith(b"ARROW1"):
        return TableFile(path, "arrow", "")
    expected = _ENDINGS.get(path.suffix.lower(), "text")
    if expected != "text":
        raise DataError(
            f"{path}: the name says {expected}, the content does not: it starts with {start[:8]!r}"
        )
    return TableFile(path, "text", packing)


def named_as_table(path: Path) -> bool:
    """Whether a file's name is that of a table, packed or not; hidden files are left out."""
    stem = path.name.lower()
    for packing in _PACKED:
        stem = stem.removesuffix(packing)
    return Path(stem).suffix in _ENDINGS and not path.name.startswith((".", "_"))


def _of_folder(folder: Path) -> list[TableFile]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and named_as_table(path))
    if not paths:
        kinds = ", ".join(_ENDINGS)
        raise DataError(f"{folder}: no table lies in this folder; names that end in {kinds} were expected")
    return [identify(path) for path in paths]


def _of_glob(pattern: Path) -> list[TableFile]:
    anchor = Path(pattern.anchor) if pattern.anchor else Path()
    paths = sorted(p for p in anchor.glob(str(pattern.relative_to(pattern.anchor))) if p.is_file())
    if not paths:
        raise DataError(f"{pattern}: no file matches this pattern")
    return [identify(path) for path in paths]


def _near(path: Path) -> str:
    from difflib import get_close_matches

    if not path.parent.is_dir():
        return f": the folder {path.parent} does not exist either"
    close = get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=3)
    return f" in {path.parent.absolute()}" + (": did you mean " + " or ".join(close) + "?" if close else "")
