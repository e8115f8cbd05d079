"""`read`: anything that holds a table, to a `Table` with a schema, every guess with its reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from tabstudio._util.threads import run_parallel
from tabstudio.errors import ConfigError, DataError
from tabstudio.options import ReadConfig
from tabstudio.table.column_roles import assign_role, count_unique
from tabstudio.table.dataframes import as_words, name_frame, normalise, to_polars
from tabstudio.table.files import load_files
from tabstudio.table.schema import Column, Kind, Schema, Target
from tabstudio.table.table import Note, Table, TableSource, require_columns, rows_error
from tabstudio.table.target import guess_target
from tabstudio.table.type_inference import MISSING_WORDS, Typing, convert, finite, guess, strip_missing

_GUESS_ROWS = 20_000
_MOST_WHOLE_LABELS = 20
_FEW_INTEGERS = 10


def read(source: Any, *, target: str | None = None, config: ReadConfig | None = None) -> Table:
    """Read a table and guess what its columns mean.

    Parameters
    ----------
    source : path, frame, array, mapping or list
        A CSV, TSV or text file (also packed with gzip, zstd, bzip2 or xz), a Parquet or Arrow file, a folder
        or glob of such files with the same columns; a pandas, polars or pyarrow frame, a NumPy array, a
        mapping of columns or a list of rows.
    target : str, optional
        The column to predict. With it, rows without a label are left out and the task is guessed.
    config : ReadConfig, optional
        What overrides the guesses: separator, encoding, kinds, columns to drop or to keep, the task.

    Returns
    -------
    Table
        The rows as typed columns, with a schema that gives a reason for each guess. Columns that are unique
        in each row or constant are no features.

    Raises
    ------
    DataError
        The table cannot be used.
    ConfigError
        An option does not fit the table.

    Examples
    --------
    >>> table = read({"height": [1.7, 1.8, 1.6, 1.9], "tall": ["no", "yes", "no", "yes"]}, target="tall")
    >>> table.schema.target.positive
    'yes'
    """
    config = config or ReadConfig()
    words = MISSING_WORDS if config.missing is None else config.missing
    frame, origin, notes = _load(source, config, words)
    _check_options(frame, target, config, origin.name)
    frame = strip_missing(frame, words)
    typed = run_parallel(
        lambda raw: _type(raw, config.kinds.get(raw.name), origin.name), frame.iter_columns(), frame.height
    )
    frame = pl.DataFrame([series for series, _ in typed])
    if target is not None:
        frame = _labelled(frame, target, notes)
    columns = run_parallel(
        lambda typed_column: _with_role(frame, _described_column(*typed_column), target, config),
        zip(frame.iter_columns(), [typing for _, typing in typed], strict=True),
        frame.height,
    )
    goal = None if target is None else _goal(frame, columns, target, config, origin.name)
    schema = Schema(tuple(columns), goal, words)
    return Table(frame, schema, origin, (*notes, *_schema_notes(schema)))


def _load(
    source: Any, config: ReadConfig, words: tuple[str, ...]
) -> tuple[pl.DataFrame, TableSource, list[Note]]:
    if isinstance(source, str | Path):
        return load_files(source, config, words)
    frame, notes = name_frame(to_polars(source))
    if frame.width == 0 or frame.height == 0:
        raise DataError(f"the table is empty: it has {frame.height} rows and {frame.width} columns")
    return normalise(frame, "the table"), TableSource("table", rows=frame.height), notes


def _check_options(frame: pl.DataFrame, target: str | None, config: ReadConfig, source: str) -> None:
    wanted = dict.fromkeys(config.kinds, "option kind")
    wanted |= dict.fromkeys(config.drop, "option drop") | dict.fromkeys(config.keep, "option keep")
    if target is not None:
        wanted[target] = "target"
    require_columns(wanted, frame.columns, source)
    if target in config.drop:
        raise ConfigError(f"{source}: the target {target!r} cannot be dropped as well")


def _type(raw: pl.Series, kind: Kind | None, source: str) -> tuple[pl.Series, Typing]:
    """The typed column and its typing."""
    own = _kind(raw.dtype)
    if raw.dtype != pl.String and kind in (None, own):
        series = finite(raw) if raw.dtype == pl.Float64 else raw
        reason = _typed_reason(raw) if kind is None else "as told"
        lost = 0 if series is raw else int(raw.is_infinite().sum())
        return series, Typing(own, _dtype(raw.dtype), reason + _infinite(lost))
    return _type_words(as_words(raw), kind, source)


def _type_words(values: pl.Series, kind: Kind | None, source: str) -> tuple[pl.Series, Typing]:
    """Type a column of text from a sample; from all rows where the others disagree with the sample."""
    long = len(values) > _GUESS_ROWS
    sample = values.gather_every(len(values) // _GUESS_ROWS) if long else values
    typing = guess(sample, values.name, kind)
    series, bad = convert(values, typing)
    if long and (bad.any() or sample.null_count() == len(sample)):
        typing = guess(values, values.name, kind)
        series, bad = convert(values, typing)
    if bad.any():
        rows = [f"row {row + 1}: {values[row]!r}" for row in bad.arg_true().to_list()]
        message = (
            f"column {values.name!r} cannot be read as a {kind}; correct these rows, or leave the kind out"
        )
        raise rows_error(source, message, rows)
    lost = (
        series.null_count() - values.null_count()
        if typing.kind == "number" and not typing.missing_words
        else 0
    )
    return series, replace(typing, dtype=_dtype(series.dtype), reason=typing.reason + _infinite(lost))


def _infinite(cells: int) -> str:
    return f"; {cells:,} infinite values count as missing" if cells else ""


def _typed_reason(series: pl.Series) -> str:
    named = {pl.Int64: "integers", pl.Float64: "numbers", pl.Boolean: "true or false"}
    return named.get(series.dtype.base_type(), "dates")


def _kind(dtype: pl.DataType) -> Kind:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "number"
    return "date" if dtype.is_temporal() else "category"


def _dtype(dtype: pl.DataType) -> str:
    return "Datetime" if dtype == pl.Datetime else str(dtype)


def _labelled(frame: pl.DataFrame, target: str, notes: list[Note]) -> pl.DataFrame:
    """The rows with a label; whole labels read as floats, as gaps make them, become integers."""
    gaps = frame[target].null_count()
    if gaps:
        notes.append(Note("rows", f"{gaps:,} left out", f"they have no {target}"))
        frame = frame.filter(pl.col(target).is_not_null())
    labels = frame[target]
    if labels.dtype != pl.Float64 or labels.is_empty() or not bool((labels == labels.round()).all()):
        return frame
    return frame.with_columns(labels.cast(pl.Int64)) if labels.n_unique() <= _MOST_WHOLE_LABELS else frame


def _described_column(series: pl.Series, typing: Typing) -> Column:
    unique, exact = count_unique(series)
    return Column(
        series.name,
        typing.kind,
        dtype=_dtype(series.dtype),
        reason=_typing_reason(series, typing, unique, exact),
        missing=series.null_count(),
        unique=unique,
        format=typing.format,
        missing_words=typing.missing_words,
    )


def _typing_reason(series: pl.Series, typing: Typing, unique: int, exact: bool) -> str:
    parts = [typing.reason]
    if series.dtype == pl.Int64 and typing.reason != "as told" and 2 < unique <= _FEW_INTEGERS:
        parts.append(f"only {unique} different: amounts, unless --kind calls them a category")
    if not exact:
        parts.append("distinct values estimated")
    return "; ".join(parts)


def _with_role(frame: pl.DataFrame, column: Column, target: str | None, config: ReadConfig) -> Column:
    if column.name == target:
        return replace(column, role="target")
    if column.name in config.drop:
        return replace(column, role="dropped", reason=f"{column.reason}; dropped as told")
    return assign_role(frame[column.name], column, keep=column.name in config.keep)


def _goal(frame: pl.DataFrame, columns: list[Column], target: str, config: ReadConfig, source: str) -> Target:
    column = next(column for column in columns if column.name == target)
    return guess_target(frame[target], column, config.task, config.positive, source)


def _schema_notes(schema: Schema) -> list[Note]:
    """Notes on the schema's main guesses: columns left out, and the task."""
    out = [c for c in schema if c.role in ("id", "constant", "dropped")]
    notes = [
        Note(c.name, "left out" if c.role == "dropped" else f"{c.role}, left out", c.reason) for c in out
    ]
    if schema.target is not None:
        notes.append(Note("task", schema.target.task, schema.target.reason))
    return notes
