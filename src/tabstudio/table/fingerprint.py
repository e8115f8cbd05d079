"""One SHA-256 for a table's content: names, types, values and gaps of every row and column."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl

_STRINGS_AT_ONCE = 1 << 18


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 in hex over the typed content of a frame, independent of chunks and of the file it came from.

    Integers count as 64 bit, floats as float64, every text type as UTF-8, times as microseconds. Columns are
    hashed beside each other (hashlib lets go of the interpreter's lock) and their digests in column order.
    """
    whole = hashlib.sha256(f"tabstudio table 1\0{frame.height}\0{frame.width}\0".encode())
    with ThreadPoolExecutor(max_workers=min(4, max(1, frame.width))) as pool:
        for digest in pool.map(_column, frame.iter_columns()):
            whole.update(digest)
    return whole.hexdigest()


def _column(series: pl.Series) -> bytes:
    tag = _tag(series.dtype)
    digest = hashlib.sha256(f"{len(series.name.encode())}\0{series.name}\0{tag}\0".encode())
    if series.null_count():
        digest.update(np.packbits(series.is_null().to_numpy()).tobytes())
    if tag == "text":
        _strings(series, digest)
    else:
        digest.update(_numbers(series, tag).data.cast("B"))
    return digest.digest()


def _tag(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer"
    if dtype.is_float() or dtype.is_decimal():
        return "float"
    return "time" if dtype.is_temporal() else "text"


def _numbers(series: pl.Series, tag: str) -> np.ndarray[Any, Any]:
    if tag == "boolean":
        return np.packbits(_filled(series, value=False))
    if tag == "float":
        values = _filled(series.cast(pl.Float64), 0.0)
        # One bit pattern for each number: there is a negative zero, and there are many NaN.
        plain: np.ndarray[Any, Any] = values + 0.0
        if np.isnan(plain.sum()):
            plain[np.isnan(plain)] = np.nan
        return plain
    if tag == "time":
        series = series.cast(pl.Datetime("us"))
    return np.ascontiguousarray(_filled(series.cast(pl.Int64), 0))


def _filled(series: pl.Series, value: float) -> np.ndarray[Any, Any]:
    return (series.fill_null(value) if series.null_count() else series).to_numpy()


def _strings(series: pl.Series, digest: Any) -> None:
    filled = series.cast(pl.String).fill_null("")
    for start in range(0, len(filled), _STRINGS_AT_ONCE):
        part = filled[start : start + _STRINGS_AT_ONCE]
        digest.update(part.str.len_bytes().to_numpy().astype("<u4").tobytes())
        digest.update(part.str.join("").item().encode())
