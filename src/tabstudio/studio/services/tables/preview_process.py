"""The preview of a table, made by a process of its own.

`python -m tabstudio.studio.services.tables.preview_process` reads its request as JSON from standard input and
writes the parts to standard output, one JSON object a line. A table that is too large, or damaged on purpose,
takes the memory and the time of this process only.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabstudio.errors import TabstudioError

if TYPE_CHECKING:
    from tabstudio.exploration import Exploration
    from tabstudio.exploration.distribution import Panel
    from tabstudio.studio.services.tables.preview_types import (
        ChartsPreview,
        FindingPreview,
        PanelPreview,
        SchemaPreview,
    )
    from tabstudio.table import Table

NICE = 5
EXAMPLES = 3
MOST_CLASSES = 100
MOST_PANELS = 200
"""So many columns have their distribution drawn, the ones most associated with the target first."""
_LONGEST = 60


def main() -> int:
    """Preview the table that standard input names, write the parts to standard output."""
    os.nice(NICE)
    with suppress(OSError):  # Linux: where memory runs out, this process goes first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    request = json.load(sys.stdin)
    try:
        for name, part in preview_parts(Path(request["path"]), request["target"], request["options"]):
            _write_part(name, part)
    except TabstudioError as error:
        _write_part("error", {"kind": type(error).__name__, "text": str(error)})
        return 1
    return 0


def preview_parts(
    path: Path, target: str | None, options: dict[str, Any]
) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield `schema`, `findings` and `charts` of a table; `options` are those of `train` for reading.

    Raises `DataError` where the table cannot be read, `ConfigError` for options that do not fit it.
    """
    from tabstudio.exploration import explore
    from tabstudio.options import configure
    from tabstudio.table import read

    table = read(path, target=target, config=configure(**options).read)
    yield "schema", schema(table)
    exploration = explore(table)
    yield "findings", {"findings": findings(exploration)}
    yield "charts", charts(exploration)


def schema(table: Table) -> SchemaPreview:
    """Return what was guessed of a table, with the reason of each guess."""
    source, goal = table.source, table.schema.target
    return {
        "rows": len(table),
        "bytes": source.bytes,
        "format": source.format,
        "separator": source.separator,
        "encoding": source.encoding,
        "missing_words": [*table.schema.missing_words],
        "notes": [[note.subject, note.value, note.reason] for note in table.notes],
        "columns": [
            {
                "name": column.name,
                "kind": column.kind,
                "role": column.role,
                "missing": column.missing,
                "unique": column.unique,
                "reason": column.reason,
                "examples": _examples(table, column.name),
            }
            for column in table.schema
        ],
        "target": None
        if goal is None
        else {
            "name": goal.name,
            "task": goal.task,
            "classes": [str(label) for label in goal.classes[:MOST_CLASSES]],
            "more_classes": max(len(goal.classes) - MOST_CLASSES, 0),
            "positive": None if goal.positive is None else str(goal.positive),
            "reason": goal.reason,
        },
    }


def _examples(table: Table, name: str) -> list[str]:
    values = table.frame[name].drop_nulls().head(100 * EXAMPLES).unique(maintain_order=True)
    return [_short(f"{v:.6g}" if isinstance(v, float) else str(v)) for v in values.head(EXAMPLES)]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def findings(exploration: Exploration) -> list[FindingPreview]:
    """Return what to mind before training, the gravest first."""
    return [
        {
            "kind": finding.kind,
            "severity": finding.severity,
            "columns": [*finding.columns],
            "message": finding.message,
            "remedy": finding.remedy,
        }
        for finding in exploration.findings
    ]


def charts(exploration: Exploration) -> ChartsPreview:
    """Return the numbers that the page draws: classes, gaps, associations, distributions."""
    summary = exploration.summary
    links = summary.associations
    by_target = () if links.with_target is None else links.with_target.iter_rows()
    return {
        "classes": None if summary.classes is None else summary.classes.rows(),
        "missing": summary.missing.rows(),
        "numbers": summary.numbers.rows(),
        "associations": {
            "names": [*links.names],
            "matrix": [[_finite_or_none(value) for value in row] for row in links.matrix.tolist()],
            "left_out": links.left_out,
            "with_target": [(name, _finite_or_none(value), measure) for name, value, measure in by_target],
        },
        "groups": [*exploration.groups.names],
        "target": None if exploration.target_panel is None else _panel(exploration.target_panel),
        "panels": [_panel(panel) for panel in exploration.panels(MOST_PANELS)],
        "not_drawn": max(len(exploration.drawable) - MOST_PANELS, 0),
    }


def _panel(panel: Panel) -> PanelPreview:
    return {
        "name": panel.name,
        "shape": panel.shape,
        "heights": panel.heights.tolist(),
        "edges": None if panel.edges is None else panel.edges.tolist(),
        "labels": [*panel.labels],
        "spread": None if panel.spread is None else panel.spread.tolist(),
        "is_date": panel.is_date,
        "rest": panel.rest,
    }


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write_part(name: str, part: Mapping[str, object]) -> None:
    line = json.dumps({"part": name, **part}, ensure_ascii=False)
    sys.stdout.buffer.write(line.encode("utf-8", "replace") + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
