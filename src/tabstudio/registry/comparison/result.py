"""The result of a comparison: its data, its text, its JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from tabstudio.evaluation.evaluation_result import NAMES, Evaluation, number, to_plain
from tabstudio.evaluation.prediction_flips import Flips
from tabstudio.registry.comparison.cells import (
    FLIP_HEADERS,
    HEADERS,
    decisions,
    differences,
    flip_cells,
    gap_cells,
    slice_headers,
    slice_rows,
)
from tabstudio.registry.schema_changes import SchemaChange
from tabstudio.report.text_format import aligned
from tabstudio.table.schema import Target

SHOWN_ROWS = 10
Winner = Literal["first", "second"] | None


@dataclass(frozen=True, slots=True)
class MetricGap:
    """A measure of both models and the second's minus the first's, with its 95 % interval.

    `better` names a model only where a redraw of the rows cannot explain the difference.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    better: Winner

    @property
    def interval(self) -> str:
        """The bounds, '' where none were drawn."""
        return "" if np.isnan(self.low) else f"[{number(self.low)}, {number(self.high)}]"


@dataclass(frozen=True, slots=True)
class SliceGap:
    """The measures of both models on one level of a column."""

    column: str
    level: str
    rows: int
    metrics: tuple[MetricGap, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same rows.

    `how` says which rows, `notes` what was left out. `config`, `data` and `environment` hold (name, first,
    second) of what differs, `schema` what a caller of the first meets with the second. `answers` are the
    labels and what each model said, row by row.
    """

    first: str
    second: str
    target: Target
    rows: int
    source: str
    how: str
    notes: tuple[str, ...]
    metrics: tuple[MetricGap, ...]
    slices: tuple[SliceGap, ...]
    thresholds: tuple[float | None, float | None]
    evaluations: tuple[Evaluation, Evaluation]
    config: tuple[tuple[str, object, object], ...]
    data: tuple[tuple[str, object, object], ...]
    environment: tuple[tuple[str, object, object], ...]
    schema: tuple[SchemaChange, ...]
    flips: Flips
    answers: tuple[np.ndarray, np.ndarray, np.ndarray] = field(repr=False, compare=False)

    def __getitem__(self, metric: str) -> MetricGap:
        return next(gap for gap in self.metrics if gap.metric == metric)

    @property
    def verdict(self) -> str:
        """Who is better in what, in one sentence."""
        won = {
            name: [NAMES[gap.metric] for gap in self.metrics if gap.better == name]
            for name in ("first", "second")
        }
        if not won["first"] and not won["second"]:
            return "No measure differs by more than chance on these rows."
        addresses = {"first": self.first, "second": self.second}
        parts = [f"{addresses[name]} is better in {', '.join(names)}" for name, names in won.items() if names]
        return f"Beyond chance, {', and '.join(parts)}."

    def text(self) -> str:
        """Return a report for the terminal."""
        parts = [
            f"A  {self.first}\nB  {self.second}",
            "\n".join([self.how, *self.notes]),
            aligned([HEADERS, *(gap_cells(gap) for gap in self.metrics)]),
            self.verdict,
        ]
        if self.slices:
            parts.append(aligned([slice_headers(self), *slice_rows(self)]))
        parts.append("\n".join(decisions(self)))
        if self.flips.rows:
            shown = self.flips.rows[:SHOWN_ROWS]
            parts.append(aligned([FLIP_HEADERS, *(flip_cells(flip) for flip in shown)]))
            if self.flips.count > len(shown):
                parts.append(f"  and {self.flips.count - len(shown):,} rows more, see --json or --output")
        for title, rows in differences(self):
            parts.append(f"{title}\n" + aligned([("", "A", "B"), *rows]))
        if self.schema:
            parts.append("\n".join(["what callers of A meet with B:", *(f"  {c}" for c in self.schema)]))
        return "\n\n".join(parts)

    def to_json(self) -> dict[str, object]:
        """Return a plain dictionary for `json.dumps`."""
        content: dict[str, object] = {
            name: getattr(self, name)
            for name in ("first", "second", "rows", "source", "how", "notes", "verdict", "thresholds")
        }
        content |= {
            name: [asdict(part) for part in getattr(self, name)] for name in ("metrics", "slices", "schema")
        }
        for name in ("config", "data", "environment"):
            content[name] = {key: {"first": one, "second": two} for key, one, two in getattr(self, name)}
        one, two = self.evaluations
        content["calibration"] = {
            "first": [asdict(part) for part in one.calibration],
            "second": [asdict(part) for part in two.calibration],
        }
        plain: dict[str, object] = to_plain(
            {**content, "target": asdict(self.target), "flips": asdict(self.flips)}
        )
        return plain

    def save(self, folder: str | Path) -> Path:
        """Write `report.html`, complete in itself, the pictures as PNG and `comparison.json` into a folder.

        Raises `TabstudioError` where it cannot be written.
        """
        from tabstudio.registry.comparison.page import save

        return save(self, Path(folder))

    def __repr__(self) -> str:
        return f"Comparison({self.first} and {self.second} on {self.rows:,} rows: {self.verdict})"
