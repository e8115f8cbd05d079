"""Curves of metrics, thinned where a run has more points than a picture can show."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import func, select

from tabstudio._compat.mlflow import tracking_store
from tabstudio.studio.services.runs.run_records import as_logged

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from tabstudio.registry.mlflow_client import RegistryClient

POINTS = 1000
"""Points of one curve at most, the first and the last among them."""
_PART = re.compile(r"(train|training|val|valid|validation|eval|test)[_/.\- ]", re.IGNORECASE)
Points = list[tuple[float, float]]
_Item = TypeVar("_Item")


def metric_curve(client: RegistryClient, run_id: str, metric: str, points: int = POINTS) -> Points:
    """Return the curve of one metric as (step, value), in the order of steps; see `metric_curves`."""
    return metric_curves(client, run_id, [metric], points)[metric]


def metric_curves(
    client: RegistryClient, run_id: str, metrics: Iterable[str], points: int = POINTS
) -> dict[str, Points]:
    """Return the curves of metrics of one run as (step, value), in the order of steps; only finite values.

    Of a long one, evenly chosen points: a database of one's own picks them itself, a server sends all.
    Raises `TrackingError` where MLflow cannot be asked.
    """
    names = list(metrics)
    store = tracking_store(client.mlflow)
    with client.asking("look at the metrics"):
        if hasattr(store, "ManagedSessionMaker"):
            points_of = _in_tables(store, run_id, names, points)
        else:
            histories = {metric: client.mlflow.get_metric_history(run_id, metric) for metric in names}
            points_of = {metric: [_point(m) for m in logged] for metric, logged in histories.items()}
    return {metric: _curve(points_of.get(metric, []), points) for metric in names}


def _in_tables(
    store: SqlAlchemyStore, run_id: str, names: Sequence[str], points: int
) -> dict[str, list[tuple[int, int, float]]]:
    """Read short curves together in one query, long ones one by one, thinned by MLflow."""
    from mlflow.store.tracking.dbmodels.models import SqlMetric as Row

    mine = (Row.run_uuid == run_id, Row.key.in_(names))
    curves: dict[str, list[tuple[int, int, float]]] = {}
    with store.ManagedSessionMaker() as session:
        counting = select(Row.key, func.count()).where(*mine).group_by(Row.key)
        counts = {key: int(count) for key, count in session.execute(counting)}
        short = [key for key, count in counts.items() if count <= points]
        rows = select(Row.key, Row.step, Row.timestamp, Row.value).where(
            Row.run_uuid == run_id, Row.key.in_(short), Row.is_nan.is_(False)
        )
        for key, *point in session.execute(rows):
            curves.setdefault(key, []).append((point[0], point[1], point[2]))
    for key in counts.keys() - set(short):
        thinned = store.get_metric_history_bulk_interval([run_id], key, points, None, None)
        curves[key] = [_point(m) for m in thinned]
    return curves


def _point(metric: Metric) -> tuple[int, int, float]:
    return metric.step, metric.timestamp, metric.value


def _curve(logged: Iterable[tuple[int, int, float]], points: int) -> Points:
    finite = sorted(point for point in logged if math.isfinite(as_logged(point[2])))
    return [(float(step), float(value)) for step, _, value in _thinned(finite, points)]


def group_metrics(metrics: Iterable[str]) -> dict[str, list[str]]:
    """Group names of metrics for one chart each: a measure on all parts of the rows together.

    Losses come first, then learning rates; what stands before a slash is a group otherwise.

    >>> group_metrics(["val_acc", "acc", "train/loss", "val/loss", "system/cpu", "learning_rate"])
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
    """Return the exponential moving mean of a curve, corrected for its start; 0 <= `weight` < 1.

    Source: Kingma and Ba 2014, section 3, the correction of the bias of a moving mean.
    """
    mean, total, averaged = 0.0, 0.0, []
    for step, value in points:
        mean = weight * mean + (1 - weight) * value
        total = weight * total + (1 - weight)
        averaged.append((step, mean / total))
    return averaged


def _thinned(curve: Sequence[_Item], points: int) -> Sequence[_Item]:
    if len(curve) <= points:
        return curve
    return [curve[round(index * (len(curve) - 1) / (points - 1))] for index in range(points)]
