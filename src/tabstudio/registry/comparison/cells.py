"""A comparison in words: the cells of its tables, and its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tabstudio.evaluation.evaluation_result import NAMES, number
from tabstudio.evaluation.prediction_flips import Flip
from tabstudio.evaluation.report_content import HEADLINE
from tabstudio.report.text_format import format_value, shorten

if TYPE_CHECKING:
    from tabstudio.registry.comparison.result import Comparison, MetricGap

HEADERS = ("measure", "A", "B", "B - A", "95 % interval", "better")
FLIP_HEADERS = ("row", "actual", "A says", "B says", "right")


def gap_cells(gap: MetricGap) -> tuple[str, ...]:
    """Return the cells of one measure, below `HEADERS`."""
    return (
        NAMES[gap.metric],
        number(gap.first),
        number(gap.second),
        signed(gap.difference),
        gap.interval,
        letter(gap.better),
    )


def signed(value: float) -> str:
    """Return a difference with its sign."""
    return f"+{number(value)}" if value > 0 else number(value)


def letter(winner: str | None) -> str:
    """Return A or B, as tables call the first and the second."""
    return {"first": "A", "second": "B"}.get(winner or "", "-")


def slice_headers(comparison: Comparison) -> list[str]:
    """Return the headers of the table of slices: differences of the measures that a reader wants first."""
    return ["slice", "rows", *(f"{NAMES[name]}, B - A" for name in HEADLINE[comparison.target.task])]


def slice_rows(comparison: Comparison) -> list[list[str]]:
    """Return one row per level, below `slice_headers`."""
    rows = []
    for part in comparison.slices:
        gaps = {gap.metric: gap for gap in part.metrics}
        cells = [
            f"{signed(gaps[name].difference)} {gaps[name].interval}".strip()
            if name in gaps
            else "not defined"
            for name in HEADLINE[comparison.target.task]
        ]
        rows.append([f"{part.column}: {part.level}", f"{part.rows:,}", *cells])
    return rows


def decisions(comparison: Comparison) -> list[str]:
    """Return a sentence each on how the decisions differ: thresholds, and how often each is right."""
    counts = comparison.flips
    if comparison.target.task == "regression":
        nearer = f"A is nearer to the label in {counts.only_first:,} rows, B in {counts.only_second:,}"
        return [f"{nearer}, equally near both in {counts.both:,}."]
    parted = f"{counts.count:,} of {comparison.rows:,} rows are answered differently"
    alone = f"A alone is right in {counts.only_first:,}, B alone in {counts.only_second:,}"
    sentences = [f"{parted}. {alone}, both in {counts.both:,}, neither in {counts.neither:,}."]
    one, two = comparison.thresholds
    if one is not None and two is not None:
        sentences.append(
            f"A row is called {comparison.target.positive} from {one:.4g} by A, from {two:.4g} by B."
        )
    return sentences


def flip_cells(flip: Flip) -> tuple[str, ...]:
    """Return the cells of one row, below `FLIP_HEADERS`."""
    answers = [_cell(flip.first), _cell(flip.second)]
    if flip.sure is not None:
        answers = [f"{answer} ({sure:.3f})" for answer, sure in zip(answers, flip.sure, strict=True)]
    return (f"{flip.number:,}", _cell(flip.label), *answers, letter(flip.right))


def _cell(value: object) -> str:
    return number(value) if isinstance(value, float) else shorten(value, 30)


def differences(comparison: Comparison) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return what else differs between the two, by title: (name, of A, of B)."""
    named: Sequence[tuple[str, tuple[tuple[str, object, object], ...]]] = (
        ("configuration", comparison.config),
        ("data", comparison.data),
        ("made with", comparison.environment),
    )
    return [
        (title, [(name.replace("_", " "), _setting(one), _setting(two)) for name, one, two in rows])
        for title, rows in named
        if rows
    ]


def _setting(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "not set" if value is None else shorten(format_value(value), 40)
