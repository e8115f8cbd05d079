"""Text files to frames of raw columns. Polars does the work; Python's csv finds the fault where it cannot."""

from __future__ import annotations

import csv
import io
import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import polars as pl

from tabstudio.errors import DataError
from tabstudio.table.csv_dialect import Dialect, name_columns, records, single_byte, sniff
from tabstudio.table.sources import TableFile
from tabstudio.table.table import Note, rows_error
from tabstudio.table.type_inference import guess, strip_missing

HEAD = 1 << 20
_Types: TypeAlias = dict[str, type[pl.DataType]]
_SMALL = 1 << 23
_SLICES = 12
_SLICE = 1 << 16
_NOT_UTF8 = "{}: the bytes do not fit the encoding utf-8: name another, such as latin-1, or let it be guessed"
_FAULTS = (
    pl.exceptions.ComputeError,
    pl.exceptions.SchemaError,
    pl.exceptions.ShapeError,
    pl.exceptions.NoDataError,
)


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text file or a part of it, made ready for polars: a path or UTF-8 bytes, and its dialect.

    `line` counts the physical lines of the file that come before the content; `encoding_is_set`
    says that the encoding was not guessed.
    """

    file: TableFile
    content: Path | bytes
    dialect: Dialect
    names: tuple[str, ...]
    notes: tuple[Note, ...]
    line: int = 0
    encoding_is_set: bool = False

    @property
    def size(self) -> int:
        """Bytes of text."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def whole(self) -> bytes:
        """The text as UTF-8 with line feeds."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


def open_text(file: TableFile, separator: str | None, encoding: str | None) -> TextFile:
    """Sniff a file; unpack and recode it where needed. Raises as `sniff` does."""
    source = str(file.path)
    if not file.packing:
        size = file.path.stat().st_size
        head = file.head(HEAD)
        dialect = sniff(head, size <= HEAD, source, separator, encoding)
        content = file.path if dialect.direct else file.content()
    else:
        content = file.content()
        dialect = sniff(content[:HEAD], len(content) <= HEAD, source, separator, encoding)
    if isinstance(content, bytes):
        content = recode(content, dialect, source)
    names, notes = name_columns(dialect.header)
    return TextFile(
        file, content, dialect, tuple(names), (*dialect.notes, *notes), encoding_is_set=encoding is not None
    )


def recode(content: bytes, dialect: Dialect, source: str) -> bytes:
    """The content as UTF-8 with line feeds, without a byte order mark."""
    if dialect.encoding != "utf-8":
        try:
            content = content.decode(dialect.encoding).lstrip("\ufeff").encode()
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise DataError(
                f"{source}: line {line}: the bytes do not fit the encoding {dialect.encoding}"
            ) from error
    if dialect.bare_cr:
        content = content.replace(b"\r", b"\n")
    return content


def read_text(
    text: TextFile, as_text: set[str], words: tuple[str, ...], *, keep_gaps: bool = False
) -> tuple[pl.DataFrame, list[Note]]:
    """All rows of a file: large files have their plain numbers parsed at once, all else stays text.

    Rows without a value in any cell are left out, unless `keep_gaps` wants them.

    Raises `DataError` that names every row whose number of cells is wrong, or the line of an unclosed quote.
    """
    notes: list[Note] = []
    try:
        frame = _parsed_frame(text, as_text, words)
    except _FAULTS as error:
        if "utf-8" in str(error).lower():
            if text.encoding_is_set:
                raise DataError(_NOT_UTF8.format(text.file.path)) from error
            text, note = _recoded(text)
            frame, notes = read_text(text, as_text, words, keep_gaps=keep_gaps)
            return frame, [note, *notes]
        _check_records(text)
        frame = _by_csv(text)
    frame, dropped = (frame, 0) if keep_gaps else _without_blank_lines(frame)
    if frame.height == 0:
        raise DataError(
            f"{text.file.path}: the file has column names and no rows: there is nothing to learn from"
        )
    if dropped:
        notes.append(Note("rows", f"{dropped:,} left out", "empty lines: no value in any cell"))
    return frame, notes


def _parsed_frame(text: TextFile, as_text: set[str], words: tuple[str, ...]) -> pl.DataFrame:
    _check_quotes(text)
    if text.size <= _SMALL:
        frame = _read_cells(text, dict.fromkeys(text.names, pl.String), None)
    else:
        schema, odd_words = _sampled_types(text, as_text, words)
        try:
            frame = _read_cells(text, schema, odd_words)
        except _FAULTS:
            frame = _all_text(text)
    _check_short_rows(text, frame)
    return frame


def _read_cells(
    text: TextFile,
    schema: _Types,
    words: list[str] | None,
    content: bytes | None = None,
) -> pl.DataFrame:
    return pl.read_csv(
        text.content if content is None else content,
        has_header=False,
        skip_lines=text.dialect.skip if content is None else 0,
        schema=schema,
        separator=text.dialect.separator,
        null_values=words,
    )


def _all_text(text: TextFile) -> pl.DataFrame:
    return _read_cells(text, dict.fromkeys(text.names, pl.String), None)


def _sampled_types(
    text: TextFile, as_text: set[str], words: tuple[str, ...]
) -> tuple[_Types, list[str] | None]:
    """The type of each column in a sample from all over the file, and the sample's missing words."""
    sample = _read_cells(text, dict.fromkeys(text.names, pl.String), None, _sample(text))
    clean = strip_missing(sample, words)
    schema: _Types = {}
    # A word that is told may look like a number, and come only after the sample.
    odd_words = {word for word in words if word[:1] in "+-.0123456789"}
    for raw, series in zip(sample.iter_columns(), clean.iter_columns(), strict=True):
        odd_words |= set(raw.filter(series.is_null()).drop_nulls().unique())
        typing = guess(series, series.name)
        plain = typing.kind == "number" and not (typing.format or typing.missing_words)
        plain = plain and series.name not in as_text and series.null_count() < len(series)
        plain = plain and not raw.str.contains(r"^\s|\s$").any()
        schema[series.name] = {"Int64": pl.Int64, "Float64": pl.Float64}[typing.dtype] if plain else pl.String
    return schema, sorted(odd_words) or None


