"""An exploration as a page: findings first, then the target, the columns, and how they go together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from tabstudio.exploration.terminal_text import describe_target, headline, table_name
from tabstudio.report.figure import svg
from tabstudio.report.page import Block, CalloutBlock, FactsBlock, Page, PictureBlock, TableBlock, TextBlock
from tabstudio.report.style import NOTEBOOK_CSS
from tabstudio.report.text_format import format_size

if TYPE_CHECKING:
    from tabstudio.exploration.exploration import Exploration
    from tabstudio.table import Finding

_TITLES = {
    "leak": "Suspected leak",
    "id": "An id, left out",
    "groups": "Rows that belong together",
    "constant": "Constant",
    "duplicates": "Duplicated rows",
    "contradictions": "Same rows, different labels",
    "imbalance": "Unbalanced classes",
    "rare classes": "Rare classes",
    "cardinality": "Many categories",
    "missing": "Missing values",
}


def page(exploration: Exploration) -> Page:
    """The whole report."""
    report = Page(f"A first look at {table_name(exploration)}", headline(exploration).partition(": ")[2])
    report.section("Overview", *_overview(exploration))
    report.section("Findings", *_finding_blocks(exploration))
    _add_target(report, exploration)
    report.section("Columns", *_column_blocks(exploration))
    if len(exploration.summary.numbers):
        report.section("Numbers", _rows(exploration.summary.numbers))
    _add_missing_values(report, exploration)
    _associations(report, exploration)
    _distributions(report, exploration)
    notes = [[note.subject, note.value, note.reason] for note in exploration.table.notes]
    if notes:
        report.section("How it was read", TableBlock(["what", "chosen", "because"], notes))
    return report


def notebook(exploration: Exploration) -> str:
    """The overview, the findings and the columns, for a notebook's cell: escaped, no script."""
    short = Page("").section(headline(exploration), *_overview(exploration), *_finding_blocks(exploration))
    _add_target(short, exploration)
    short.section("Columns", *_column_blocks(exploration))
    return f'<style>{NOTEBOOK_CSS}</style><div class="tabstudio">{short.body()}</div>'


def _overview(exploration: Exploration) -> list[Block]:
    table, summary = exploration.table, exploration.summary
    cells = max(1, len(table) * len(table.schema))
    facts = [
        ("rows", len(table)),
        ("columns", len(table.schema)),
        ("features", len(table.schema.features)),
        ("missing cells", f"{summary.missing['missing'].sum() / cells:.1%}"),
        ("in memory", _size(summary.bytes)),
        ("findings", len(exploration.findings)),
    ]
    target = table.schema.target
    words = (
        f"To predict: {describe_target(target)}; {target.reason}."
        if target is not None
        else "No target was named."
    )
    return [FactsBlock(facts), TextBlock(words)]


def _finding_blocks(exploration: Exploration) -> list[Block]:
    if not exploration.findings:
        return [
            CalloutBlock(
                "info", "No ids, constants, duplicated rows or suspected leaks.", title="Nothing found"
            )
        ]
    alike = groupby(exploration.findings, key=_alike)
    return [_callout(list(findings)) for _, findings in alike]


def _alike(finding: Finding) -> tuple[str, ...]:
    """Findings of one kind share a box, but every danger has its own."""
    return (finding.severity, finding.kind, *(finding.columns if finding.severity == "danger" else ()))


def _callout(findings: Sequence[Finding]) -> CalloutBlock:
    first = findings[0]
    if len(findings) == 1:
        return CalloutBlock(first.severity, f"{first.message}\n\n{first.remedy}", title=_TITLES[first.kind])
    lines = "\n\n".join(f"{finding.message} {finding.remedy}" for finding in findings)
    return CalloutBlock(first.severity, lines, title=_TITLES[first.kind])


def _add_target(report: Page, exploration: Exploration) -> None:
    target, classes = exploration.table.schema.target, exploration.summary.classes
    if target is None or not len(exploration.table):
        return
    if classes is None:
        alt = f"Histogram of {target.name}"
        report.section("Target", PictureBlock(svg(exploration.picture("target")), alt))
        return
    counts = ", ".join(f"{name} {rows:,}" for name, rows, _ in classes.head(10).iter_rows())
    report.section(
        "Classes", PictureBlock(svg(exploration.picture("class_counts")), f"Rows of each class: {counts}")
    )


def _column_blocks(exploration: Exploration) -> list[Block]:
    columns = exploration.summary.columns.with_columns(
        pl.col("bytes").map_elements(_size, return_dtype=pl.String)
    )
    return [_rows(columns)]


def _add_missing_values(report: Page, exploration: Exploration) -> None:
    missing = exploration.summary.missing
    if "missing" not in exploration.picture_names:
        return
    alt = "Missing values: " + ", ".join(f"{c} {s:.1%}" for c, _, s in missing.head(10).iter_rows())
    report.section("Missing values", PictureBlock(svg(exploration.picture("missing")), alt))


def _associations(report: Page, exploration: Exploration) -> None:
    if "associations" not in exploration.picture_names:
        return
    associations, with_target = exploration.summary.associations, exploration.summary.associations.with_target
    blocks: list[Block] = [
        TextBlock(
            "Numbers, dates and booleans among themselves: Pearson's r, from -1 to 1. Categories among "
            "themselves: Cramér's V, bias-corrected, from 0 to 1. A category with a number: the correlation "
            "ratio, corrected for the number of levels, from 0 to 1. Each pair counts the rows where both "
            "have a value.",
            muted=True,
        )
    ]
    if associations.left_out:
        which = "after the first ones" if with_target is None else "less associated with the target"
        blocks.append(TextBlock(f"{associations.left_out:,} columns {which} are not drawn.", muted=True))
    alt = f"Heatmap of the associations among {', '.join(associations.names[:20])}"
    blocks.append(PictureBlock(exploration.image("associations"), alt, wide=len(associations.names) > 12))
    if with_target is not None and exploration.table.schema.target is not None:
        name = exploration.table.schema.target.name
        blocks.append(_rows(with_target.head(20), f"Most associated with {name}"))
    else:
        blocks.append(_rows(associations.strongest(20), "The strongest pairs"))
    report.section("Associations", *blocks)


def _distributions(report: Page, exploration: Exploration) -> None:
    if "distributions" not in exploration.picture_names:
        return
    picture = PictureBlock(
        svg(exploration.picture("distributions")),
        f"Distributions of {', '.join(exploration.drawn[:20])}",
        _distribution_words(exploration),
        wide=True,
    )
    report.section("Distributions", picture)


def _distribution_words(exploration: Exploration) -> str:
    target = exploration.table.schema.target
    if target is None:
        words = "Heights are shares of the rows."
    elif target.task == "regression":
        words = "Numbers are cut into bins of about equally many rows; all panels share one vertical scale."
    else:
        words = "Heights are shares of each class, so that small classes are seen as well as large ones."
    words += (
        " The outermost half percent of the values lies in the end bins."
        if target is None or target.classes
        else ""
    )
    hidden = len(exploration.drawable) - len(exploration.drawn)
    which = "after the first ones" if target is None else "less associated with the target"
    return words + (f" {hidden:,} columns {which} are not drawn." if hidden else "")


def _size(n_bytes: int) -> str:
    return format_size(n_bytes).replace(" ", "\N{NO-BREAK SPACE}")


def _rows(frame: pl.DataFrame, caption: str = "") -> TableBlock:
    return TableBlock(frame.columns, frame.rows(), caption)
