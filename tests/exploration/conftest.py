from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from tabstudio.exploration.column_arrays import Vectors
from tabstudio.table.schema import Column, Schema, Target
from tabstudio.table.table import Table, TableSource

KINDS = {pl.String: "category", pl.Boolean: "boolean", pl.Date: "date"}


def _table(frame: pl.DataFrame, target: Target | None = None, **kinds: str) -> Table:
    """A table with a schema by the dtypes, without the reader's guesses."""
    columns = tuple(
        Column(
            name=series.name,
            kind=kinds.get(series.name, KINDS.get(series.dtype, "number")),
            role="target" if target is not None and series.name == target.name else "feature",
            dtype=str(series.dtype),
            missing=series.null_count(),
            unique=series.drop_nulls().n_unique(),
        )
        for series in frame
    )
    return Table(frame, Schema(columns, target), TableSource("made.csv", rows=len(frame)))


@pytest.fixture
def make_table() -> Callable[..., Table]:
    return _table


@pytest.fixture
def gapped() -> pl.DataFrame:
    """Numbers with gaps and offsets, categories with gaps, a boolean; 400 rows."""
    rng = np.random.default_rng(3)
    n = 400
    a = rng.normal(size=n)
    frame = pl.DataFrame(
        {
            "a": a,
            "b": 1e6 + 0.5 * a + rng.normal(size=n),
            "c": rng.integers(0, 9, n),
            "colour": np.where(a + rng.normal(size=n) > 0, "red", np.where(a > -1, "green", "blue")),
            "size": rng.choice(["s", "m", "l", "xl"], n),
            "flag": a > 0.3,
        }
    )
    return frame.with_columns(
        pl.when(pl.Series(rng.random(n) > 0.2)).then(pl.col("b")),
        pl.when(pl.Series(rng.random(n) > 0.1)).then(pl.col("colour")),
    )


@pytest.fixture
def gapped_vectors(gapped: pl.DataFrame) -> Vectors:
    return Vectors(_table(gapped))
