"""Every error that tabstudio raises on purpose.

    TabstudioError
    ├── DataError            a table: its file, row, column (also a ValueError)
    │   └── InputError       rows handed to a trained model that do not fit its schema
    ├── ConfigError          an option, a setting, a configuration file (also a ValueError)
    ├── TrainingError        a training that cannot go on: a loss that is not finite, no memory
    ├── ModelError           a bundle or model address: missing, damaged, of another format
    │   └── ForeignModelError    a model that is there, but of another library
    ├── TrackingError        the tracking server or the local spool
    ├── DatabaseError        our own tables: unreachable, damaged, made by a newer tabstudio
    ├── RegistryError        a stage, version or approval that does not allow what was asked
    │   ├── ConflictError    somebody else was faster: look again
    │   └── GateError        gates that did not pass; `results` holds each of them
    ├── AccessError          a studio does not know who asks, or their role does not allow it
    └── MissingExtraError    an optional dependency, with the command that installs it (also an ImportError)

A message says what was expected, what came, where it stands and what to do next.
"""

from __future__ import annotations

from typing import Any


class TabstudioError(Exception):
    """Root of the tree: `except TabstudioError` catches everything that is not a bug."""

    exit_code = 1


class DataError(TabstudioError, ValueError):
    """A table cannot be used as it is."""


class InputError(DataError):
    """Rows handed to a trained model do not fit its schema. All faults are named at once."""


class ConfigError(TabstudioError, ValueError):
    """An option, setting or configuration file is wrong."""

    exit_code = 2


class TrainingError(TabstudioError):
    """A training cannot go on. What was good so far is kept and named in the message."""


class ModelError(TabstudioError):
    """A model bundle or address is missing, damaged or of another format."""


class ForeignModelError(ModelError):
    """A model is there, but it is of another library: no tabstudio bundle."""


class TrackingError(TabstudioError):
    """The tracking server or the local spool cannot be used."""


class DatabaseError(TabstudioError):
    """Our own tables cannot be used."""


class RegistryError(TabstudioError):
    """A version, stage or approval does not allow what was asked. Nothing was changed."""


class ConflictError(RegistryError):
    """Somebody else changed the model's stages meanwhile: look again, then decide again."""


class GateError(RegistryError):
    """A version did not pass its gates. `results` holds what each of them found."""

    exit_code = 3

    def __init__(self, message: str, results: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.results = results


class AccessError(TabstudioError):
    """A studio does not know who asks, or does not allow what was asked."""


class MissingExtraError(TabstudioError, ImportError):
    """An optional dependency is not installed."""
