"""How a text file is written: encoding, line ends, separator, header. Guessed from a sample, with reasons."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tabstudio.errors import ConfigError, DataError
from tabstudio.table.table import Note

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SNIFFED_RECORDS = 200
_WINDOWS = bytes(range(0x80, 0xA0))
_CONTROL = bytes(set(range(32)) - {9, 10, 11, 12, 13, 26, 27})


@dataclass(frozen=True, slots=True)
class Dialect:
    """Dialect of one text file. `skip` is the number of physical lines up to and with the header."""

    separator: str
    encoding: str
    bare_cr: bool
    header: tuple[str, ...]
    skip: int
    notes: tuple[Note, ...] = field(default=())

    @property
    def direct(self) -> bool:
        """Whether the bytes can be parsed as they are: UTF-8 and lines that end with a line feed."""
        return self.encoding in ("utf-8", "utf-8-sig") and not self.bare_cr


def sniff(sample: bytes, whole: bool, source: str, separator: str | None, encoding: str | None) -> Dialect:
    """Guess a dialect from the first bytes of a file; `whole` where these are the whole file.

    Raises `DataError` for what is no text, or has no header; `ConfigError` for an unknown encoding or
    separator.
    """
    code, code_reason = (
        _encoding(sample, source) if encoding is None else (_known(encoding, source), "as told")
    )
    text = _decode(sample, code, source, whole).lstrip("\ufeff")
    bare_cr = _has_bare_cr(text)
    text = text.replace("\r\n", "\n")
    if bare_cr:
        text = text.replace("\r", "\n")
    if not text.strip():
        raise DataError(f"{source}: the file holds nothing but blanks: a line of column names was expected")
    if not whole and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    if separator is not None and (len(separator) != 1 or separator in '"\n\r'):
        raise ConfigError(f"option separator: one character was expected, got {separator!r}")
    mark, mark_reason = _separator(text) if separator is None else (separator, "as told")
    header, skip = _header(text, mark)
    notes = [
        Note("separator", SEPARATORS.get(mark, repr(mark)), mark_reason),
        Note("encoding", code, code_reason),
    ]
    if bare_cr:
        notes.append(Note("line ends", "carriage return", "there is no line feed in the file (old Mac)"))
    if all(_reads_as_number(cell) for cell in header):
        notes.append(Note("header", "the first line", "taken as names, though all of it is numbers"))
    return Dialect(mark, code, bare_cr, header, skip, tuple(notes))


def records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a text, each with the number of the line where it starts; blank lines are skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    start = 1
    for record in reader:
        if record:
            yield start, record
        start = reader.line_num + 1


def _known(encoding: str, source: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ConfigError(
            f"{source}: option encoding: {encoding!r} is unknown; utf-8, latin-1 or cp1252 are common"
        ) from error


def _encoding(sample: bytes, source: str) -> tuple[str, str]:
    for bom, name in _BOMS:
        if sample.startswith(bom):
            return name, "the file starts with a byte order mark"
    if b"\0" in sample[:4096]:
        return _without_mark(sample[:4096], source)
    if len(sample.translate(None, _CONTROL)) < 0.99 * len(sample):
        raise DataError(
            f"{source}: this is not a text file: it starts with {sample[:12]!r};"
            " CSV, Parquet or Arrow was expected"
        )
    if is_utf8(sample):
        return "utf-8", "all bytes fit" if not sample.isascii() else "plain ASCII is UTF-8"
    return single_byte(sample)


def _without_mark(start: bytes, source: str) -> tuple[str, str]:
    for offset, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if start[offset::2].count(0) > 0.4 * len(start[offset::2]) and start[1 - offset :: 2].count(0) == 0:
            return name, "every other byte is zero"
    raise DataError(
        f"{source}: this is not a text file: it holds zero bytes; CSV, Parquet or Arrow was expected"
    )


def single_byte(sample: bytes) -> tuple[str, str]:
    """The one-byte encoding that fits bytes that are not UTF-8, and the reason."""
    windows = len(sample.translate(None, _WINDOWS)) < len(sample)
    if windows and not any(byte in sample for byte in b"\x81\x8d\x8f\x90\x9d"):
        return "cp1252", "the bytes are not UTF-8, and some stand for Windows quotes or dashes"
    return "latin-1", "the bytes are not UTF-8"


def is_utf8(sample: bytes) -> bool:
    """Whether the bytes are UTF-8; a character cut off by the sample's end does not count against it."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _decode(sample: bytes, encoding: str, source: str, whole: bool) -> str:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample, final=whole)
    except UnicodeDecodeError as error:
        line = sample[: error.start].count(b"\n") + 1
        raise DataError(
            f"{source}: line {line}: the bytes do not fit the encoding {encoding}: {error.reason}"
        ) from error


def _has_bare_cr(text: str) -> bool:
    return "\r" in text and "\n" not in text


def _separator(text: str) -> tuple[str, str]:
    best, best_score, width = ",", (0.0, 0), 1
    for mark in SEPARATORS:
        widths = Counter(len(record) for _, record in _first(text, mark))
        if not widths:
            continue
        common, count = widths.most_common(1)[0]
        score = (round(count / widths.total(), 2), common)
        if common > 1 and score > best_score:
            best, best_score, width = mark, score, common
    if width == 1:
        return ",", "no separator occurs: a table of one column"
    share = "every line" if best_score[0] == 1 else f"{best_score[0]:.0%} of the lines"
    return best, f"{share} of the sample gives {width} columns"


def _first(text: str, mark: str) -> Iterator[tuple[int, list[str]]]:
    try:
        for number, record in enumerate(records(text, mark)):
            if number == _SNIFFED_RECORDS:
                return
            yield record
    except csv.Error:
        return


def _reads_as_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _header(text: str, mark: str) -> tuple[tuple[str, ...], int]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    for record in reader:
        if any(cell.strip() for cell in record):
            return tuple(record), reader.line_num
    raise AssertionError("a text with something in it has a first record")


def name_columns(header: tuple[str, ...] | list[str]) -> tuple[list[str], list[Note]]:
    """Column names stripped, non-empty and unique, and a note for each that changed."""
    names: list[str] = []
    notes: list[Note] = []
    used = {cell.strip() for cell in header}
    for number, cell in enumerate(header, start=1):
        name = cell.strip()
        if not name or name in names:
            reason = "the column has no name" if not name else f"{name} is the name of an earlier column"
            name = _free(name or f"column_{number}", used, always=name in names)
            notes.append(Note(name, f"name of column {number}", reason))
        elif name != cell:
            notes.append(Note(name, f"name of column {number}", "without the blanks around it"))
        names.append(name)
        used.add(name)
    return names, notes


def _free(base: str, used: set[str], always: bool) -> str:
    if base not in used and not always:
        return base
    number = 2
    while f"{base}_{number}" in used:
        number += 1
    return f"{base}_{number}"
