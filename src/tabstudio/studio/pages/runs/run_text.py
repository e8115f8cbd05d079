"""Tones of statuses, durations and times of runs."""

from __future__ import annotations

from datetime import UTC, datetime

RUN_TONES = {"FINISHED": "good", "RUNNING": "info", "FAILED": "danger", "KILLED": "warning"}
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def format_duration(seconds: float | None) -> str:
    """Return a duration as text.

    >>> [format_duration(s) for s in (None, 0.25, 12.3, 95, 7000, 200_000)]
    ['–', '0.2 s', '12 s', '1 min 35 s', '1 h 56 min', '2 d 7 h']
    """
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{int(seconds)} s"
    size, name, smaller, part = next(unit for unit in _UNITS if seconds >= unit[0])
    return f"{int(seconds // size)} {name} {int(seconds % size // smaller)} {part}"


def format_millis(millis: int | None) -> str:
    """Return a time in milliseconds since 1970 as text, to the second, UTC.

    >>> format_millis(1_700_000_000_123), format_millis(None)
    ('2023-11-14 22:13:20 UTC', '–')
    """
    if not millis:
        return "–"
    return datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
