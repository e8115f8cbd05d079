"""Words to values: what a column of text holds (numbers, truth, dates, categories), and making it so."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import polars as pl

from tabstudio._util.threads import run_parallel
from tabstudio.table.number_formats import is_plain, plain_type, plainly, written
from tabstudio.table.schema import Kind

MISSING_WORDS = (
    "?",
    "NA",
    "N/A",
    "n/a",
    "na",
    "#N/A",
    "<NA>",
    "NaN",
    "nan",
    "-NaN",
    "NULL",
    "Null",
    "null",
    "\\N",
    "NaT",
)
"""Words that mean no value wherever they stand. `none` and `unknown` are answers that people give."""

_NEARLY_MISSING = (
    ".",
    "-",
    "--",
    "*",
    "none",
    "nil",
    "unknown",
    "missing",
    "undefined",
    "not available",
    "blank",
)
"""Words that mean no value in a column whose other cells are all numbers or dates."""

_DAYS = {
    "%Y-%m-%d": r"\d{4}-\d{1,2}-\d{1,2}",
    "%Y/%m/%d": r"\d{4}/\d{1,2}/\d{1,2}",
    "%Y.%m.%d": r"\d{4}\.\d{1,2}\.\d{1,2}",
    "%d.%m.%Y": r"\d{1,2}\.\d{1,2}\.\d{4}",
    "%m/%d/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%d/%m/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%m/%d/%y": r"\d{1,2}/\d{1,2}/\d{2}",
    "%d/%m/%y": r"\d{1,2}/\d{1,2}/\d{2}",
    "%d.%m.%y": r"\d{1,2}\.\d{1,2}\.\d{2}",
    "%d-%m-%Y": r"\d{1,2}-\d{1,2}-\d{4}",
    "%m-%d-%Y": r"\d{1,2}-\d{1,2}-\d{4}",
    "%d-%b-%Y": r"\d{1,2}-[A-Za-z]{3}-\d{4}",
    "%d-%b-%y": r"\d{1,2}-[A-Za-z]{3}-\d{2}",
    "%d %b %Y": r"\d{1,2} [A-Za-z]{3} \d{4}",
    "%d %B %Y": r"\d{1,2} [A-Za-z]{4,} \d{4}",
    "%b %d, %Y": r"[A-Za-z]{3} \d{1,2}, \d{4}",
    "%B %d, %Y": r"[A-Za-z]{4,} \d{1,2}, \d{4}",
}
_CLOCKS = {
    "": "",
    " %H:%M": r" \d{1,2}:\d{2}",
    " %H:%M:%S": r" \d{1,2}:\d{2}:\d{2}",
    " %H:%M:%S%.f": r" \d{1,2}:\d{2}:\d{2}\.\d+",
    "T%H:%M": r"T\d{2}:\d{2}",
    "T%H:%M:%S": r"T\d{2}:\d{2}:\d{2}",
    "T%H:%M:%S%.f": r"T\d{2}:\d{2}:\d{2}\.\d+",
    "T%H:%M:%SZ": r"T\d{2}:\d{2}:\d{2}Z",
    "T%H:%M:%S%.fZ": r"T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z",
    " %H:%M:%S%z": r" \d{2}:\d{2}:\d{2}[+-]\d{2}:?\d{2}",
    "T%H:%M:%S%z": r"T\d{2}:\d{2}:\d{2}[+-]\d{2}:?\d{2}",
    "T%H:%M:%S%.f%z": r"T\d{2}:\d{2}:\d{2}(?:\.\d+)?[+-]\d{2}:?\d{2}",
    " %I:%M:%S %p": r" \d{1,2}:\d{2}:\d{2} [APap][Mm]",
    " %I:%M %p": r" \d{1,2}:\d{2} [APap][Mm]",
}
DATE_FORMATS: dict[str, str] = {
    day + clock: day_pattern + clock_pattern
    for day, day_pattern in _DAYS.items()
    for clock, clock_pattern in _CLOCKS.items()
} | {"%Y%m%dT%H%M%S": r"\d{8}T\d{6}", "%Y%m%d %H%M%S": r"\d{8} \d{6}"}
_COMPACT_DAY = "%Y%m%d"

_CODE = r"^(?:0\d+|\d{19,})$"
_LONG_TEXT_WORDS = 3.0
_TEXT_FROM = 50


@dataclass(frozen=True, slots=True)
class Typing:
    """How a column of text is read: the fields of `Column` for it, and the reason."""

    kind: Kind
    dtype: str
    reason: str
    format: str = ""
    missing_words: tuple[str, ...] = ()


def strip_missing(frame: pl.DataFrame, words: tuple[str, ...]) -> pl.DataFrame:
    """Text stripped of blanks; null where it is empty or a missing word."""
    texts = [series for series in frame.iter_columns() if series.dtype == pl.String]
    return frame.with_columns(run_parallel(lambda text: _stripped(text, words), texts, frame.height))


def _stripped(text: pl.Series, words: tuple[str, ...]) -> pl.Series:
    stripped = text.str.strip_chars()
    gaps = stripped.is_in(["", *words])
    return stripped.set(gaps, None) if gaps.any() else stripped


def guess(values: pl.Series, name: str, kind: Kind | None = None) -> Typing:
    """The typing of a column of stripped text; where `kind` is set, only the format is guessed."""
    if kind in ("category", "text"):
        return Typing(kind, "String", "as told")
    distinct = values.drop_nulls().unique()
    if distinct.is_empty():
        return Typing(kind or "number", _EMPTY.get(kind or "number", "Float64"), "no value in any row")
    if kind is None and is_plain(distinct):
        return _code_typing(distinct) or _number_typing(distinct, name)
    weak = _nearly_missing(distinct)
    rest = distinct.filter(~distinct.is_in([*weak])) if weak else distinct
    typing = _typing_of_kind(distinct, rest, name, kind) if kind else _guessed_typing(distinct, rest, name)
    if typing is None:
        return Typing(kind, _EMPTY[kind], "as told") if kind else _word_typing(values, distinct)
    if weak and typing.kind in ("number", "date"):
        gaps = f"{', '.join(map(repr, weak))} mean no value among {typing.kind}s"
        return replace(typing, missing_words=weak, reason=f"{typing.reason}; {gaps}")
    return typing


def _nearly_missing(distinct: pl.Series) -> tuple[str, ...]:
    return tuple(distinct.filter(distinct.str.to_lowercase().is_in([*_NEARLY_MISSING])).sort())


def _guessed_typing(distinct: pl.Series, rest: pl.Series, name: str) -> Typing | None:
    if rest.is_empty():
        return None
    return _boolean_typing(distinct) or _any_number(rest, name) or _date(rest)


def _typing_of_kind(distinct: pl.Series, rest: pl.Series, name: str, kind: Kind) -> Typing | None:
    """The typing of a column that fits the given kind; None where it does not fit."""
    if rest.is_empty():
        return None
    if kind == "boolean":
        return _boolean_typing(distinct)
    if kind == "number":
        typing = _any_number(rest, name)
        return typing if typing and typing.kind == "number" else None
    if rest.str.contains(r"^\d{8}$").all():
        return Typing("date", "Date", "as told", _COMPACT_DAY)
    return _date(rest)


_EMPTY = {
    "number": "Float64",
    "boolean": "Boolean",
    "date": "Datetime",
    "category": "String",
    "text": "String",
}


def convert(text: pl.Series, typing: Typing) -> tuple[pl.Series, pl.Series]:
    """Stripped text as a typed column, and the mask of the cells that do not fit (null in the column)."""
    if typing.missing_words:
        text = text.set(text.is_in([*typing.missing_words]), None)
    typed = _as_kind(text, typing)
    bad = typed.is_null() & text.is_not_null()
    return (finite(typed) if typed.dtype == pl.Float64 else typed), bad


def _as_kind(text: pl.Series, typing: Typing) -> pl.Series:
    if typing.kind in ("category", "text"):
        return text
    if typing.kind == "boolean":
        lowered = text.str.to_lowercase()
        return lowered.replace_strict(
            ["true", "false", "1", "0"], [True, False, True, False], default=None, return_dtype=pl.Boolean
        )
    if typing.kind == "date":
        return _as_date(text, typing)
    text = plainly(text, typing.format).alias(text.name) if typing.format else text
    if typing.dtype == "Int64":
        integers = text.cast(pl.Int64, strict=False)
        if integers.null_count() == text.null_count():
            return integers
    return text.cast(pl.Float64, strict=False)


def finite(numbers: pl.Series) -> pl.Series:
    """Floats with null for NaN and infinity."""
    total = numbers.sum()
    if isinstance(total, int | float) and math.isfinite(total):
        return numbers
    return numbers.set(~numbers.is_finite(), None)


def _as_date(text: pl.Series, typing: Typing) -> pl.Series:
    zoned = typing.format.endswith("%z")
    if typing.dtype == "Date":
        return text.str.strptime(pl.Date, typing.format or None, strict=False)
    if zoned:
        return text.str.strptime(pl.Datetime("us", "UTC"), typing.format, strict=False).dt.replace_time_zone(
            None
        )
    return text.str.strptime(pl.Datetime("us"), typing.format or None, strict=False)


def _boolean_typing(distinct: pl.Series) -> Typing | None:
    words = set(distinct.head(20).str.to_lowercase())
    if distinct.len() <= 6 and words <= {"true", "false"}:
        return Typing("boolean", "Boolean", "true and false are its only words")
    return None


def _code_typing(distinct: pl.Series) -> Typing | None:
    digits = distinct.str.contains(r"^\d+$")
    if digits.all() and distinct.str.contains(_CODE).any():
        return Typing(
            "category", "String", "codes of digits: some start with 0 or are longer than any integer"
        )
    return None


def _any_number(distinct: pl.Series, name: str) -> Typing | None:
    if is_plain(distinct):
        return _number_typing(distinct, name)
    number_format = written(distinct)
    if number_format is None:
        return None
    return Typing("number", number_format.dtype, number_format.reason, number_format.format)


def _number_typing(distinct: pl.Series, name: str) -> Typing:
    if "date" in name.casefold() and distinct.str.contains(r"^(?:19|20)\d{6}$").all():
        days = distinct.str.strptime(pl.Date, _COMPACT_DAY, strict=False)
        if days.null_count() == 0:
            return Typing("date", "Date", "named a date, and eight digits that are one", _COMPACT_DAY)
    return Typing("number", *plain_type(distinct))


def _date(distinct: pl.Series) -> Typing | None:
    first = distinct.sort()[0].strip()
    for word in (distinct[0], first):
        if not any(c.isdigit() for c in word) or len(word) > 40:
            return None
    candidates = [form for form, pattern in DATE_FORMATS.items() if re.fullmatch(pattern, distinct[0])]
    fits = [typing for typing in map(_date_typing, candidates) if _fits(distinct, typing)]
    if not fits:
        return None
    also = (
        f", though {fits[1].format} fits as well"
        if len(fits) > 1 and fits[1].format[:2] != fits[0].format[:2]
        else ""
    )
    return Typing("date", fits[0].dtype, f"all values are written {fits[0].format}{also}", fits[0].format)


def _date_typing(form: str) -> Typing:
    return Typing("date", "Datetime" if "%H" in form or "%I" in form else "Date", "", form)


def _fits(distinct: pl.Series, typing: Typing) -> bool:
    return _as_date(distinct, typing).null_count() == 0


def _word_typing(values: pl.Series, distinct: pl.Series) -> Typing:
    spaces = distinct.str.count_matches(" ", literal=True).mean()
    words = float(spaces) + 1 if isinstance(spaces, float) else 1.0
    if distinct.len() > max(_TEXT_FROM, values.len() // 2) and words >= _LONG_TEXT_WORDS:
        return Typing("text", "String", f"mostly distinct, {words:.0f} words each")
    numbers = distinct.cast(pl.Float64, strict=False)
    odd = distinct.filter(numbers.is_null())
    if odd.len() * 5 < distinct.len():
        shown = ", ".join(repr(word) for word in odd.sort().head(3))
        return Typing("category", "String", f"numbers but for {odd.len():,} other words such as {shown}")
    return Typing("category", "String", "words")
