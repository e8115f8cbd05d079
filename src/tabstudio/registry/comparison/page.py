"""A comparison as one page that is complete in itself, and its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tabstudio.errors import TabstudioError
from tabstudio.evaluation.evaluation_result import NAMES
from tabstudio.evaluation.report_content import HEADLINE
from tabstudio.registry.comparison.cells import (
    FLIP_HEADERS,
    HEADERS,
    decisions,
    differences,
    flip_cells,
    gap_cells,
    signed,
    slice_headers,
    slice_rows,
)
from tabstudio.registry.comparison.plots import pictures
from tabstudio.report.figure import png
from tabstudio.report.page import Block, CalloutBlock, FactsBlock, Page, PictureBlock, TableBlock, TextBlock

if TYPE_CHECKING:
    from tabstudio.registry.comparison.result import Comparison

MOST_ROWS = 30
"""Rows that are told one by one."""
CAPTIONS = {
    "differences": "Intervals of 95 % by paired bootstrap. One that crosses the line can be chance.",
    "slices": "The measure that the verdict rests on, level by level, with the rows of each.",
    "answers": "Rows far from the diagonal are those that the models see differently.",
    "calibration": "Where probabilities can be trusted, points lie on the line. Bars are 95 % intervals.",
    "roc": "The share of positives found against the share of false alarms.",
    "threshold": "The dashed lines are the thresholds in use.",
}


def save(comparison: Comparison, folder: Path) -> Path:
    """Write the report, its pictures and its numbers into a folder; those of a former comparison go.

    Raises `TabstudioError` where it cannot be written.
    """
    images = {name: png(figure) for name, figure in pictures(comparison).items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in CAPTIONS.keys() - images.keys():
            (folder / f"{name}.png").unlink(missing_ok=True)
        for name, image in images.items():
            (folder / f"{name}.png").write_bytes(image)
        (folder / "report.html").write_text(page(comparison, images).html(), encoding="utf-8")
        (folder / "comparison.json").write_text(json.dumps(comparison.to_json(), indent=1), encoding="utf-8")
    except OSError as error:
        raise TabstudioError(f"{folder}: the comparison cannot be written: {error.strerror}") from error
    return folder


def page(comparison: Comparison, images: Mapping[str, bytes]) -> Page:
    """The comparison as a page; `images` are its pictures as PNG."""
    report = Page("Which model is better?", f"{comparison.target.name}, {comparison.how}")
    report.section("Result", *_result(comparison, images))
    if comparison.slices:
        head = slice_headers(comparison)
        report.section("By slice", TableBlock(head, slice_rows(comparison)), *_drawn(("slices",), images))
    report.section(
        "Decisions", *(TextBlock(sentence) for sentence in decisions(comparison)), *_flips(comparison)
    )
    report.section("Answers", *_drawn(("answers", "calibration", "roc", "threshold"), images))
    if comparison.schema:
        breaking = [str(change) for change in comparison.schema if change.breaking]
        others = [TextBlock(str(change)) for change in comparison.schema if not change.breaking]
        report.section(
            "What callers of A meet with B", *(CalloutBlock("warning", text) for text in breaking), *others
        )
    for title, rows in differences(comparison):
        report.section(title.capitalize(), TableBlock(("", "A", "B"), rows))
    return report


def _result(comparison: Comparison, images: Mapping[str, bytes]) -> list[Block]:
    shown = [
        comparison[name]
        for name in HEADLINE[comparison.target.task]
        if any(g.metric == name for g in comparison.metrics)
    ]
    return [
        TableBlock(("", "model"), [("A", comparison.first), ("B", comparison.second)]),
        FactsBlock([(f"{NAMES[gap.metric]}, B minus A", signed(gap.difference)) for gap in shown]),
        CalloutBlock("info", comparison.verdict),
        *(CalloutBlock("info", note) for note in comparison.notes),
        TableBlock(HEADERS, [gap_cells(gap) for gap in comparison.metrics]),
        *_drawn(("differences",), images),
    ]


def _flips(comparison: Comparison) -> list[Block]:
    if not comparison.flips.rows:
        return []
    shown = comparison.flips.rows[:MOST_ROWS]
    caption = f"Rows of {comparison.source}, counted from 1, the widest apart first"
    if comparison.flips.count > len(shown):
        caption += f"; {len(shown):,} of {comparison.flips.count:,}, more in comparison.json"
    return [TableBlock(FLIP_HEADERS, [flip_cells(flip) for flip in shown], f"{caption}.")]


def _drawn(names: tuple[str, ...], images: Mapping[str, bytes]) -> list[Block]:
    return [PictureBlock(images[name], CAPTIONS[name], CAPTIONS[name]) for name in names if name in images]
