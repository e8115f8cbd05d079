"""What the training rows looked like, frozen, so that later rows can be held against it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from tabstudio.model.column_encoders import QUANTILE_ROWS, present
from tabstudio.model.inference.arrays import Array
from tabstudio.table.schema import Column, Schema
from tabstudio.table.schema_alignment import DTYPES

SHARES = tuple(round(step / 20, 2) for step in range(21))
"""Shares of the recorded quantiles: every twentieth, with the least and the greatest value."""
TOP = 50
"""Levels of a category recorded by name; the others are counted together."""


def profile(frame: pl.DataFrame, schema: Schema) -> dict[str, Any]:
    """Counts, gaps and distribution of every feature, as plain data.

    Numbers have `quantiles` at `SHARES`, mean and deviation, and `histogram`: counts between `edges`, which
    are ten bins of equal share of the training rows where values are not tied. Dates are numbers in days
    since 1970, texts are numbers of words. Categories have `levels`, the commonest with their counts, and
    `other`, the number of all other rows.
    Quantiles of more than 131,072 rows come from that many evenly spaced ones.
    """
    columns = {column.name: _column(frame.get_column(column.name), column) for column in schema.features}
    return {"rows": len(frame), "columns": columns}


def typical_rows(frozen: Mapping[str, Any], schema: Schema, rows: int) -> pl.DataFrame:
    """Rows made from a profile: every column runs through its own levels or quantiles, beside the others.

    They look like training rows column by column, not as a whole: fit to try a model or to time it.
    """
    columns = {}
    for column in schema.features:
        values = _typical(frozen["columns"][column.name], column) or [None]
        columns[column.name] = pl.Series(
            (values * (rows // len(values) + 1))[:rows], dtype=DTYPES[column.dtype]
        )
    return pl.DataFrame(columns)


def _typical(facts: Mapping[str, Any], column: Column) -> list[object]:
    if column.kind in ("category", "boolean"):
        levels = list(facts["levels"])
        return [level == "true" for level in levels] if column.kind == "boolean" else levels
    quantiles = facts.get("quantiles", [])
    if column.kind == "date":
        start = datetime(1970, 1, 1)
        return [start + timedelta(days=days) for days in quantiles]
    if column.kind == "text":
        return [" ".join(["word"] * round(words)) for words in quantiles]
    return [round(value) for value in quantiles] if column.dtype == "Int64" else quantiles


def _column(series: pl.Series, column: Column) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": column.kind, "missing": series.null_count()}
    if column.kind in ("category", "boolean"):
        return facts | _level_counts(series)
    if column.kind == "date":
        series = series.cast(pl.Datetime("us")).dt.epoch("us") / 86_400e6
    if column.kind == "text":
        series = series.str.count_matches(r"\w+")
    values = present(series)
    facts["not_finite"] = len(series) - facts["missing"] - len(values)
    return facts | (_distribution(values) if len(values) else {})


def _level_counts(series: pl.Series) -> dict[str, object]:
    counts = series.drop_nulls().cast(pl.String).value_counts(name="rows")
    top = counts.sort("rows", series.name, descending=[True, False]).head(TOP)
    levels = {str(level): int(rows) for level, rows in top.iter_rows()}
    return {
        "unique": len(counts),
        "levels": levels,
        "other": int(counts["rows"].sum()) - sum(levels.values()),
    }


def _distribution(values: Array) -> dict[str, object]:
    sample = values[:: -(-len(values) // QUANTILE_ROWS)]
    with np.errstate(over="ignore", invalid="ignore"):
        quantiles = np.quantile(sample, SHARES)
        quantiles[0], quantiles[-1] = values.min(), values.max()
        mean, deviation = float(values.mean()), float(values.std())
    edges = np.unique(quantiles[::2])
    counts = np.bincount(np.searchsorted(edges[1:-1], sample, side="right"), minlength=max(1, len(edges) - 1))
    return {
        "mean": mean,
        "deviation": deviation,
        "quantiles": quantiles.tolist(),
        "edges": edges.tolist(),
        "histogram": counts.tolist(),
    }
