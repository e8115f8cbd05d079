"""Tables in memory or in typed files: any frame, array or mapping to the few types that a table has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.errors import DataError
from tabstudio.table.csv_dialect import name_columns
from tabstudio.table.table import Note

if TYPE_CHECKING:
    import narwhals as nw
    from narwhals.typing import IntoSeries


def to_polars(data: Any, what: str = "the table") -> pl.DataFrame:
    """A polars frame of any frame that narwhals knows, an array, a mapping of columns or a list of rows.

    A NumPy array without names gets `x0`, `x1`, ... Raises `DataError` for what is no table.
    """
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, np.ndarray):
        return _of_array(data, what)
    if isinstance(data, Mapping):
        return _of_columns({str(name): values for name, values in data.items()}, what)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _of_rows(data, what)
    return _of_native(data, what)


def name_frame(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[Note]]:
    """The frame with stripped, unique, non-empty names, and a note for each that changed."""
    names, notes = name_columns(frame.columns)
    return (frame.rename(dict(zip(frame.columns, names, strict=True))), notes) if notes else (frame, notes)


def normalise(frame: pl.DataFrame, what: str) -> pl.DataFrame:
    """The same columns as Int64, Float64, Boolean, String, Date or Datetime in microseconds without a zone.

    Raises `DataError` that names every column of another type.
    """
    faults: list[str] = []
    columns = [_normal(series, faults) for series in frame.iter_columns()]
    if faults:
        raise DataError(f"{what}: {'; '.join(faults)}: turn them into numbers or text, or leave them out")
    return pl.DataFrame(columns)


def as_words(series: pl.Series) -> pl.Series:
    """Any column as text; whole floats lose their decimal point, so codes are equal from every source."""
    if series.dtype.is_float():
        series = series.fill_nan(None)
        whole = series.cast(pl.Int64, strict=False)
        if whole.null_count() == series.null_count() and bool((whole == series).all()):
            return whole.cast(pl.String)
    return series.cast(pl.String)


def _normal(series: pl.Series, faults: list[str]) -> pl.Series:
    dtype = series.dtype
    if dtype in (pl.Int64, pl.Boolean, pl.String, pl.Date):
        return series
    if dtype.is_integer():
        wide = series.cast(pl.Int64, strict=False)
        return wide if wide.null_count() == series.null_count() else series.cast(pl.Float64)
    if dtype.is_float() or dtype.is_decimal():
        return series.cast(pl.Float64)
    if dtype in (pl.Categorical, pl.Enum):
        return series.cast(pl.String)
    if isinstance(dtype, pl.Datetime):
        zoned = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else series
        return zoned.cast(pl.Datetime("us"))
    if dtype == pl.Duration:
        return series.dt.total_microseconds().cast(pl.Float64) / 1e6
    if dtype == pl.Time:
        return series.cast(pl.Int64).cast(pl.Float64) / 1e9
    if dtype == pl.Null:
        return series.cast(pl.String)
    if dtype == pl.Object:
        return _objects(series, faults)
    faults.append(f"column {series.name!r} holds {dtype}")
    return series


def _objects(series: pl.Series, faults: list[str]) -> pl.Series:
    values = series.to_list()
    if any(isinstance(value, list | dict | set | tuple | np.ndarray) for value in values):
        faults.append(f"column {series.name!r} holds Python collections")
    return words_of(series.name, values)


def words_of(name: str, values: Sequence[object]) -> pl.Series:
    """Python values of mixed types as text; None and NaN as null."""
    cells = [None if value is None or value != value else _cell_word(value) for value in values]
    return pl.Series(name, cells, dtype=pl.String)


def _cell_word(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _of_array(data: npt.NDArray[Any], what: str) -> pl.DataFrame:
    if data.dtype.names:
        return _of_columns({name: data[name] for name in data.dtype.names}, what)
    if data.ndim != 2:
        raise DataError(f"{what}: an array of shape (rows, columns) was expected, got shape {data.shape}")
    return _of_columns({f"x{column}": data[:, column] for column in range(data.shape[1])}, what)


def _of_columns(columns: Mapping[str, object], what: str) -> pl.DataFrame:
    series = [_series(name, values) for name, values in columns.items()]
    lengths = {s.len() for s in series}
    if len(lengths) > 1:
        shown = ", ".join(f"{s.name!r} {s.len()}" for s in series[:10])
        raise DataError(f"{what}: the columns have different lengths: {shown}")
    return pl.DataFrame(series)


def _series(name: str, values: Any) -> pl.Series:
    if isinstance(values, pl.Series):
        return values.alias(name)
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "biufM":
            return pl.Series(name, np.ascontiguousarray(values))
        return _of_cells(name, values.tolist())
    if hasattr(values, "__array__") or hasattr(values, "__arrow_c_stream__"):
        import narwhals as nw

        if nw.dependencies.is_into_series(values):
            return _of_series(name, nw.from_native(values, series_only=True))
    return _of_cells(
        name, list(values) if not isinstance(values, str) and hasattr(values, "__iter__") else [values]
    )


def _of_cells(name: str, values: list[object]) -> pl.Series:
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds and not kinds <= {int, float} and len(kinds) > 1:
        return words_of(name, values)
    try:
        return pl.Series(name, values, strict=len(kinds) <= 1)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return words_of(name, values)


def _of_rows(data: Sequence[Any], what: str) -> pl.DataFrame:
    if not data:
        raise DataError(f"{what}: no rows were given")
    if not all(isinstance(row, Mapping) for row in data):
        raise DataError(
            f"{what}: a list of dictionaries (column -> value) was expected,"
            f" got a list of {type(data[0]).__name__}"
        )
    names = list(dict.fromkeys(str(name) for row in data for name in row))
    return _of_columns({name: [row.get(name) for row in data] for name in names}, what)


def _of_native(data: Any, what: str) -> pl.DataFrame:
    import narwhals as nw

    data = _with_unique_names(data)
    try:
        frame = nw.from_native(data, eager_only=True)
    except (TypeError, AttributeError) as error:
        raise DataError(
            f"{what}: a path, a frame (polars, pandas, pyarrow), a NumPy array, a mapping of columns"
            f" or a list of rows was expected, got {type(data).__name__}"
        ) from error
    columns = [_of_series(series.name, series) for series in frame.iter_columns()]
    return pl.DataFrame(columns)


def _with_unique_names(data: Any) -> Any:
    """A pandas or pyarrow frame with unique names of text; both libraries allow others."""
    if type(data).__module__.startswith("pandas") and hasattr(data, "columns"):
        names = name_columns([str(name) for name in data.columns])[0]
        return data if names == list(data.columns) else data.set_axis(names, axis=1)
    if type(data).__module__.startswith("pyarrow") and hasattr(data, "rename_columns"):
        return data.rename_columns(name_columns(list(data.column_names))[0])
    return data


def _of_series(name: str, series: nw.Series[IntoSeries]) -> pl.Series:
    import narwhals as nw

    if series.dtype == nw.Object:
        return _of_cells(name, [None if value != value else value for value in series.to_list()])
    if isinstance(series.dtype, nw.Datetime) and series.dtype.time_zone:
        # The ways from pandas to polars and to Arrow stumble over zones, with a warning.
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    try:
        return pl.Series(name, series.to_arrow())
    except (TypeError, ValueError):
        return _of_cells(name, series.to_list())
