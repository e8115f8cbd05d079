"""Numbers as people write them: with commas, with a unit, in short (1.5M), as times of the clock.

A format says how. `thousands` and `decimal comma` tell what the commas are. `#` is the number beside its
unit: `$#`, `#%`, `# km`; with ` k m b` behind it letters multiply. `h:mm` and `h:mm am` are times, in hours.
Both come together as in `$#, thousands`, which is $1,250.50.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

_DECIMAL_COMMA = r"^[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?$"
_THOUSANDS = r"^[+-]?\d{1,3}(?:,\d{3})*(?:\.\d+)?$"
_CODE = r"^[+-]?0\d"

_BEFORE = r"[A-Z]{0,3}\p{Sc}|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|Rs\.?"
_AFTER = r"[\p{L}%‰°+\p{Sc}][\p{L}%/\p{Sc}²³.]{0,11}(?: \p{L}{1,8})?"
_MEASURE = (
    rf"^(?<sign>[+-]?)(?:(?<before>{_BEFORE}) ?)?(?<number>[+-]?(?:\d[\d.,]*|\.\d+)) ?(?<after>{_AFTER})?$"
)
_LETTERS = "k m b"
_TIMES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "bn": 1e9}

_CLOCK = r"^(?<h>\d{1,3}):(?<m>[0-5]\d)(?::(?<s>[0-5]\d(?:\.\d+)?))?$"
_HALF_DAYS = r"^(?<h>1[0-2]|0?[1-9]):(?<m>[0-5]\d)(?::(?<s>[0-5]\d))? ?(?<half>[AaPp])\.?[Mm]\.?$"
_CLOCKS = {"h:mm": _CLOCK, "h:mm am": _HALF_DAYS}


@dataclass(frozen=True, slots=True)
class Written:
    """The format of a column's numbers, their dtype and the reason."""

    format: str
    dtype: str
    reason: str


def written(distinct: pl.Series) -> Written | None:
    """The number format of distinct words that are not plain numbers; None where there is none."""
    first = distinct.head(1)
    if first.str.contains(r"^\d+:\d\d").all():
        return _clock(distinct)
    if first.str.contains(_MEASURE).all():
        return _commas(distinct) or _measure_format(distinct)
    return None


def plainly(text: pl.Series, form: str) -> pl.Series:
    """Words in a format as plain numerals or Float64; null where a word does not fit the format."""
    if form in _CLOCKS:
        return _hours(text, form)
    if "#" not in form:
        return _without_commas(text, form)
    shape, _, commas = form.partition(", ")
    before, _, after = shape.partition("#")
    parts = _parts(text)
    numbers = _without_commas(parts["sign"] + parts["number"], commas)
    numbers = numbers.set(~parts["before"].is_in(["", before.strip()]), None)
    if after.strip() == _LETTERS:
        letters = parts["after"].str.to_lowercase()
        times = letters.replace_strict(_TIMES, default=None, return_dtype=pl.Float64)
        return numbers.cast(pl.Float64, strict=False) * times
    units = pl.Series(["", after.strip()], dtype=pl.String)
    return numbers.set(~_singular(parts["after"]).is_in(_singular(units).to_list()), None)


def with_unit(numbers: str, form: str) -> str:
    """Numbers of a column in words, with what they are counted in as far as its format tells.

    >>> with_unit("5 to 9", "# km"), with_unit("5 to 9", "h:mm"), with_unit("5 to 9", "thousands")
    ('5 to 9 km', '5 to 9 h', '5 to 9')
    """
    if form in _CLOCKS:
        return f"{numbers} h"
    before, number, after = form.partition(", ")[0].partition("#")
    after = "" if after.strip() == _LETTERS else after.strip()
    return f"{numbers} {before}{after}".rstrip() if number else numbers


def _without_commas(text: pl.Series, commas: str) -> pl.Series:
    if commas == "decimal comma":
        return text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return text.str.replace_all(",", "", literal=True) if commas == "thousands" else text


def _commas(distinct: pl.Series) -> Written | None:
    if not distinct.str.contains(",", literal=True).any():
        return None
    if distinct.str.contains(_THOUSANDS).all() and not distinct.str.contains(r"^[+-]?0,").any():
        whole = not distinct.str.contains(".", literal=True).any()
        return Written("thousands", "Int64" if whole else "Float64", "commas stand between thousands")
    if distinct.str.contains(_DECIMAL_COMMA).all():
        return Written("decimal comma", "Float64", "the comma is the decimal point")
    return None


def _measure_format(distinct: pl.Series) -> Written | None:
    """Numbers that all have the same unit, or letters for thousands and millions.

    A single letter that only some have (2, 3b) may as well be that of a code, unless it stands with money.
    """
    parts = _parts(distinct)
    number = parts["sign"] + parts["number"]
    if number.null_count() or number.str.contains(_CODE).any() or parts["before"].n_unique() > 1:
        return None
    before = parts["before"][0]
    units = parts["after"].unique(maintain_order=True)
    blank = " " if distinct.str.contains(r"\d \S").any() else ""
    letters = units.filter(units != "").str.to_lowercase()
    in_short = units.len() > 1 and letters.is_in([*_TIMES]).all() and (before or letters.n_unique() > 1)
    if in_short:
        after, why = f" {_LETTERS}", "letters stand for thousands and millions"
    elif _singular(units).n_unique() == 1 and (before or units[0]):
        after, why = blank + max(units, key=len), "one unit in all values"
        after = after if after.strip() else ""
    else:
        return None
    plain = Written("", *plain_type(number)) if is_plain(number) else _commas(number)
    if plain is None:
        return None
    form = f"{before}#{after}" + (f", {plain.format}" if plain.format else "")
    return Written(form, "Float64" if after.strip() == _LETTERS else plain.dtype, f"{why}: {form}")


def is_plain(distinct: pl.Series) -> bool:
    """Whether all words are plain numerals."""
    return distinct.cast(pl.Float64, strict=False).null_count() == 0


def plain_type(distinct: pl.Series) -> tuple[str, str]:
    """The dtype of plain numbers, and its reason."""
    whole = distinct.cast(pl.Int64, strict=False).null_count() == 0
    return ("Int64", "integers") if whole else ("Float64", "numbers")


def _parts(text: pl.Series) -> pl.DataFrame:
    """Sign, unit before, number, unit after; empty where it is left out, all null where nothing fits."""
    groups = text.str.extract_groups(_MEASURE).struct.unnest()
    fits = groups["number"].is_not_null()
    return groups.with_columns(pl.when(fits).then(pl.col("before", "after").fill_null("")))


def _singular(units: pl.Series) -> pl.Series:
    return units.str.replace(r"(..)s$", "$1")  # years are a year; s and ms are units of their own


def _clock(distinct: pl.Series) -> Written | None:
    for form, pattern in _CLOCKS.items():
        if distinct.str.contains(pattern).all():
            return Written(form, "Float64", f"all values are times written {form}; as hours")
    return None


def _hours(text: pl.Series, form: str) -> pl.Series:
    parts = text.str.extract_groups(_CLOCKS[form]).struct.unnest()
    hour, minute, second = (parts[name].cast(pl.Float64) for name in "hms")
    if "half" in parts.columns:
        hour = hour % 12 + 12 * parts["half"].str.to_lowercase().eq("p").cast(pl.Float64)
    return hour + minute / 60 + second.fill_null(0) / 3600
