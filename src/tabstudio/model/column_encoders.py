"""How one column becomes numbers or codes: what is learned from training rows, kept as plain data.

`NumberColumn` and `DateColumn` fill float32 columns of a block of rows, `CategoryColumn` and `HashedColumn`
give one int64 code per row. Nothing here depends on Python's `hash` or on a library's: levels go through
CRC-32, so a model means the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar
from zlib import crc32

import numpy as np
import numpy.typing as npt
import polars as pl

from tabstudio.model.inference.arrays import Array
from tabstudio.model.inference.encoding import FIRST, MISSING, UNSEEN, CodeTable, NumberScaler, code_table
from tabstudio.options import Scaling

Hash = TypeVar("Hash", int, "npt.NDArray[Any]")

RARE = 2
"""A level that stands in fewer training rows shares the code `UNSEEN`, which is trained by them."""
MOST_LEVELS = 10_000
"""More distinct levels than this are hashed instead of remembered. A vector each serves better than buckets,
and as well as target statistics would, down to levels of two rows."""
BUCKETS = 4096
FAR, TAIL, FEWEST_FAR = 10.0, 0.01, 3
"""A column has a heavy tail if values lie this many quartile ranges out: more than this share, and number."""
QUANTILE_ROWS = 1 << 17
"""Quartiles of longer columns are taken from that many evenly spaced rows."""


@dataclass(frozen=True, slots=True)
class Scale:
    """`(x - centre) * factor + shift` in float64, cast to float32.

    `clip` presses it smoothly into (-3, 3). Where more than a few values lie far out, as incomes and
    populations do, that would make them all alike: `log` takes the inverse hyperbolic sine instead, which is
    straight about 0 and logarithmic far out.

    Source of `robust` and its clip: RealMLP (Holzmüller et al. 2024, arXiv:2407.04491, appendix A).
    """

    centre: float = 0.0
    factor: float = 1.0
    shift: float = 0.0
    clip: bool = False
    log: bool = False

    @classmethod
    def fit(cls, values: Array, scaling: Scaling) -> Scale:
        """Learn from finite float64 values, at least one. A single distinct value is scaled to 0."""
        with np.errstate(over="ignore", invalid="ignore"):
            if scaling == "minmax":
                low, high = float(values.min()), float(values.max())
                factor = _factor(high - low, otherwise=1.0)
                return cls(factor=factor, shift=-low * factor)
            if scaling == "standard":
                return cls(float(values.mean()), _factor(float(values.std()), otherwise=1.0))
            sample = _sampled(values)
            low, median, high = (float(v) for v in np.quantile(sample, (0.25, 0.5, 0.75)))
            spread = high - low or float(values.max() - values.min()) / 2
            factor = _factor(spread, otherwise=0.0)
            far = np.count_nonzero(np.abs(sample - median) * factor > FAR)
            heavy = bool(far > max(TAIL * len(sample), FEWEST_FAR))
            return cls(median, factor, clip=not heavy, log=heavy)

    def apply(self, values: Array, fill: float) -> Array:
        """Scale numbers (b,) to float32 (b,); those that are not finite stand for `fill`."""
        scaler = NumberScaler[Array](self.centre, self.factor, self.shift, fill, self.clip, self.log)
        with np.errstate(over="ignore", invalid="ignore"):
            return scaler.scale(values)[0]


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A number or a boolean: the scaled value, and 1 where it was missing if training had gaps (`gaps`)."""

    kind: ClassVar[str] = "number"
    name: str
    scale: Scale
    fill: float
    gaps: bool

    @classmethod
    def fit(cls, series: pl.Series, scaling: Scaling) -> NumberColumn | None:
        """Learn from training values; None where all are missing or not finite."""
        values = present(series)
        if not len(values):
            return None
        gaps = len(values) < len(series)
        if series.dtype == pl.Boolean:
            return cls(series.name, Scale(), float(values.mean() >= 0.5), gaps)
        scale = Scale.fit(values, scaling)
        fill = scale.centre if scaling == "robust" else float(np.median(_sampled(values)))
        return cls(series.name, scale, fill, gaps)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that `write` fills."""
        return (self.name, f"{self.name} is missing") if self.gaps else (self.name,)

    def write(self, series: pl.Series, out: Array) -> int:
        """Fill `out` (b, width) and return how many values were missing."""
        values = numeric(series)
        out[:, 0] = self.scale.apply(values, self.fill)
        known = np.isfinite(values)
        if self.gaps:
            out[:, 1] = ~known
        return len(known) - int(np.count_nonzero(known))


@dataclass(frozen=True, slots=True)
class DateColumn:
    """A point in time: days, and its place in the year, the week and (if training had times) the day.

    Places are the sine and cosine of the angle, so that December lies beside January. A missing date has the
    median day and 0 for every sine and cosine.
    """

    kind: ClassVar[str] = "date"
    name: str
    days: NumberColumn
    hours: bool

    @classmethod
    def fit(cls, series: pl.Series, scaling: Scaling) -> DateColumn | None:
        """Learn from training values; None where all are missing."""
        days = NumberColumn.fit(_days(series), scaling)
        if days is None:
            return None
        timed = series.dtype != pl.Date and bool(((series.dt.hour() != 0) | (series.dt.minute() != 0)).any())
        return cls(series.name, days, timed)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that `write` fills."""
        parts = ("year", "week", "day") if self.hours else ("year", "week")
        circles = tuple(f"{self.name} {f} of {part}" for part in parts for f in ("sine", "cosine"))
        return self.days.names + circles

    def write(self, series: pl.Series, out: Array) -> int:
        """Fill `out` (b, width) and return how many values were missing."""
        width = len(self.days.names)
        missing = self.days.write(_days(series), out[:, :width])
        shares = [(series.dt.ordinal_day() - 1) / 365.25, (series.dt.weekday() - 1) / 7]
        if self.hours:
            shares.append((series.dt.hour() * 60.0 + series.dt.minute()) / 1440)
        for index, share in enumerate(shares):
            angle = share.to_numpy() * (2 * np.pi)
            out[:, width + 2 * index] = np.nan_to_num(np.sin(angle))
            out[:, width + 2 * index + 1] = np.nan_to_num(np.cos(angle))
        return missing


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """A vocabulary: `levels` have codes from `FIRST` on, `rare` ones share `UNSEEN`, all others are unseen.

    An unseen level takes the code `default`, which is `UNSEEN` where rare levels trained it, else that of the
    commonest level; so does a missing value where training had no gap.
    """

    kind: ClassVar[str] = "category"
    name: str
    levels: tuple[str, ...]
    rare: tuple[str, ...]
    default: int
    gaps: bool

    @classmethod
    def fit(cls, series: pl.Series) -> CategoryColumn | HashedColumn | None:
        """Learn from training values; None where all are missing."""
        values = series.cast(pl.String).drop_nulls()
        if not len(values):
            return None
        gaps = len(values) < len(series)
        counts = values.value_counts(name="rows").sort("rows", series.name, descending=[True, False])
        if len(counts) > MOST_LEVELS:
            return HashedColumn(series.name, BUCKETS, gaps)
        common = counts.filter(pl.col("rows") >= RARE).get_column(series.name)
        rare = counts.filter(pl.col("rows") < RARE).get_column(series.name).to_list()
        levels = sorted(common)
        default = UNSEEN if rare else FIRST + levels.index(common[0])
        return cls(series.name, tuple(levels), tuple(rare), default, gaps)

    @property
    def cardinality(self) -> int:
        """How many codes there are."""
        return FIRST + len(self.levels)

    @property
    def table(self) -> CodeTable:
        """The codes of the levels, of a missing value and of all others."""
        levels = {level: FIRST + index for index, level in enumerate(self.levels)}
        return code_table(levels | dict.fromkeys(self.rare, UNSEEN), self.default, gaps=self.gaps)

    def codes(self, series: pl.Series) -> tuple[Array, int, int]:
        """Codes (n,) of the values, how many levels were unseen, how many values were missing."""
        texts, table = series.cast(pl.String), self.table
        places = texts.cast(pl.Enum(list(table.known)), strict=False).to_physical().cast(pl.Int64)
        missing, unknown = texts.null_count(), places.null_count()
        codes = np.array([*table.known.values(), table.unseen, table.missing], dtype=np.int64)
        rows = places.fill_null(len(table.known)).to_numpy()
        if missing:
            rows = np.where(texts.is_null().to_numpy(), len(table.known) + 1, rows)
        return codes[rows], unknown - missing, missing


