"""What a preview of a table holds, part by part, as it travels from its process to the pages."""

from __future__ import annotations

from typing import TypedDict


class ColumnPreview(TypedDict):
    """A column: what was guessed of it, why, and a few of its values."""

    name: str
    kind: str
    role: str
    missing: int
    unique: int
    reason: str
    examples: list[str]


class TargetPreview(TypedDict):
    """The column to predict; `classes` are the first of them, `more_classes` counts the others."""

    name: str
    task: str
    classes: list[str]
    more_classes: int
    positive: str | None
    reason: str


class SchemaPreview(TypedDict):
    """How a table was read. `notes` are (subject, value, reason)."""

    rows: int
    bytes: int | None
    format: str
    separator: str | None
    encoding: str | None
    missing_words: list[str]
    notes: list[list[str]]
    columns: list[ColumnPreview]
    target: TargetPreview | None


class FindingPreview(TypedDict):
    """Something to mind before training; `severity` is danger, warning or info."""

    kind: str
    severity: str
    columns: list[str]
    message: str
    remedy: str


class PanelPreview(TypedDict):
    """The distribution of one column, `heights` by group; see `exploration.distribution.Panel`."""

    name: str
    shape: str
    heights: list[list[float]]
    edges: list[float] | None
    labels: list[str]
    spread: list[float] | None
    is_date: bool
    rest: str


class AssociationsPreview(TypedDict):
    """How each pair of columns goes together; `with_target` are (column, value, measure)."""

    names: list[str]
    matrix: list[list[float | None]]
    left_out: int
    with_target: list[tuple[str, float | None, str]]


class ChartsPreview(TypedDict):
    """The numbers that the page draws. `classes` and `missing` are (label or column, rows, share)."""

    classes: list[tuple[str, int, float]] | None
    missing: list[tuple[str, int, float]]
    numbers: list[tuple[str | float | None, ...]]
    associations: AssociationsPreview
    groups: list[str]
    target: PanelPreview | None
    panels: list[PanelPreview]
    not_drawn: int
