"""New rows held against a schema: its features, in its order and types, from whatever the rows come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.errors import DataError, InputError
from tabstudio.table.dataframes import as_words, normalise, to_polars
from tabstudio.table.schema import Column, Schema
from tabstudio.table.type_inference import Typing, convert, finite, strip_missing

_SHOWN = 5
DTYPES: dict[str, pl.DataType] = {
    "Int64": pl.Int64(),
    "Float64": pl.Float64(),
    "Boolean": pl.Boolean(),
    "String": pl.String(),
    "Date": pl.Date(),
    "Datetime": pl.Datetime("us"),
}


def conform(data: Any, schema: Schema) -> pl.DataFrame:
    """The feature columns of `schema`, in its order and types, of the rows in `data`.

    Takes any frame, a mapping of columns (or one row of scalars), a list of rows, or a NumPy array, which
    without names is taken by position. Text is parsed as the table's file was: the same missing words, date
    formats and decimal commas. Other columns are passed over; unseen categories are no fault.

    Raises one `InputError` that names every missing column and every cell of a wrong type, with row numbers
    from 1.
    """
    frame = _frame(data, schema)
    names = {name.strip(): name for name in frame.columns}
    missing = [column.name for column in schema.features if column.name not in names]
    faults = [_missing_columns_text(missing, frame.columns)] if missing else []
    series = [
        _conform_column(frame[names[column.name]], column, schema.missing_words, faults)
        for column in schema.features
        if column.name in names
    ]
    if faults:
        raise InputError("\n".join(faults))
    return pl.DataFrame(series)


def _frame(data: Any, schema: Schema) -> pl.DataFrame:
    if isinstance(data, np.ndarray) and not data.dtype.names:
        return _columns_by_position(data, schema)
    if (
        isinstance(data, Sequence)
        and not isinstance(data, str | bytes)
        and data
        and isinstance(data[0], Sequence | np.ndarray)
    ):
        return _columns_by_position(np.array(data, dtype=object), schema)
    if isinstance(data, Mapping) and not any(_is_column(value) for value in data.values()):
        data = [data]
    try:
        return to_polars(data, "the rows")
    except DataError as error:
        raise InputError(str(error)) from error


def _is_column(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _columns_by_position(data: npt.NDArray[np.generic], schema: Schema) -> pl.DataFrame:
    features = schema.features
    if data.ndim != 2 or data.shape[1] != len(features):
        order = ", ".join(c.name for c in features[:_SHOWN]) + (", ..." if len(features) > _SHOWN else "")
        raise InputError(
            f"an array of shape (rows, {len(features)}) was expected, got {data.shape}:"
            f" without names the columns are taken by position, {order}"
        )
    return to_polars({column.name: data[:, index] for index, column in enumerate(features)}, "the rows")


def _missing_columns_text(names: list[str], names_there: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names)
    have = ", ".join(repr(name) for name in names_there[:20]) + (" ..." if len(names_there) > 20 else "")
    return f"{len(names)} column{'s are' if len(names) > 1 else ' is'} missing: {shown}; the rows have {have}"


def _conform_column(
    series: pl.Series, column: Column, words: tuple[str, ...], faults: list[str]
) -> pl.Series:
    try:
        series = normalise(series.to_frame(), "the rows").to_series().alias(column.name)
    except DataError as error:
        faults.append(str(error))
        return series
    typing = Typing(column.kind, column.dtype, "", column.format, column.missing_words)
    if series.dtype == pl.String or column.kind in ("category", "text"):
        text = strip_missing(as_words(series).to_frame(), words).to_series()
        typed, bad = convert(text, typing)
    else:
        typed, bad = _cast(series, column)
    if bad.any():
        faults.append(_wrong(series, column, bad))
    if column.dtype == "Int64" and typed.dtype == pl.Float64:
        return typed
    return typed.cast(DTYPES[column.dtype]).alias(column.name)


def _cast(series: pl.Series, column: Column) -> tuple[pl.Series, pl.Series]:
    """A column that is typed already, as the schema's kind; the mask of the cells that cannot be."""
    good = pl.repeat(False, len(series), dtype=pl.Boolean, eager=True)
    temporal, wanted = series.dtype.is_temporal(), column.kind == "date"
    if temporal != wanted:
        if wanted and series.dtype == pl.Int64 and column.format:
            return convert(series.cast(pl.String), Typing("date", column.dtype, "", column.format))
        return pl.repeat(None, len(series), dtype=DTYPES[column.dtype], eager=True), series.is_not_null()
    if wanted:
        return series.cast(DTYPES[column.dtype]), good
    if series.dtype == pl.Float64:
        series = finite(series)
    if column.kind == "boolean" and series.dtype != pl.Boolean:
        truth = series.is_in([0, 1])
        return series.cast(pl.Boolean), (~truth).fill_null(value=False)
    if column.dtype == "Int64" and series.dtype == pl.Float64:
        whole = series.cast(pl.Int64, strict=False)
        fits = whole.null_count() == series.null_count() and bool((whole == series).all())
        return (whole, good) if fits else (series, good)
    return series.cast(DTYPES[column.dtype]), good


def _wrong(series: pl.Series, column: Column, bad: pl.Series) -> str:
    rows = bad.arg_true().to_list()
    shown = ", ".join(f"{series[row]!r} in row {row + 1}" for row in rows[:_SHOWN])
    more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    written = f" written {column.format}" if column.format else ""
    return f"column {column.name!r}: a {column.kind}{written} was expected, got {shown}{more}"
