"""What is different between the tables that two models expect, and whether a caller would notice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from tabstudio.table.schema import Column, Schema

_ALIKE = 0.75


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One difference. A breaking one makes requests fail, or answers mean something else."""

    what: str
    breaking: bool

    def __str__(self) -> str:
        return self.what


def changes(old: Schema, new: Schema) -> tuple[SchemaChange, ...]:
    """What a caller of `old` meets with `new`: columns removed, renamed, retyped or required; classes."""
    before = {column.name: column for column in old.features}
    after = {column.name: column for column in new.features}
    gone = [name for name in before if name not in after]
    found: list[SchemaChange] = []
    for name in after:
        if name in before:
            found += _retyped(before[name], after[name])
        else:
            former = _renamed(name, gone)
            why = f"was {former!r} before, or is new" if former else "is newly required"
            found.append(SchemaChange(f"column {name!r} {why}", breaking=True))
    found += [
        SchemaChange(
            f"column {name!r} is no longer used; where it is sent, it is passed over", breaking=False
        )
        for name in gone
    ]
    return (*found, *_target(old, new))


def _renamed(name: str, gone: list[str]) -> str | None:
    """The column that has gone whose name is nearest, where one is near."""
    plain = _plain(name)
    near = max(gone, key=lambda other: SequenceMatcher(None, plain, _plain(other)).ratio(), default=None)
    return near if near and SequenceMatcher(None, plain, _plain(near)).ratio() >= _ALIKE else None


def _plain(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def _retyped(before: Column, after: Column) -> Iterator[SchemaChange]:
    if before.kind != after.kind:
        yield SchemaChange(f"column {before.name!r} is a {after.kind}, it was a {before.kind}", breaking=True)
    elif before.format != after.format:
        told = f"{after.format or 'plain'}, it was {before.format or 'plain'}"
        yield SchemaChange(f"column {before.name!r} is written {told}", breaking=True)


def _target(old: Schema, new: Schema) -> Iterator[SchemaChange]:
    before, after = old.target, new.target
    if before is None or after is None:
        return
    for what, was, now in (
        ("target", before.name, after.name),
        ("task", before.task, after.task),
        ("classes", before.classes, after.classes),
        ("class of interest", before.positive, after.positive),
    ):
        if was != now:
            yield SchemaChange(f"the {what} is {_said(now)}, it was {_said(was)}", breaking=True)


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
