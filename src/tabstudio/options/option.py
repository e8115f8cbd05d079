"""What is declared of an option beside its type and default: bound, help, users, range of the search."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tabstudio.options.ranges import SearchRange

User = Literal["explore", "predict", "train", "sweep", "form", "estimators"]
"""What takes an option: a command, the studio's form, scikit-learn's estimators."""
FILE: tuple[User, ...] = ("explore", "predict", "train", "sweep")
READING: tuple[User, ...] = ("explore", "train", "sweep")
RUN: tuple[User, ...] = ("train", "sweep", "form")
MODEL: tuple[User, ...] = ("train", "sweep", "form", "estimators")
TRAIN: tuple[User, ...] = ("train", "form")


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound of a value, which pydantic checks as a group of constraints; `text` is what was expected."""

    text: str
    ge: float | None = None
    gt: float | None = None
    lt: float | None = None
    pattern: str | None = None

    @property
    def __is_annotated_types_grouped_metadata__(self) -> Literal[True]:
        return True

    def __iter__(self) -> Iterator[object]:
        # late: the command line declares its options from these, and needs no pydantic for its help
        from pydantic import AllowInfNan, Field

        limits = {name: getattr(self, name) for name in ("ge", "gt", "lt", "pattern")}
        yield from Field(**{name: limit for name, limit in limits.items() if limit is not None}).metadata
        if self.gt is not None or self.lt is not None:
            yield AllowInfNan(False)


AT_LEAST_0 = Bound("at least 0 was", ge=0)
AT_LEAST_1 = Bound("at least 1 was", ge=1)
NOT_NEGATIVE = Bound("at least 0 was", ge=0, lt=math.inf)
POSITIVE = Bound("a number above 0 was", gt=0)
SHARE = Bound("a share from 0 to below 1 was", ge=0, lt=1)
DEVICE = Bound("auto, cpu, cuda, cuda:1 or mps was", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
WIDTH = Bound("widths of at least 1 were", ge=1)


@dataclass(frozen=True, slots=True)
class Option:
    """An option as its users show it; `label` is its name in a form, where the help is too long for it.

    `unset` says what is chosen where the option is left open, in short before a colon. `name` is the flat
    name where it is not the field's. `short` options head the studio's form. `words` are the values that a
    form offers where the type does not say them. `search` is the range over which it is searched.
    """

    help: str
    used_by: tuple[User, ...]
    unset: str = ""
    label: str = ""
    name: str = ""
    metavar: str = ""
    short: bool = False
    words: tuple[str, ...] = ()
    search: SearchRange | None = None
