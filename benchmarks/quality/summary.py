"""What the results say: a line for each system as Markdown, and a picture of every table's error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tabstudio.report.canvas import Canvas, width_of
from tabstudio.report.colors import GRID, INK, MUTED, PALETTE
from tabstudio.report.figure import svg

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "quality.svg"
REFERENCE = "catboost"
TIMED = " min"
"""Ending of the names of systems that were given minutes: these have no rank among the others."""
LEAST = 1e-3
"""Errors below this are as good as none."""
FACTOR = 2.0
"""One table counts for no more than this factor, so that a nearly perfect one does not decide."""


def report(file: Path, reference: str = REFERENCE) -> None:
    """Print the table, relative to a system's errors, and write the picture where that is CatBoost."""
    results = latest(pd.read_csv(file))
    found = ratios(results, reference)
    print(as_markdown(results, found, reference))
    if reference == REFERENCE:
        PICTURE.write_text(drawn(found) + "\n", encoding="utf-8")
        print(f"\npicture: {PICTURE}")


def latest(results: pd.DataFrame) -> pd.DataFrame:
    """The last line of each system on each split."""
    return results.groupby(["system", "dataset", "seed"], as_index=False).last()


def ratios(results: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """Errors (tables, systems) relative to a system's, over common seeds; infinite for a failure."""
    beside = results.merge(results[results.system == reference], on=["dataset", "seed"], suffixes=("", "_0"))
    means = beside.groupby(["dataset", "system"])[["error", "error_0"]].agg(lambda e: e.mean(skipna=False))
    ratio = means.error.clip(lower=LEAST) / means.error_0.clip(lower=LEAST)
    return ratio.fillna(np.inf).unstack()


def as_markdown(results: pd.DataFrame, found: pd.DataFrame, reference: str = REFERENCE) -> str:
    """A line for each system, the least error first."""
    headers = "system", "tables", f"error of {reference}'s", "better on", "mean rank", "failed"
    headers += "calibration error", "its floor", "CPU time"
    lines = [f"| {' | '.join(headers)} |", f"|{' --- |' * len(headers)}"]
    seconds = results.pivot_table(index=["dataset", "seed"], columns="system", values="cpu_seconds")
    gaps = results.groupby(["system", "dataset"])[["calibration_error", "calibration_floor"]].mean()
    ranks = mean_ranks(results)
    for system in sorted(found, key=lambda name: mean_ratio(found[name])):
        own = found[system].dropna()
        paired = seconds[list({system, reference})].dropna()
        time = float(paired[system].median() / paired[reference].median())
        better = f"{(own < 1 - 1e-9).sum()}" if system != reference else ""
        gap, floor = (f"{value:.3f}" for value in gaps.loc[system].mean())
        rank = f"{ranks[system]:.2f}" if system in ranks else ""
        errors = f"{mean_ratio(own):.3f}", better, rank, f"{np.isinf(own).sum()}"
        figures = system, f"{len(own)}", *errors, gap, floor, f"{time:.1f}"
        lines.append(f"| {' | '.join(figures)} |")
    return "\n".join(lines)


def mean_ranks(results: pd.DataFrame) -> pd.Series:
    """Mean over the tables of a system's rank there by its error, a mean over seeds; a failure is last."""
    results = results[~results.system.str.endswith(TIMED)]
    cells = results.groupby(["dataset", "system"]).error
    errors = cells.agg(lambda e: e.mean(skipna=False)).fillna(np.inf).unstack()
    return errors.rank(axis=1).mean()


def mean_ratio(column: pd.Series) -> float:
    """Geometric mean, each table at most `FACTOR` away from 1."""
    bound = np.log(FACTOR)
    return float(np.exp(np.log(column.dropna()).clip(-bound, bound).mean()))


def drawn(found: pd.DataFrame) -> str:
    """A row for each system: a dot for every table's error relative to CatBoost's, a bar at their mean."""
    systems = sorted(found, key=lambda name: mean_ratio(found[name]))
    names = [f"{name} ({found[name].count()})" for name in systems]
    left, width, step = 0.3 + width_of(names), 4.6, 0.34
    sheet = Canvas(left + width + 0.75, 1.05 + step * len(systems))
    sheet.text(0.14, 0.24, "Error relative to CatBoost's, each table a dot", size=12, bold=True)
    foot = 0.5 + step * len(systems)
    for value in (0.5, 0.7, 1.0, 1.4, 2.0):
        x = left + width * _place(value)
        sheet.line((x, x), (0.48, foot), MUTED if value == 1.0 else GRID, 1.0)
        sheet.text(x, foot + 0.14, f"{value:g}", size=8, colour=MUTED, align="center")
    sheet.text(left + width / 2, foot + 0.36, "to the left is better", size=8, colour=MUTED, align="center")
    for row, (system, name) in enumerate(zip(systems, names, strict=True)):
        y = 0.5 + step * (row + 0.5)
        colour = PALETTE[5] if system.startswith("tabstudio") else PALETTE[0]
        sheet.text(left - 0.1, y, name, align="right", bold=system.startswith("tabstudio"))
        dots = left + width * np.array([_place(value) for value in found[system].dropna()])
        turn = np.linspace(0, 2 * np.pi, 13)
        for x in dots:
            sheet.area(x + 0.035 * np.cos(turn), y + 0.035 * np.sin(turn), colour, 0.45)
        mean = mean_ratio(found[system])
        x = left + width * _place(mean)
        sheet.line((x, x), (y - 0.13, y + 0.13), INK, 2.4)
        sheet.text(left + width + 0.14, y, f"{mean:.3f}", colour=MUTED)
    return svg(sheet.figure())


def _place(ratio: float) -> float:
    """Where from the left, 0 to 1, a ratio stands."""
    return float((np.log(np.clip(ratio, 1 / FACTOR, FACTOR)) / np.log(FACTOR) + 1) / 2)
