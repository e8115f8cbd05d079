"""A table of any length, some rows at a time, in bounded memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from tabstudio.errors import DataError, InputError
from tabstudio.options import ReadConfig
from tabstudio.table.csv_dialect import name_columns, sniff
from tabstudio.table.dataframes import name_frame, to_polars
from tabstudio.table.files import separator_of
from tabstudio.table.schema import Schema
from tabstudio.table.sources import TableFile, find_files
from tabstudio.table.text_files import HEAD, TextFile, read_text

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK = 1 << 22


def scan(
    source: Any, schema: Schema, config: ReadConfig | None = None, rows: int = 65_536
) -> Iterator[pl.DataFrame]:
    """Frames of at most `rows` rows with all columns of the source, raw, ready for `conform`.

    Text is read in blocks of 4 MiB, Parquet by row groups and Arrow by record batches, so that memory does
    not grow with the file. Columns of text files are String. Every record is a row, also one whose cells are
    all empty, so that answers stand in the order of the file; only lines without any cell are none.

    Raises `DataError` as `read` does, and `InputError` before the first row where a file lacks a feature of
    `schema`.
    """
    config = config or ReadConfig()
    if not isinstance(source, str | Path):
        yield from to_polars(source).iter_slices(rows)
        return
    for file in find_files(source):
        frames = _scan_text(file, config) if file.format == "text" else _scan_typed(file, rows)
        for number, frame in enumerate(frames):
            if number == 0:
                _check_names(frame, schema, file)
            yield from frame.iter_slices(rows)


def _check_names(frame: pl.DataFrame, schema: Schema, file: TableFile) -> None:
    missing = [column.name for column in schema.features if column.name not in frame.columns]
    if missing:
        shown, have = ", ".join(map(repr, missing)), ", ".join(frame.columns[:20])
        raise InputError(f"{file.path}: columns are missing: {shown}; the file has {have}")


def _scan_text(file: TableFile, config: ReadConfig) -> Iterator[pl.DataFrame]:
    head = file.head(HEAD)
    dialect = sniff(head, len(head) < HEAD, str(file.path), separator_of(config), config.encoding)
    names = tuple(name_columns(dialect.header)[0])
    part = replace(dialect, skip=0, encoding="utf-8", bare_cr=False)
    line = dialect.skip
    for content in _records(file, dialect.encoding, dialect.bare_cr, dialect.skip):
        yield _raw_rows(TextFile(file, content, part, names, (), line))
        line += content.count(b"\n")
    if line == dialect.skip:
        raise DataError(f"{file.path}: the file has column names and no rows")


def _records(file: TableFile, encoding: str, bare_cr: bool, skip: int) -> Iterator[bytes]:
    """Blocks of whole records as UTF-8, each cut at a line end with an even number of quotes before it."""
    rest = b""
    for block in _decoded(file, encoding, bare_cr):
        rest += block
        while skip and (end := rest.find(b"\n")) >= 0:
            rest, skip = rest[end + 1 :], skip - 1
        end = 0 if skip else _record_end(rest)
        if end and rest[:end].strip():
            yield rest[:end]
        rest = rest[end:]
    if not skip and rest.strip():
        yield rest


def _decoded(file: TableFile, encoding: str, bare_cr: bool) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in file.blocks(_BLOCK):
            text = decoder.decode(block)
            yield (text.replace("\r", "\n") if bare_cr else text).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file.path}: the bytes do not fit the encoding {encoding} guessed from the file's start:"
            " name another, such as latin-1"
        ) from error


def _raw_rows(text: TextFile) -> pl.DataFrame:
    lean = text.content if len(text.names) == 1 else _without_empty_lines(text.whole())
    try:
        return read_text(replace(text, content=lean), set(text.names), (), keep_gaps=True)[0]
    except DataError:
        read_text(text, set(text.names), (), keep_gaps=True)  # raises with the lines as the file counts them
        raise


def _without_empty_lines(content: bytes) -> bytes:
    """The content without empty lines; empty lines inside quotes belong to their cell."""
    if b"\n\n" not in content and b"\n\r\n" not in content and not content.startswith((b"\n", b"\r\n")):
        return content
    lines, quoted = [], False
    for line in content.splitlines(keepends=True):
        if quoted or line.strip(b"\r\n"):
            lines.append(line)
        quoted ^= line.count(b'"') % 2 == 1
    return b"".join(lines)


def _record_end(content: bytes) -> int:
    end = content.rfind(b"\n") + 1
    odd = content.count(b'"', 0, end) % 2
    while end and odd:
        start = content.rfind(b"\n", 0, end - 1) + 1
        odd = (odd + content.count(b'"', start, end)) % 2
        end = start
    return end


def _scan_typed(file: TableFile, rows: int) -> Iterator[pl.DataFrame]:
    import pyarrow as pa

    try:
        for batch in _batches(file, rows):
            yield name_frame(pl.DataFrame(pa.Table.from_batches([batch])))[0]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.path}: the {file.format} file is damaged: {error}") from error


def _batches(file: TableFile, rows: int) -> Iterator[pa.RecordBatch]:
    if file.format == "parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(file.path) as parquet:
            yield from parquet.iter_batches(batch_size=rows)
        return
    import pyarrow as pa

    with pa.memory_map(str(file.path)) as mapped, pa.ipc.open_file(mapped) as reader:
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
