"""The table of options by their flat names, read off the dataclasses of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from tabstudio.options.config import TrainConfig
from tabstudio.options.declarations import Declared, declared_options
from tabstudio.options.option import User

OPTIONS: Mapping[str, Declared] = declared_options(TrainConfig)
"""Every option by the name that the command line and TOML files use."""


def used_by(user: User) -> list[Declared]:
    """Return the options that a command, the studio's form or the estimators take."""
    return [declared for declared in OPTIONS.values() if user in declared.option.used_by]


def searched_options() -> list[Declared]:
    """Return the options that a search tries, in the order in which they are drawn."""
    ranges = [(o.option.search.order, o) for o in OPTIONS.values() if o.option.search is not None]
    return [declared for _, declared in sorted(ranges, key=lambda pair: pair[0])]
