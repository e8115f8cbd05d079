"""Knowing a row again without keeping it: a 64-bit key per row, and a small set of keys.

A model keeps the keys of the rows it was tested on and a filter of those it was trained on. So two models can
be compared on rows that neither was trained on, years later and without the first one's data.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

Keys = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

BITS_PER_ROW = 10
PROBES = 6
"""With at least ten bits a row, six probes call at most one row in a hundred seen that was not."""


def row_keys(frame: pl.DataFrame) -> Keys:
    """One key per row (n,), from names and typed values; the order of the columns does not matter.

    Equal rows have equal keys on every machine and in every version. Numbers and booleans count as float64,
    dates as microseconds, words as UTF-8. Two different rows of a million share one in 30 million tables.
    """
    keys = np.zeros(frame.height, dtype=np.uint64)
    for name in sorted(frame.columns):
        keys += _mixed(_value_codes(frame[name]) ^ _of_word(f"column {name}"))
    return keys


@dataclass(frozen=True)
class KeySet:
    """A Bloom filter (1970) of keys in ten to twenty bits each: no false negatives.

    About one in a hundred other keys is a false positive. `bits` is uint8, packed.
    """

    bits: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, keys: Keys) -> Self:
        """The set of these keys."""
        size = 1 << max(6, (BITS_PER_ROW * len(keys) - 1).bit_length())
        marks = np.zeros(size, dtype=np.bool_)
        for places in _probes(keys, size):
            marks[places] = True
        return cls(np.packbits(marks))

    def contains(self, keys: Keys) -> Bools:
        """Mask (n,) of the keys (n,) that are in the set."""
        size = 8 * len(self.bits)
        marks = np.unpackbits(self.bits).astype(np.bool_)
        matches = np.ones(len(keys), dtype=np.bool_)
        for places in _probes(keys, size):
            matches &= marks[places]
        return matches


def _probes(keys: Keys, size: int) -> list[Keys]:
    """Places of each key, from two halves of it (Kirsch and Mitzenmacher 2008)."""
    first, second = keys & np.uint64(0xFFFFFFFF), (keys >> np.uint64(32)) | np.uint64(1)
    return [(first + np.uint64(probe) * second) & np.uint64(size - 1) for probe in range(PROBES)]


def _value_codes(series: pl.Series) -> Keys:
    """Codes (n,), equal for equal values; missing values have a code of their own."""
    if series.dtype == pl.String:
        codes = _word_codes(series)
    elif series.dtype.is_temporal():
        series = series.cast(pl.Datetime("us")).cast(pl.Int64)
        codes = series.fill_null(0).to_numpy().view(np.uint64).copy()
    else:
        series = series.cast(pl.Float64).fill_nan(None)
        # One bit pattern for each number: there is a negative zero.
        codes = (series.fill_null(0.0).to_numpy() + 0.0).view(np.uint64)
    codes[series.is_null().to_numpy()] = _of_word("no value")
    return codes


def _word_codes(series: pl.Series) -> Keys:
    words = series.drop_nulls().unique()
    codes: Keys = np.array([_of_word(word) for word in ("", *words)], dtype=np.uint64)
    places = series.cast(pl.Enum(words)).to_physical().cast(pl.Int64) + 1
    matches: Keys = codes[places.fill_null(0).to_numpy()]
    return matches


def _of_word(word: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little"))


def _mixed(values: Keys) -> Keys:
    """Spread every bit over all 64, by the last steps of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
