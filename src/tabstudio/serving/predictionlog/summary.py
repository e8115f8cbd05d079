"""A prediction log as a text table."""

from __future__ import annotations

import polars as pl

_SHOWN = ("time", "request_id", "row", "version", "role", "caller", "prediction", "label")


def summary_table(log: pl.LazyFrame) -> str:
    """Rows, labels and times of each version and role."""
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
    return _text_table(counts)


def tail_table(log: pl.LazyFrame, rows: int) -> str:
    """The last rows with their caller, prediction and later label."""
    return _text_table(log.select(_SHOWN).tail(rows).collect())


def _text_table(frame: pl.DataFrame) -> str:
    times = pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M:%SZ")
    texts = frame.with_columns(times).select(pl.all().cast(pl.String).fill_null("-").replace("", "-"))
    lines = [texts.columns, *texts.rows()]
    widths = [max(len(line[i]) for line in lines) for i in range(texts.width)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
