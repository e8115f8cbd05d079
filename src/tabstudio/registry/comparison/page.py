"""A comparison as one page that is complete in itself, and its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tabstudio.errors import TabstudioError
from tabstudio.evaluation.evaluation_result import NAMES
from tabstudio.evaluation.report_content import HEADLINE
from tabstudio.registry.comparison.plots import pictures
from tabstudio.registry.comparison.result import (
    FLIP_HEADERS,
    HEADERS,
    Comparison,
    decisions,
    differences,
    flip_cells,
    gap_cells,
    signed,
    slice_headers,
    slice_rows,
)
from tabstudio.report.figure import png
from tabstudio.report.page import Block, CalloutBlock, FactsBlock, Page, PictureBlock, TableBlock, TextBlock

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


def save(found: Comparison, folder: Path) -> Path:
    """Write the report, its pictures and its numbers into a folder; those of a former comparison go.

    Raises `TabstudioError` where it cannot be written.
    """
    images = {name: png(figure) for name, figure in pictures(found).items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in CAPTIONS.keys() - images.keys():
            (folder / f"{name}.png").unlink(missing_ok=True)
        for name, image in images.items():
            (folder / f"{name}.png").write_bytes(image)
        (folder / "report.html").write_text(page(found, images).html(), encoding="utf-8")
        (folder / "comparison.json").write_text(json.dumps(found.to_json(), indent=1), encoding="utf-8")
    except OSError as error:
        raise TabstudioError(f"{folder}: the comparison cannot be written: {error.strerror}") from error
    return folder


def page(found: Comparison, images: Mapping[str, bytes]) -> Page:
    """The comparison as a page; `images` are its pictures as PNG."""
    made = Page("Which model is better?", f"{found.target.name}, {found.how}")
    made.section("Result", *_result(found, images))
    if found.slices:
        head = slice_headers(found)
        made.section("By slice", TableBlock(head, slice_rows(found)), *_drawn(("slices",), images))
    made.section("Decisions", *(TextBlock(sentence) for sentence in decisions(found)), *_flips(found))
    made.section("Answers", *_drawn(("answers", "calibration", "roc", "threshold"), images))
    if found.schema:
        breaking = [str(change) for change in found.schema if change.breaking]
        others = [TextBlock(str(change)) for change in found.schema if not change.breaking]
        made.section(
            "What callers of A meet with B", *(CalloutBlock("warning", text) for text in breaking), *others
        )
    for title, rows in differences(found):
        made.section(title.capitalize(), TableBlock(("", "A", "B"), rows))
    return made


def _result(found: Comparison, images: Mapping[str, bytes]) -> list[Block]:
    shown = [
        found[name] for name in HEADLINE[found.target.task] if any(g.metric == name for g in found.metrics)
    ]
    return [
        TableBlock(("", "model"), [("A", found.first), ("B", found.second)]),
        FactsBlock([(f"{NAMES[gap.metric]}, B minus A", signed(gap.difference)) for gap in shown]),
        CalloutBlock("info", found.verdict),
        *(CalloutBlock("info", note) for note in found.notes),
        TableBlock(HEADERS, [gap_cells(gap) for gap in found.metrics]),
        *_drawn(("differences",), images),
    ]


def _flips(found: Comparison) -> list[Block]:
    if not found.flips.rows:
        return []
    shown = found.flips.rows[:MOST_ROWS]
    caption = f"Rows of {found.source}, counted from 1, the widest apart first"
    if found.flips.count > len(shown):
        caption += f"; {len(shown):,} of {found.flips.count:,}, more in comparison.json"
    return [TableBlock(FLIP_HEADERS, [flip_cells(flip) for flip in shown], f"{caption}.")]


def _drawn(names: tuple[str, ...], images: Mapping[str, bytes]) -> list[Block]:
    return [PictureBlock(images[name], CAPTIONS[name], CAPTIONS[name]) for name in names if name in images]