def _sample(text: TextFile) -> bytes:
    """Whole lines from the head and from places spread over the file."""
    if isinstance(text.content, bytes):
        return _slices(text.content, text.dialect.skip)
    with text.content.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return _slices(content, text.dialect.skip)


def _slices(content: bytes | mmap.mmap, skip: int) -> bytes:
    start = 0
    for _ in range(skip):
        start = content.find(b"\n", start) + 1
    size = len(content)
    parts = [_whole_lines(content, start, start + HEAD // 4)]
    if content.find(b'"', 0, HEAD) < 0:
        step = (size - start) // (_SLICES + 1)
        parts += [
            _whole_lines(content, content.find(b"\n", start + k * step) + 1, start + k * step + _SLICE)
            for k in range(1, _SLICES + 1)
        ]
    return b"".join(parts)


def _whole_lines(content: bytes | mmap.mmap, start: int, end: int) -> bytes:
    last = content.rfind(b"\n", start, min(end, len(content)))
    return bytes(content[start : last + 1]) if last > start else b""


def _without_blank_lines(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    if frame.width == 1 or frame.to_series(frame.width - 1).null_count() == 0:
        return frame, 0
    filled = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    return filled, frame.height - filled.height


def _check_quotes(text: TextFile) -> None:
    """Refuse an odd number of quotes, one being open or inside a cell: polars would drop rows."""
    quotes = sum(block.count(b'"') for block in _blocks(text))
    if quotes % 2:
        raise pl.exceptions.ComputeError("odd number of quotes")


def _blocks(text: TextFile) -> Iterable[bytes]:
    if isinstance(text.content, bytes):
        return (text.content,)
    return replace(text.file, packing="").blocks(1 << 22)


def _check_short_rows(text: TextFile, frame: pl.DataFrame) -> None:
    """Check for short rows, which polars fills with gaps: one always has a gap in the last column."""
    if frame.width < 2 or frame.to_series(frame.width - 1).null_count() == 0:
        return
    mark = text.dialect.separator.encode()
    counted = sum(block.count(mark) for block in _blocks(text))
    header = len(text.dialect.header) - 1
    quoted = any(b'"' in block for block in _blocks(text))
    if quoted or counted != (frame.height - _blank_rows(frame)) * (frame.width - 1) + header:
        _check_records(text)


def _blank_rows(frame: pl.DataFrame) -> int:
    return frame.filter(pl.all_horizontal(pl.all().is_null())).height


def _recoded(text: TextFile) -> tuple[TextFile, Note]:
    content = text.whole()
    encoding, reason = single_byte(content)
    dialect = replace(text.dialect, encoding=encoding)
    names, _ = name_columns([name.encode().decode(encoding) for name in text.dialect.header])
    note = Note("encoding", encoding, reason)
    return replace(
        text, content=recode(content, dialect, str(text.file.path)), names=tuple(names), dialect=dialect
    ), note


def _check_records(text: TextFile) -> None:
    """Raise one `DataError` for a quote that is not closed, or for all rows without the header's width."""
    width, line, rows = len(text.names), text.line + 1, 0
    ragged = []
    for line, record in _data_records(text):
        rows += 1
        if len(record) != width and any(cell.strip() for cell in record):
            ragged.append((line, record))
    if _is_open(text, line):
        raise DataError(
            f"{text.file.path}: line {line}: a quote is opened and never closed:"
            " close it, or double it where it belongs to the cell"
        )
    if ragged:
        raise _ragged(text, ragged, rows)


def _is_open(text: TextFile, line: int) -> bool:
    """Whether the last record, which starts at this line, ends inside quotes."""
    tail = text.whole().decode().split("\n")[line - text.line - 1 :]
    try:
        list(
            csv.reader(
                io.StringIO("\n".join(tail), newline=""), delimiter=text.dialect.separator, strict=True
            )
        )
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _by_csv(text: TextFile) -> pl.DataFrame:
    """Read the file with Python's csv, which allows quotes inside cells."""
    width = len(text.names)
    cells = [record for _, record in _data_records(text) if len(record) == width]
    return pl.DataFrame(cells, schema=dict.fromkeys(text.names, pl.String), orient="row")


def _data_records(text: TextFile) -> Iterator[tuple[int, list[str]]]:
    source = text.file.path
    content = text.whole()
    try:
        yield from (
            (text.line + line, record)
            for line, record in records(content.decode(), text.dialect.separator)
            if line > text.dialect.skip
        )
    except csv.Error as error:
        raise DataError(
            f"{source}: {error}: a quote is probably not closed: close it, or double it inside a cell"
        ) from error


def _ragged(text: TextFile, ragged: list[tuple[int, list[str]]], rows: int) -> DataError:
    source, width = str(text.file.path), len(text.names)
    lines = [f"line {line}: {len(record)} cells" for line, record in ragged]
    names = ", ".join(text.names) if width < 4 else f"{text.names[0]} ... {text.names[-1]}"
    if len(ragged) == rows and len({len(record) for _, record in ragged}) == 1:
        way_out = f"all rows have {len(ragged[0][1])}: correct the line of column names"
    else:
        way_out = (
            f"quote the cells that hold the separator {text.dialect.separator!r}, or name another separator"
        )
    message = f"{len(ragged):,} of {rows:,} rows do not have the header's {width} cells ({names}); {way_out}"
    return rows_error(source, message, lines)
