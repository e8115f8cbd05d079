"""An exploration as plain lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tabstudio.report.text_format import format_size, format_value, shorten
from tabstudio.table.schema import Target

if TYPE_CHECKING:
    import polars as pl

    from tabstudio.exploration.exploration import Exploration

_MOST_ROWS = 60
_MOST_FINDINGS = 30


def text(exploration: Exploration) -> str:
    """Types and counts, describe, classes, associations and findings."""
    summary, target = exploration.summary, exploration.table.schema.target
    parts = [headline(exploration), "", *_columns_lines(summary.columns)]
    if len(summary.numbers):
        parts += ["", "Numbers", *grid(summary.numbers.columns, summary.numbers.rows())]
    if summary.classes is not None and target is not None:
        rows = [(name, count, f"{share:.1%}") for name, count, share in summary.classes.iter_rows()]
        parts += ["", f"Classes of {target.name}", *grid(("class", "rows", "share"), rows)]
    if (
        summary.associations.with_target is not None
        and target is not None
        and len(summary.associations.with_target)
    ):
        strongest = summary.associations.with_target.head(12).rows()
        parts += [
            "",
            f"Most associated with {target.name}",
            *grid(summary.associations.with_target.columns, strongest),
        ]
    elif len(pairs := summary.associations.strongest(12)):
        parts += ["", "Strongest associations", *grid(pairs.columns, pairs.rows())]
    return "\n".join([*parts, "", *_finding_lines(exploration)])


def headline(exploration: Exploration) -> str:
    """The table's name and size, and what is to be predicted."""
    table = exploration.table
    of = f", target {describe_target(table.schema.target)}" if table.schema.target is not None else ""
    weight = format_size(int(table.frame.estimated_size()))
    return (
        f"{table_name(exploration)}: {len(table):,} rows, {len(table.schema)} columns, {weight} in memory{of}"
    )


def table_name(exploration: Exploration) -> str:
    """The table's name without its folders."""
    name = exploration.table.source.name
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2] or name


def describe_target(target: Target) -> str:
    """The target's name and task in words."""
    if target.task == "regression":
        return f"{target.name} (a number)"
    if target.task == "binary":
        return f"{target.name} (two classes, {target.positive} is the class of interest)"
    return f"{target.name} ({len(target.classes)} classes)"


def grid(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Aligned lines, numbers to the right; past 60 rows the rest is counted."""
    rows = list(rows)
    cells = [[shorten(format_value(value), 60) for value in row] for row in rows[:_MOST_ROWS]]
    widths = [max(len(c[i]) for c in [list(headers), *cells]) for i in range(len(headers))]
    right = [
        bool(rows) and all(isinstance(row[i], int | float | None) for row in rows)
        for i in range(len(headers))
    ]

    def line(values: Sequence[str]) -> str:
        fitted = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True))
        return "  " + "  ".join(fitted).rstrip()

    rest = [f"  … and {len(rows) - _MOST_ROWS:,} more, all in the report"] if len(rows) > _MOST_ROWS else []
    return [line(headers), *map(line, cells), *rest]


def _columns_lines(columns: pl.DataFrame) -> list[str]:
    shown = columns.select("column", "kind", "role", "dtype", "present", "missing", "unique", "values")
    return ["Columns", *grid(shown.columns, shown.rows())]


def _finding_lines(exploration: Exploration) -> list[str]:
    findings = exploration.findings
    if not findings:
        return ["Findings", "  none: no ids, constants, duplicated rows or suspected leaks"]
    lines = ["Findings"]
    for finding in findings[:_MOST_FINDINGS]:
        grave = "DANGER" if finding.severity == "danger" else finding.severity
        lines.append(f"  {grave}: {finding.message}")
        if finding.remedy:
            lines.append(f"      {finding.remedy}")
    if len(findings) > _MOST_FINDINGS:
        lines.append(f"  … and {len(findings) - _MOST_FINDINGS} more, all in the report")
    return lines
