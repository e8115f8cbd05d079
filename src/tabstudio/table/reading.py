"""`read`: anything that holds a table, to a `Table` with a schema, every guess with its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from tabstudio.config import ReadConfig
from tabstudio.errors import ConfigError, DataError
from tabstudio.table.frames import as_words, normalise, to_polars
from tabstudio.table.parse import MISSING_WORDS, Typing, convert, guess, strip_missing
from tabstudio.table.roles import assign_role, count_unique
from tabstudio.table.schema import Column, Kind, Label, Schema
from tabstudio.table.sniff import SEPARATORS, name_columns
from tabstudio.table.sources import File, find_files
from tabstudio.table.tables import Note, Source, Table, require_columns, rows_error
from tabstudio.table.target import guess_target
from tabstudio.table.text import open_text, read_text

_NAMED_SEPARATORS = {word: mark for mark, word in SEPARATORS.items()} | {"\\t": "\t"}
_GUESS_ROWS = 20_000


def read(source: Any, *, target: str | None = None, config: ReadConfig | None = None) -> Table:
    r"""Read a table and guess what its columns mean.

    `source` is a path to CSV, TSV or TXT (also packed with gzip, zstd, bzip2 or xz), Parquet or Arrow, a folder or
    glob of such files with the same columns, a pandas, polars or pyarrow frame, a NumPy array, a mapping of columns
    or a list of rows. With a `target`, rows without a label are left out, and the task is guessed.

    Raises `DataError` for a table that cannot be used and `ConfigError` for options that do not fit it.

    >>> table = read({"height": [1.7, 1.8, 1.6], "tall": ["no", "yes", "no"]}, target="tall")
    >>> table.schema.target.positive
    'yes'
    """
    config = config or ReadConfig()
    words = MISSING_WORDS if config.missing is None else config.missing
    frame, origin, notes = load_raw(source, config, words)
    _check_options(frame, target, config, origin.name)
    columns, series = [], []
    for raw in frame.iter_columns():
        typed, column = _column(raw, words, config.kinds.get(raw.name), origin.name)
        series.append(typed)
        columns.append(column)
    return _assemble(pl.DataFrame(series), columns, origin, notes, target, config, words)


def load_raw(
    source: Any, config: ReadConfig, words: tuple[str, ...]
) -> tuple[pl.DataFrame, Source, list[Note]]:
    """All rows with unique names and normal types, text not yet parsed; where they came from, and what was guessed."""
    if isinstance(source, str | Path):
        return _load_files(find_files(source), str(source), config, words)
    frame = to_polars(source)
    if frame.width == 0 or frame.height == 0:
        raise DataError(f"the table is empty: it has {frame.height} rows and {frame.width} columns")
    frame, notes = _named(frame)
    return normalise(frame, "the table"), Source("table", rows=frame.height), notes


def _load_files(
    files: list[File], name: str, config: ReadConfig, words: tuple[str, ...]
) -> tuple[pl.DataFrame, Source, list[Note]]:
    as_text = {column for column, kind in config.kinds.items() if kind != "number"}
    frames: list[pl.DataFrame] = []
    notes: list[Note] = []
    separator = encoding = ""
    for file in files:
        if file.format == "text":
            text = open_text(file, separator_of(config), config.encoding)
            frame, found = read_text(text, as_text, words)
            separator, encoding = text.dialect.separator, text.dialect.encoding
            found = [*text.notes, *found]
        else:
            frame, found = _typed_file(file)
        notes += [note for note in found if note not in notes]
        frames.append(_same_columns(frame, frames, files, file))
    frame = _stack(frames)
    size = sum(file.path.stat().st_size for file in files)
    paths = tuple(str(file.path) for file in files)
    origin = Source(name, paths, frame.height, files[0].format, separator, encoding, size)
    return frame, origin, notes


def _typed_file(file: File) -> tuple[pl.DataFrame, list[Note]]:
    try:
        frame = (
            pl.read_parquet(file.path)
            if file.format == "parquet"
            else pl.read_ipc(file.path)
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{file.path}: the {file.format} file is damaged: {error}") from error
    if frame.height == 0:
        raise DataError(f"{file.path}: the file has column names and no rows: there is nothing to learn from")
    frame, notes = _named(frame)
    return normalise(frame, str(file.path)), notes


def _named(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Note]]:
    names, notes = name_columns(frame.columns)
    return frame.rename(dict(zip(frame.columns, names, strict=True))), notes


def separator_of(config: ReadConfig) -> str | None:
    """The separator as a character: `tab`, `semicolon` and the like may be spelt."""
    if config.separator is None:
        return None
    return _NAMED_SEPARATORS.get(config.separator, config.separator)


def _same_columns(
    frame: pl.DataFrame, earlier: list[pl.DataFrame], files: list[File], file: File
) -> pl.DataFrame:
    if not earlier or frame.columns == earlier[0].columns:
        return frame
    expected, found = set(earlier[0].columns), set(frame.columns)
    if expected == found:
        return frame.select(earlier[0].columns)
    lacks = f"; it lacks {', '.join(map(repr, sorted(expected - found)))}" if expected - found else ""
    more = f"; it has also {', '.join(map(repr, sorted(found - expected)))}" if found - expected else ""
    raise DataError(f"{file.path}: the columns differ from those of {files[0].path}{lacks}{more}")


def _stack(frames: list[pl.DataFrame]) -> pl.DataFrame:
    if len(frames) == 1:
        return frames[0]
    for name in frames[0].columns:
        types = {frame[name].dtype for frame in frames}
        if len(types) > 1 and types != {pl.Int64, pl.Float64}:
            frames = [frame.with_columns(as_words(frame[name]).alias(name)) for frame in frames]
    return pl.concat(frames, how="vertical_relaxed")


def _check_options(frame: pl.DataFrame, target: str | None, config: ReadConfig, place: str) -> None:
    wanted = dict.fromkeys(config.kinds, "option kind")
    wanted |= dict.fromkeys(config.drop, "option drop") | dict.fromkeys(config.keep, "option keep")
    if target is not None:
        wanted[target] = "target"
        if target in config.drop:
            raise ConfigError(f"{place}: the target {target!r} cannot be dropped as well")
    require_columns(wanted, frame.columns, place)


def _column(
    raw: pl.Series, words: tuple[str, ...], kind: Kind | None, place: str
) -> tuple[pl.Series, Column]:
    if raw.dtype != pl.String and kind in (None, _kind(raw.dtype)):
        series, typing = (
            raw,
            Typing(_kind(raw.dtype), _dtype(raw.dtype), _typed_reason(raw) if kind is None else "as told"),
        )
    else:
        series, typing = _typed_words(as_words(raw), words, kind, place)
    if series.dtype == pl.Float64:
        series = series if typing.kind != "number" else normalise(series.to_frame(), place).to_series()
    unique, exact = count_unique(series)
    reason = typing.reason if exact else f"{typing.reason}; distinct values estimated"
    column = Column(
        raw.name, typing.kind, "feature", _dtype(series.dtype), reason, series.null_count(), unique
    )
    return series, replace(column, format=typing.format, missing_words=typing.missing_words)


def _typed_words(
    values: pl.Series, words: tuple[str, ...], kind: Kind | None, place: str
) -> tuple[pl.Series, Typing]:
    """A column of text by what a sample of it holds; where the rest disagrees, by what all of it holds."""
    values = strip_missing(values, words)
    sample = values if len(values) <= _GUESS_ROWS else values.gather_every(len(values) // _GUESS_ROWS)
    typing = guess(sample, values.name, words, kind)
    series, bad = convert(values, typing, ())
    if len(sample) < len(values) and (bad.any() or typing.kind in ("category", "text")):
        typing = guess(values, values.name, words, kind)
        series, bad = convert(values, typing, ())
    if bad.any():
        rows = [f"row {row + 1}: {values[row]!r}" for row in bad.arg_true().head(6).to_list()]
        rows += [""] * (int(bad.sum()) - len(rows))
        raise rows_error(place, f"column {values.name!r} cannot be read as a {kind}", rows)
    return series, typing


def _kind(dtype: pl.DataType) -> Kind:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "number"
    return "date" if dtype.is_temporal() else "category"


def _dtype(dtype: pl.DataType) -> str:
    return "Datetime" if dtype == pl.Datetime else str(dtype)


def _typed_reason(series: pl.Series) -> str:
    return {"Int64": "integers", "Float64": "numbers", "Boolean": "true or false"}.get(
        str(series.dtype), "dates"
    )


def _assemble(
    frame: pl.DataFrame,
    columns: list[Column],
    origin: Source,
    notes: list[Note],
    target: str | None,
    config: ReadConfig,
    words: tuple[str, ...],
) -> Table:
    goal = None
    if target is not None:
        frame, note = _labelled(frame, target)
        notes = notes + note
        column = next(column for column in columns if column.name == target)
        goal = guess_target(frame[target], column, config.task, config.positive, origin.name)
    assigned = []
    for column in columns:
        if column.name == target:
            assigned.append(replace(column, role="target", missing=0))
        elif column.name in config.drop:
            assigned.append(replace(column, role="dropped", reason=f"{column.reason}; dropped as told"))
        else:
            assigned.append(assign_role(frame[column.name], column, column.name in config.keep))
    notes = notes + _role_notes(assigned)
    if goal:
        notes.append(Note("task", goal.task, goal.reason))
    return Table(frame, Schema(tuple(assigned), goal, words), origin, tuple(notes))


def _labelled(frame: pl.DataFrame, target: str) -> tuple[pl.DataFrame, list[Note]]:
    gaps = frame[target].null_count()
    if gaps:
        frame = frame.filter(pl.col(target).is_not_null())
    if frame[target].dtype == pl.Float64 and gaps + 0 >= 0:
        frame = _whole_labels(frame, target)
    return frame, [Note("rows", f"{gaps:,} left out", f"they have no {target}")] if gaps else []


def _whole_labels(frame: pl.DataFrame, target: str) -> pl.DataFrame:
    """A class read as 1.0, because another source had a gap in it, is the class 1."""
    values = frame[target]
    if values.len() and bool((values == values.round()).all()) and values.n_unique() <= 2:
        return frame.with_columns(values.cast(pl.Int64))
    return frame


def _role_notes(columns: list[Column]) -> list[Note]:
    return [
        Note(c.name, f"{c.role}, not a feature", c.reason) for c in columns if c.role in ("id", "constant")
    ]


__all__ = ["Label", "read"]
