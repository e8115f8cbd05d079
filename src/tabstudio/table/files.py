"""All files of a table to one frame: text, Parquet and Arrow, one or many with the same columns."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tabstudio.errors import DataError
from tabstudio.options import ReadConfig
from tabstudio.table.csv_dialect import SEPARATORS
from tabstudio.table.dataframes import as_words, name_frame, normalise
from tabstudio.table.sources import TableFile, find_files
from tabstudio.table.table import Note, TableSource
from tabstudio.table.text_files import open_text, read_text

_NAMED_SEPARATORS = {word: mark for mark, word in SEPARATORS.items()} | {"\\t": "\t"}


def load_files(
    source: str | Path, config: ReadConfig, words: tuple[str, ...]
) -> tuple[pl.DataFrame, TableSource, list[Note]]:
    """All rows with unique names and normal types, text not yet parsed; their source; what was guessed.

    Raises `DataError` for a file that cannot be read, or whose columns differ from those of the first.
    """
    files = find_files(source)
    as_text = {column for column, kind in config.kinds.items() if kind != "number"}
    frames: list[pl.DataFrame] = []
    notes: list[Note] = []
    separator = encoding = ""
    for file in files:
        if file.format == "text":
            text = open_text(file, separator_of(config), config.encoding)
            frame, file_notes = read_text(text, as_text, words)
            file_notes = [*text.notes, *file_notes]
            separator, encoding = text.dialect.separator, text.dialect.encoding
        else:
            frame, file_notes = _read_typed(file)
        notes += [note for note in file_notes if note not in notes]
        frames.append(_aligned(frame, frames[0].columns, files[0], file) if frames else frame)
    frame = _stack(frames)
    paths = tuple(str(file.path) for file in files)
    size = sum(file.path.stat().st_size for file in files)
    origin = TableSource(str(source), paths, frame.height, _format(files[0]), separator, encoding, size)
    return frame, origin, notes


def separator_of(config: ReadConfig) -> str | None:
    """The separator as a character, from a character or a word such as `tab` or `semicolon`."""
    return None if config.separator is None else _NAMED_SEPARATORS.get(config.separator, config.separator)


def _format(file: TableFile) -> str:
    return {"parquet": "Parquet", "arrow": "Arrow"}.get(file.format, f"text{file.packing}")


def _read_typed(file: TableFile) -> tuple[pl.DataFrame, list[Note]]:
    try:
        frame = pl.read_parquet(file.path) if file.format == "parquet" else pl.read_ipc(file.path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{file.path}: the {_format(file)} file is damaged: {error}") from error
    if frame.height == 0:
        raise DataError(f"{file.path}: the file has column names and no rows: there is nothing to learn from")
    frame, notes = name_frame(frame)
    return normalise(frame, str(file.path)), notes


def _aligned(frame: pl.DataFrame, names: list[str], first: TableFile, file: TableFile) -> pl.DataFrame:
    expected, columns = set(names), set(frame.columns)
    if expected == columns:
        return frame.select(names)
    lacks = f"; it lacks {', '.join(map(repr, sorted(expected - columns)))}" if expected - columns else ""
    more = f"; it has also {', '.join(map(repr, sorted(columns - expected)))}" if columns - expected else ""
    raise DataError(f"{file.path}: the columns differ from those of {first.path}{lacks}{more}")


def _stack(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """The frames as one. A column with numbers in one file and text in another becomes text."""
    if len(frames) == 1:
        return frames[0]
    for name in frames[0].columns:
        types = {frame[name].dtype for frame in frames}
        if len(types) > 1 and types != {pl.Int64, pl.Float64}:
            frames = [frame.with_columns(as_words(frame[name]).alias(name)) for frame in frames]
    return pl.concat(frames, how="vertical_relaxed")
