"""Curves of metrics, thinned where a run has more points than a picture can show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tabstudio.studio.runs.records import as_logged

if TYPE_CHECKING:
    from tabstudio.registry.client import Client

POINTS = 1000
"""Points of one curve at most, the first and the last among them."""
Points = list[tuple[float, float]]


def history(client: Client, run_id: str, metric: str, points: int = POINTS) -> Points:
    """The curve of one metric as (step, value), in the order of steps; values that are no number left out.

    Of a long one, evenly chosen points: a database of one's own picks them itself, a server sends all.
    Raises `TrackingError` where MLflow cannot be asked.
    """
    store = client.mlflow._tracking_client.store
    with client.asking(f"look at the metric {metric}"):
        if hasattr(store, "ManagedSessionMaker"):
            found = store.get_metric_history_bulk_interval([run_id], metric, points, None, None)
        else:
            found = client.mlflow.get_metric_history(run_id, metric)
    curve = sorted((m.step, m.timestamp, m.value) for m in found if math.isfinite(as_logged(m.value)))
    return [(float(step), float(value)) for step, _, value in _thinned(curve, points)]


def histories(client: Client, run_id: str, metrics: Sequence[str], points: int = POINTS) -> dict[str, Points]:
    """The curves of several metrics of one run."""
    return {metric: history(client, run_id, metric, points) for metric in metrics}


def grouped(metrics: Mapping[str, float]) -> dict[str, list[str]]:
    """Names of metrics by what they tell of, for one chart each: losses, rates, what stands before a slash.

    >>> grouped({"train_loss": 0.1, "val_loss": 0.2, "system/cpu": 1.0, "test_f1": 0.9})
    {'losses': ['train_loss', 'val_loss'], 'others': ['test_f1'], 'system': ['system/cpu']}
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(metrics):
        groups.setdefault(_group(name), []).append(name)
    first = ("losses", "learning rate", "others")
    return dict(
        sorted(groups.items(), key=lambda g: (first.index(g[0]) if g[0] in first else len(first), g[0]))
    )


def smoothed(points: Points, weight: float) -> Points:
    """The exponential moving mean of a curve, corrected for its start; `weight` from 0 (none) to below 1.

    Source: Kingma and Ba 2014, section 3, the correction of the bias of a moving mean.
    """
    mean, total, made = 0.0, 0.0, []
    for step, value in points:
        mean = weight * mean + (1 - weight) * value
        total = weight * total + (1 - weight)
        made.append((step, mean / total))
    return made


def _group(name: str) -> str:
    if "/" in name:
        return name.partition("/")[0]
    lowered = name.lower()
    if "loss" in lowered and not lowered.startswith(("test_", "best_")):
        return "losses"
    return "learning rate" if lowered in ("learning_rate", "lr") else "others"


def _thinned(curve: Sequence[Any], points: int) -> Sequence[Any]:
    if len(curve) <= points:
        return curve
    return [curve[round(place * (len(curve) - 1) / (points - 1))] for place in range(points)]
