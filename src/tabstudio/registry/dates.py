"""Dates and times as people write them, and as our tables keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tabstudio._util.clock import utc_stamp
from tabstudio.errors import ConfigError


def end_of(moment: datetime | str) -> str:
    """Return the last instant that a date or time names, as our tables keep it; without a zone it is UTC.

    Raises `ConfigError` for what is neither.

    >>> end_of("2026-03-01"), end_of("2026-03-01T12:00+01:00")
    ('2026-03-01T23:59:59.999999Z', '2026-03-01T11:00:00.000000Z')
    """
    try:
        time = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        raise ConfigError(
            f"a date such as 2026-03-01 or 2026-03-01T12:00 was expected, got {moment!r}"
        ) from None
    if isinstance(moment, str) and len(moment.strip()) == len("2026-03-01"):
        time += timedelta(days=1, microseconds=-1)
    return utc_stamp(time if time.tzinfo else time.replace(tzinfo=UTC))
