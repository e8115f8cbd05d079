"""Points in time as our tables keep them: UTC, ISO 8601, six digits."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """Return the present time."""
    return utc_stamp(datetime.now(UTC))


def utc_stamp(time: datetime) -> str:
    """Return a time that has a zone.

    >>> utc_stamp(datetime(2026, 3, 1, 12, tzinfo=UTC))
    '2026-03-01T12:00:00.000000Z'
    """
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
