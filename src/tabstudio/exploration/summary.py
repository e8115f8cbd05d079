"""What a table holds, in numbers: types and counts, describe, levels, classes, missing values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tabstudio.exploration.associations import Associations
from tabstudio.exploration.column_arrays import Vectors
from tabstudio.table.number_formats import with_unit
from tabstudio.table.schema import Column
from tabstudio.table.table import Table

QUANTILES = (0.25, 0.5, 0.75)
_TOP_LEVELS = 5


@dataclass(frozen=True)
class Summary:
    """Frames of numbers.

    columns: column, kind, role, dtype, present, missing, unique, bytes and `values` in words;
    numbers: column, count, mean, std, min, 25%, 50%, 75%, max of the number columns;
    classes: class, rows, share, the largest first; None without a class target;
    missing: column, missing, share, only columns that miss any, the most first;
    associations: with the target, and the matrix among the strongest columns.
    """

    rows: int
    bytes: int
    columns: pl.DataFrame
    numbers: pl.DataFrame
    classes: pl.DataFrame | None
    missing: pl.DataFrame
    associations: Associations


def describe(table: Table) -> pl.DataFrame:
    """Count, mean, standard deviation (n - 1), least, quartiles and largest of each number column.

    Quartiles are interpolated as NumPy and pandas do. NaN and infinities count as missing. One lazy pass.
    """
    names = [c.name for c in table.schema if c.kind == "number"]
    frame = _without_infinities(table.frame.select(names))
    expressions = []
    for i, name in enumerate(names):
        column = pl.col(name).cast(pl.Float64)
        expressions += [column.count().alias(f"{i} count"), column.mean().alias(f"{i} mean")]
        expressions += [
            column.std().alias(f"{i} std"),
            column.min().alias(f"{i} min"),
            column.max().alias(f"{i} max"),
        ]
        expressions += [column.quantile(list(QUANTILES), "linear").alias(f"{i} quantiles")]
    answer = frame.lazy().select(expressions).collect().row(0, named=True) if names else {}
    rows = []
    for i, name in enumerate(names):
        before = [answer[f"{i} {key}"] for key in ("count", "mean", "std", "min")]
        rows.append((name, *before, *answer[f"{i} quantiles"], answer[f"{i} max"]))
    numbers = ("mean", "std", "min", "25%", "50%", "75%", "max")
    schema: dict[str, type[pl.DataType]] = {"column": pl.String, "count": pl.Int64}
    schema |= dict.fromkeys(numbers, pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")


def types_and_counts(table: Table, vectors: Vectors, numbers: pl.DataFrame) -> pl.DataFrame:
    """One row per column: what `DataFrame.info` shows, and its values in words."""
    ranges = {row["column"]: row for row in numbers.iter_rows(named=True)}
    rows = []
    for column in table.schema:
        series = table.frame[column.name]
        missing = _missing_count(series)
        rows.append(
            (
                *(column.name, column.kind, column.role, str(series.dtype).partition("(")[0]),
                *(len(series) - missing, missing, column.unique, int(series.estimated_size())),
                _in_words(column, series, vectors, ranges.get(column.name)),
            )
        )
    schema = {"column": pl.String, "kind": pl.String, "role": pl.String, "dtype": pl.String}
    counts = dict.fromkeys(("present", "missing", "unique", "bytes"), pl.Int64)
    return pl.DataFrame(rows, schema={**schema, **counts, "values": pl.String}, orient="row")


def class_counts(table: Table) -> pl.DataFrame | None:
    """Rows of each class of the target, the largest class first."""
    target = table.schema.target
    if target is None or target.task == "regression":
        return None
    counts = np.bincount(table.labels(), minlength=len(target.classes))
    frame = pl.DataFrame({"class": [str(label) for label in target.classes], "rows": counts.astype(np.int64)})
    share = (pl.col("rows") / max(1, len(table))).alias("share")
    return frame.with_columns(share).sort("rows", descending=True, maintain_order=True)


def missing_values(table: Table) -> pl.DataFrame:
    """The columns with missing values and how many, the most first."""
    counts = [_missing_count(table.frame[name]) for name in table.schema.names]
    counted = pl.DataFrame(
        {"column": list(table.schema.names), "missing": counts},
        schema={"column": pl.String, "missing": pl.Int64},
    )
    share = (pl.col("missing") / max(1, len(table))).alias("share")
    return (
        counted.with_columns(share)
        .filter(pl.col("missing") > 0)
        .sort("missing", descending=True, maintain_order=True)
    )


def _missing_count(series: pl.Series) -> int:
    gaps = series.null_count()
    if series.dtype.is_float():
        gaps += int((~series.is_finite()).sum() or 0)
    return gaps


def _without_infinities(frame: pl.DataFrame) -> pl.DataFrame:
    floats = [c for c in frame.columns if frame[c].dtype.is_float()]
    odd = frame.lazy().select(pl.col(floats).is_finite().all()).collect() if floats else frame.select(floats)
    wrong = [c for c in odd.columns if odd[c][0] is False]
    return frame.with_columns(pl.when(pl.col(c).is_finite()).then(pl.col(c)).alias(c) for c in wrong)


def _in_words(column: Column, series: pl.Series, vectors: Vectors, numbers: Mapping[str, Any] | None) -> str:
    """A number's or date's range, a category's most frequent levels."""
    if len(series) == series.null_count():
        return "no values"
    if numbers is not None:
        if numbers["min"] is None:
            return "no finite values"
        return with_unit(f"{numbers['min']:g} to {numbers['max']:g}", column.format)
    if column.kind == "date":
        return f"{str(series.min())[:10]} to {str(series.max())[:10]}"
    if column.name in vectors.columns:
        coded = vectors.codes(column.name)
        counts = coded.counts()
        order = np.argsort(-counts, kind="stable")[:_TOP_LEVELS]
        return _levels_text([coded.levels[i] for i in order], counts[order], counts.sum(), len(coded.levels))
    if column.unique == len(series) - series.null_count():
        return f"all different, such as {series.drop_nulls()[0]}"
    top = series.drop_nulls().value_counts(sort=True).head(_TOP_LEVELS)
    names = [str(value) for value in top.to_series(0)]
    return _levels_text(names, top.to_series(1).to_numpy(), len(series) - series.null_count(), column.unique)


def _levels_text(names: list[str], counts: Iterable[int], present: int, levels: int) -> str:
    shown = ", ".join(
        f"{name if len(name) <= 30 else name[:29] + '…'} {count / present:.0%}"
        for name, count in zip(names, counts, strict=True)
    )
    return shown + (f", {levels - len(names):,} more" if levels > len(names) else "")
