"""Options of the prediction log: its folder, retention and privacy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tabstudio.errors import ConfigError
from tabstudio.settings import setting
from tabstudio.table.schema import Schema


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Options of the prediction log.

    Predictions older than `days`, and the oldest where the log is larger than `gigabytes`, are removed.
    Values of the columns in `mask` are kept as keyed hashes only, those in `leave_out` not at all. An empty
    `folder` is `predictions` in `TABSTUDIO_HOME`.
    """

    enabled: bool = True
    folder: str = ""
    days: float = 90.0
    gigabytes: float = 10.0
    mask: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    segment_bytes: int = 32 * 2**20

    def __post_init__(self) -> None:
        for name, value in (("days", self.days), ("gigabytes", self.gigabytes)):
            if not value > 0:
                raise ConfigError(f"option log-{name}: a number above 0 was expected, got {value}")
        both = sorted(set(self.mask) & set(self.leave_out))
        if both:
            raise ConfigError(f"columns {', '.join(both)}: each can be masked or left out, not both")

    def check(self, schemas: Iterable[Schema]) -> None:
        """Raise `ConfigError` for a masked or left-out column that no served model has."""
        known = {column.name for schema in schemas for column in schema.features}
        unknown = [name for name in (*self.mask, *self.leave_out) if name not in known]
        if unknown:
            raise ConfigError(
                f"the log shall mask or leave out {', '.join(map(repr, unknown))}, but no model served has "
                f"such a feature; there are {', '.join(map(repr, sorted(known)))}"
            )


def log_folder(folder: str | Path | None = None) -> Path:
    """Return the absolute folder of the prediction log."""
    return Path(folder or Path(setting("TABSTUDIO_HOME")) / "predictions").absolute()
