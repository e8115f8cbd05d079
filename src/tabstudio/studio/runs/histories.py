"""Curves of metrics, thinned where a run has more points than a picture can show."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tabstudio.studio.runs.records import as_logged

if TYPE_CHECKING:
    from tabstudio.registry.client import Client

POINTS = 1000
"""Points of one curve at most, the first and the last among them."""
_PART = re.compile(r"(train|training|val|valid|validation|eval|test)[_/.\- ]", re.IGNORECASE)
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


def grouped(metrics: Iterable[str]) -> dict[str, list[str]]:
    """Names of metrics by what they tell of, for one chart each: a measure on all parts of the rows together.

    Losses come first, then learning rates; what stands before a slash is a group otherwise.

    >>> grouped(["val_acc", "acc", "train/loss", "val/loss", "system/cpu", "learning_rate"])
    {'loss': ['train/loss', 'val/loss'], 'learning_rate': ['learning_rate'], 'acc': ['acc', 'val_acc'], \
'system': ['system/cpu']}
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(metrics):
        part = _PART.match(name)
        group = name[part.end() :] if part else name.partition("/")[0]
        groups.setdefault(group, []).append(name)
    return dict(sorted(groups.items(), key=lambda item: (_rank(item[0]), item[0])))


def _rank(group: str) -> int:
    return 0 if "loss" in group.lower() else 1 if group.lower() in ("learning_rate", "lr") else 2


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


def _thinned(curve: Sequence[Any], points: int) -> Sequence[Any]:
    if len(curve) <= points:
        return curve
    return [curve[round(place * (len(curve) - 1) / (points - 1))] for place in range(points)]
