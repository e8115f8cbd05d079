"""Values and names as people write them, short enough for a table, a chart or a line."""

from __future__ import annotations

import time
from collections.abc import Sequence


def format_value(value: object) -> str:
    """A value as people write it: 1,234 and 0.0123, a dash for nothing.

    >>> format_value(1234567), format_value(0.012345), format_value(None), format_value(True)
    ('1,234,567', '0.01235', '–', 'yes')
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _say_float(value)
    return str(value)


def _say_float(value: float) -> str:
    size = abs(value)
    if size == 0 or size == float("inf"):
        return f"{value:g}"
    if size >= 1e7 or size < 1e-4:
        return f"{value:.3e}"
    if size >= 1000:
        return f"{value:,.0f}" if size >= 100_000 else f"{value:,.1f}"
    return f"{value:.4g}"


def format_tick(value: float) -> str:
    """Three digits, as short as they go.

    >>> format_tick(12345.0), format_tick(0.123456), format_tick(1234567.0), format_tick(-2.0)
    ('12,345', '0.123', '1.23e+06', '-2')
    """
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def shorten(text: object, length: int = 24) -> str:
    """One line that fits: the middle of a long one is left out.

    >>> shorten("the_length_of_the_name_is_not_mine", 16)
    'the_length…_mine'
    """
    words = " ".join(str(text).split())
    if len(words) <= length:
        return words
    head = (length - 1) * 2 // 3
    return f"{words[:head]}…{words[head - length + 1 :]}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of columns for a terminal: the first to the left, the others to the right.

    >>> print(aligned([("rows", "9"), ("columns", "12")]))
      rows      9
      columns  12
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def format_age(created: int) -> str:
    """How long ago a time in milliseconds since 1970 was, in its largest unit."""
    seconds = max(0, time.time() - created / 1000)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def format_time(stamp: str) -> str:
    """A time of our tables to the second, UTC.

    >>> format_time("2026-03-01T12:00:07.000000Z")
    '2026-03-01 12:00:07'
    """
    return stamp[:19].replace("T", " ")


def format_size(n_bytes: int) -> str:
    """Bytes in the unit that suits them.

    >>> format_size(512), format_size(147119), format_size(3_400_000)
    ('512 B', '143.7 KiB', '3.2 MiB')
    """
    power = min(3, max(0, n_bytes.bit_length() - 1) // 10)
    if power == 0:
        return f"{n_bytes} B"
    return f"{n_bytes / 1024**power:.1f} {('KiB', 'MiB', 'GiB')[power - 1]}"
