"""Comparison of several runs: curves, parameters and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tabstudio.studio.services.runs.metric_curves import POINTS, Points, metric_curve

if TYPE_CHECKING:
    from tabstudio.registry.mlflow_client import RegistryClient
    from tabstudio.studio.services.runs.run_records import RunRow

MOST_RUNS = 50
"""Runs that are compared at once."""


def run_labels(rows: Sequence[RunRow]) -> list[str]:
    """Return a unique name for each run: with the beginning of its id where two share one."""
    names = [row.name for row in rows]
    return [row.name if names.count(row.name) == 1 else f"{row.name} ({row.id[:6]})" for row in rows]


def compare_curves(
    client: RegistryClient, rows: Sequence[RunRow], metric: str, points: int = POINTS
) -> dict[str, Points]:
    """Return the curve of one metric of each run that has it, by label."""
    return {
        label: metric_curve(client, row.id, metric, points)
        for label, row in zip(run_labels(rows), rows, strict=True)
        if metric in row.metrics
    }


def parameter_differences(
    rows: Sequence[RunRow], *, everything: bool = False
) -> list[tuple[str, list[str | None]]]:
    """Return parameters by name with each run's value, None where it has none; only what differs, or all."""
    names = sorted({name for row in rows for name in row.params})
    table = [(name, [row.params.get(name) for row in rows]) for name in names]
    return [(name, values) for name, values in table if everything or len(set(values)) > 1]


def metric_values(rows: Sequence[RunRow]) -> list[tuple[str, list[float | None]]]:
    """Return metrics by name with the last value of each run, None where it has none."""
    names = sorted({name for row in rows for name in row.metrics})
    return [(name, [row.metrics.get(name) for row in rows]) for name in names]


def coordinates(rows: Sequence[RunRow], dimensions: Sequence[str]) -> list[list[float | str | None]]:
    """Return the values of each run for parallel coordinates; a dimension is `params.NAME` or `metrics.NAME`.

    A parameter is a number where it is one in every run that has it, else text.
    """
    columns = [_dimension_values(rows, *dimension.split(".", 1)) for dimension in dimensions]
    return [list(values) for values in zip(*columns, strict=True)]


def _dimension_values(rows: Sequence[RunRow], kind: str, name: str) -> list[float | str | None]:
    if kind == "metrics":
        return [row.metrics.get(name) for row in rows]
    texts = [row.params.get(name) for row in rows]
    try:
        return [None if text is None else float(text) for text in texts]
    except ValueError:
        return list(texts)
