"""Differences between the tables that two models expect, and whether a caller would notice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from tabstudio.table.schema import Column, Schema, Target

_ALIKE = 0.75


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One difference. A breaking one makes requests fail, or answers mean something else."""

    what: str
    breaking: bool

    def __str__(self) -> str:
        return self.what


def changes(old: Schema, new: Schema) -> tuple[SchemaChange, ...]:
    """Return what callers of `old` meet with `new`: columns removed, renamed, retyped, required; classes."""
    before = {column.name: column for column in old.features}
    after = {column.name: column for column in new.features}
    gone = [name for name in before if name not in after]
    columns: list[SchemaChange] = []
    for name in after:
        if name in before:
            columns += _retyped(before[name], after[name])
        else:
            former = _renamed(name, gone)
            why = f"was {former!r} before, or is new" if former else "is newly required"
            columns.append(SchemaChange(f"column {name!r} {why}", breaking=True))
    columns += [
        SchemaChange(
            f"column {name!r} is no longer used; where it is sent, it is passed over", breaking=False
        )
        for name in gone
    ]
    return (*columns, *_target(old, new))


def _renamed(name: str, gone: list[str]) -> str | None:
    """Return the column that has gone whose name is nearest, where one is near."""

    def likeness(other: str) -> float:
        return SequenceMatcher(None, _letters(name), _letters(other)).ratio()

    nearest = max(gone, key=likeness, default=None)
    return nearest if nearest and likeness(nearest) >= _ALIKE else None


def _letters(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def _retyped(before: Column, after: Column) -> Iterator[SchemaChange]:
    if before.kind != after.kind:
        yield SchemaChange(f"column {before.name!r} is a {after.kind}, it was a {before.kind}", breaking=True)
    elif before.format != after.format:
        formats = f"{after.format or 'plain'}, it was {before.format or 'plain'}"
        yield SchemaChange(f"column {before.name!r} is written {formats}", breaking=True)


def _target(old: Schema, new: Schema) -> Iterator[SchemaChange]:
    if old.target is not None and new.target is not None:
        for what, was, now in target_differences(old.target, new.target):
            yield SchemaChange(f"the {what} is {now}, it was {was}", breaking=True)


def target_differences(first: Target, second: Target) -> Iterator[tuple[str, str, str]]:
    """Name each way in which two targets differ, with what it is of the first and of the second."""
    for what, mine, other in (
        ("target", first.name, second.name),
        ("task", first.task, second.task),
        ("classes", first.classes, second.classes),
        ("class of interest", first.positive, second.positive),
    ):
        if mine != other:
            yield what, listed(mine), listed(other)


def listed(value: object) -> str:
    """Return a value for a message, of several values each."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