@dataclass(frozen=True, slots=True)
class HashedColumn:
    """A category of very many levels: the level's CRC-32 picks one of `buckets` codes. None is unseen."""

    kind: ClassVar[str] = "hashed"
    name: str
    buckets: int
    gaps: bool

    @property
    def cardinality(self) -> int:
        """How many codes there are."""
        return FIRST + self.buckets

    def code(self, crc: Hash) -> Hash:
        """Code of a level by its CRC-32."""
        return crc % self.buckets + FIRST

    def codes(self, series: pl.Series) -> tuple[Array, int, int]:
        """Codes (n,) of the values, 0, how many values were missing."""
        texts = series.cast(pl.String)
        codes = self.code(hashes(texts.fill_null("")))
        missing = texts.null_count()
        if missing and self.gaps:
            codes[texts.is_null().to_numpy()] = MISSING
        return codes, 0, missing


def numeric(series: pl.Series) -> Array:
    """Numbers of a block; missing is NaN. Integers without gaps stay integers and are not copied."""
    if series.dtype.is_integer() and not series.null_count():
        return series.to_numpy()
    return series.cast(pl.Float64).to_numpy()


def present(series: pl.Series) -> Array:
    """The finite values of a number or boolean column, as float64."""
    values = series.drop_nulls().cast(pl.Float64).to_numpy()
    finite = np.isfinite(values)
    return values if finite.all() else values[finite]


def _sampled(values: Array) -> Array:
    return values[:: -(-len(values) // QUANTILE_ROWS)]


def _factor(spread: float, otherwise: float) -> float:
    factor = 1 / spread if spread > 0 else otherwise
    return factor if np.isfinite(factor) else otherwise


def _days(series: pl.Series) -> pl.Series:
    return series.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 86_400e6


def hashes(texts: pl.Series) -> Array:
    """CRC-32 of the UTF-8 bytes of each text, as int64; each distinct text is hashed once."""
    distinct = texts.unique()
    hashes = pl.Series([crc32(text.encode()) for text in distinct], dtype=pl.Int64)
    # Of no texts at all polars makes a column without a type.
    return texts.replace_strict(distinct, hashes, return_dtype=pl.Int64).cast(pl.Int64).to_numpy().copy()
