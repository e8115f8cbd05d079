"""What each column is for: ids and constants are found by what they hold, and said so."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import polars as pl

from tabstudio.table.schema import Column, Role

EXACT_UP_TO = 100_000
_SAMPLE = 10_000
_ID_NAME = re.compile(
    r"(?:^|[_\W])(?:id|ids|uuid|guid|key|index|idx|rowid|row|rownum|serial|nr|number|record|case|seq|unnamed)(?:$|[_\W\d])"
)
_FEWEST_ROWS = 10
_NEARLY = 0.9
_SHARED_WORD = (0.003, 0.9)
"""A word tells texts apart where more than the one share of them have it, and no more than the other."""


def count_unique(series: pl.Series) -> tuple[int, bool]:
    """Distinct present values, and whether that is exact: long columns of numbers are estimated.

    The estimate takes every (n / 10,000)-th row, and adds to the distinct values seen there those to be
    expected unseen, f1 (f1 - 1) / 2 (f2 + 1) with f1 values seen once and f2 twice (Chao 1984,
    bias-corrected).
    """
    n = len(series)
    if n <= EXACT_UP_TO or not series.dtype.is_numeric():
        return _distinct(series), True
    sample = series.gather_every(n // _SAMPLE).drop_nulls()
    times = np.unique(sample.to_numpy(), return_counts=True)[1]
    if len(times) <= 2:
        return _distinct(series), True
    once, twice = int((times == 1).sum()), int((times == 2).sum())
    expected = len(times) + once * (once - 1) / (2 * (twice + 1))
    return min(round(expected), n - series.null_count()), False


def _distinct(series: pl.Series) -> int:
    return series.n_unique() - (series.null_count() > 0)


def assign_role(series: pl.Series, column: Column, keep: bool) -> Column:
    """The column with its role: constant, id or feature. `keep` forces a feature."""
    role, reason = _guessed_role(series, column)
    if keep and role != "feature":
        return replace(column, reason=_both(column.reason, f"kept as told, though it looks like an {role}"))
    return replace(column, role=role, reason=_both(column.reason, reason))


def _both(first: str, second: str) -> str:
    return "; ".join(part for part in (first, second) if part)


def _guessed_role(series: pl.Series, column: Column) -> tuple[Role, str]:
    rows = len(series)
    if column.unique == 0:
        return "constant", "no value in any row"
    if column.unique == 1 and column.missing == 0:
        return "constant", "one value in all rows"
    if column.unique == 1:
        return "feature", "one value or none: the gap is the information"
    if rows < _FEWEST_ROWS or column.unique < _NEARLY * (rows - column.missing):
        return "feature", ""
    if column.kind in ("category", "text"):
        return _text_role(series, column)
    if column.kind == "number" and series.dtype == pl.Int64:
        return _integer_role(series, column)
    return "feature", ""


def _text_role(series: pl.Series, column: Column) -> tuple[Role, str]:
    present = rows_present(series)
    if present >= _FEWEST_ROWS and _distinct(series) == present and not _says_something(series, column):
        return "id", "another value in every row"
    if _named_id(column.name) and present >= _FEWEST_ROWS:
        return "id", "named like an id, and nearly another value in every row"
    return "feature", ""


def _says_something(series: pl.Series, column: Column) -> bool:
    """Whether most texts share a word with other texts, as prose, names and addresses do and keys do not."""
    if column.kind != "text":
        return False
    texts = series.drop_nulls()
    texts = texts.gather_every(-(-len(texts) // _SAMPLE)).str.to_lowercase()
    words = pl.DataFrame({"text": range(len(texts)), "word": texts.str.extract_all(r"\w+").list.unique()})
    words = words.explode("word").drop_nulls().with_columns(rows=pl.len().over("word"))
    least, most = (share * len(texts) for share in _SHARED_WORD)
    shared = words.filter((pl.col("rows") > max(least, 1)) & (pl.col("rows") <= most))
    return 2 * shared.get_column("text").n_unique() >= len(texts)


def _integer_role(series: pl.Series, column: Column) -> tuple[Role, str]:
    low, high = series.min(), series.max()
    present = rows_present(series)
    if present < _FEWEST_ROWS:
        return "feature", ""
    gapless = isinstance(low, int) and isinstance(high, int) and high - low + 1 == present == len(series)
    counts = gapless and (low in (0, 1) or series.is_sorted())
    if counts and series.n_unique() == present:
        return "id", "counts the rows"
    if _named_id(column.name):
        return "id", "named like an id, and (nearly) another integer in every row"
    return "feature", ""


def rows_present(series: pl.Series) -> int:
    """Rows with a value."""
    return len(series) - series.null_count()


def name_words(name: str) -> str:
    """A column's name in lower case with `_` between its words: patientId is patient_id."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _named_id(name: str) -> bool:
    return bool(_ID_NAME.search(name_words(name)))
