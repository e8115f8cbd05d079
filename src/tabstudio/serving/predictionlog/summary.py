"""A prediction log in a few lines of text."""

from __future__ import annotations

import polars as pl

_SHOWN = ("time", "request_id", "row", "version", "role", "caller", "prediction", "label")


def summary_table(log: pl.LazyFrame) -> str:
    """Rows, labels and times of each version and role, a line each."""
    counts = (
        log.group_by("version", "role")
        .agg(
            pl.len().alias("rows"),
            pl.col("label").count().alias("labels"),
            pl.col("time").min().alias("first"),
            pl.col("time").max().alias("last"),
        )
        .sort("last")
        .collect()
    )
    return _table(counts)


def tail_table(log: pl.LazyFrame, rows: int) -> str:
    """The last rows: what was asked by whom and answered, and the label that came later."""
    return _table(log.select(_SHOWN).tail(rows).collect())


def _table(frame: pl.DataFrame) -> str:
    times = pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M:%SZ")
    words = frame.with_columns(times).select(pl.all().cast(pl.String).fill_null("-").replace("", "-"))
    lines = [words.columns, *words.rows()]
    widths = [max(len(line[place]) for line in lines) for place in range(words.width)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
