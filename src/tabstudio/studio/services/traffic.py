"""The predictions of a registered model in a period, read from the prediction log."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated

from tabstudio.errors import DataError
from tabstudio.serving.predictionlog.log_options import log_folder

if TYPE_CHECKING:
    import polars as pl

STALE_SECONDS = 60.0
"""Age at which traffic is read again though nothing was logged: minutes have passed."""
POINTS = 60
"""Points of time of a period."""
BINS = 20
MOST_CLASSES = 12
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class ModelTraffic:
    """The predictions of a model in the last hours, by version.

    Minutes are negative. `scores` are in `BINS` equal parts from 0 to 1 of the probability of the label that
    was answered.
    """

    hours: float
    rows: Annotated[dict[str, int], "Rows by version."] = field(default_factory=dict)
    requests: Annotated[dict[str, Points], "Minutes before now, requests a minute."] = field(
        default_factory=dict
    )
    classes: Annotated[dict[str, dict[str, int]], "Rows by version and answer."] = field(default_factory=dict)
    scores: Annotated[dict[str, list[float]], "Shares of rows by the answer's probability."] = field(
        default_factory=dict
    )
    values: Annotated[dict[str, list[float]], "5, 25, 50, 75 and 95 % quantiles of a regression."] = field(
        default_factory=dict
    )
    labelled: Annotated[
        dict[str, tuple[int, float]],
        "Rows whose label came later, and the share that was right or the mean error.",
    ] = field(default_factory=dict)


class TrafficCache:
    """The traffic of models, read once for all browsers until something is logged or a minute has passed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, float], tuple[Hashable, float, ModelTraffic]] = {}
        self._lock = Lock()

    def find(self, model: str, hours: float) -> ModelTraffic:
        """Return the traffic of a model, at most a minute old."""
        with self._lock:
            known_state, at, traffic = self._known.get((model, hours), (None, 0.0, ModelTraffic(hours)))
            now, state = time.time(), traffic_token("")
            if state != known_state or now - at > STALE_SECONDS:
                traffic = read_traffic(model, hours=hours)
                self._known[model, hours] = state, now, traffic
            return traffic


def traffic_token(_: str, folder: str | Path | None = None) -> Hashable:
    """Return something that differs once predictions or labels are logged."""
    log_path = log_folder(folder)
    return tuple(sorted(_ends([*log_path.glob("segments/*.log"), *log_path.glob("log.db*")])))


def read_traffic(
    model: str, *, hours: float = 1.0, folder: str | Path | None = None, now: float | None = None
) -> ModelTraffic:
    """Return the traffic of a model in the last hours; empty where there is none, or no log."""
    import polars as pl

    from tabstudio.serving.predictionlog.reader import prediction_log

    until = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    try:
        log = prediction_log(model, folder)
    except DataError:  # no prediction of this model was ever logged here
        return ModelTraffic(hours)
    wanted = pl.col("^(time|request_id|version|role|prediction|label|probability_.*)$")
    within = pl.col("time").is_between(until - timedelta(hours=hours), until, closed="right")
    frame = log.select(wanted).filter(within).with_columns(lane=_lane()).collect()
    parts = {str(name): part for (name,), part in frame.partition_by("lane", as_dict=True).items()}
    regression = frame["prediction"].dtype.is_numeric()
    return ModelTraffic(
        hours,
        rows={name: part.height for name, part in parts.items()},
        requests={name: _per_minute(part, until, hours) for name, part in parts.items()},
        classes={} if regression else {name: _classes(part) for name, part in parts.items()},
        scores={} if regression else {name: _scores(part) for name, part in parts.items()},
        values={name: _quantiles(part) for name, part in parts.items()} if regression else {},
        labelled={name: labelled for name, part in parts.items() if (labelled := _labelled(part))},
    )


def _lane() -> pl.Expr:
    import polars as pl

    version, role = pl.col("version"), pl.col("role")
    named = pl.when(version.str.contains(r"^\d+$")).then(pl.lit("version ") + version).otherwise(version)
    return pl.when(role == "live").then(named).otherwise(named + pl.lit(", ") + role)


def _per_minute(part: pl.DataFrame, until: datetime, hours: float) -> Points:
    """Return requests per minute in `POINTS` equal steps, each at its end."""
    import numpy as np

    minutes = 60 * hours / POINTS
    times = part.unique("request_id")["time"]
    ages = (until - times).dt.total_seconds(fractional=True).to_numpy() / 60
    counts = np.bincount(np.minimum(ages // minutes, POINTS - 1).astype(np.int64), minlength=POINTS)
    return [(-index * minutes, float(counts[index] / minutes)) for index in range(POINTS)][::-1]


def _classes(part: pl.DataFrame) -> dict[str, int]:
    counted = part["prediction"].value_counts(sort=True).head(MOST_CLASSES)
    return {str(label): int(count) for label, count in counted.rows()}


def _scores(part: pl.DataFrame) -> list[float]:
    import numpy as np
    import polars as pl

    columns = [name for name in part.columns if name.startswith("probability_")]
    sure = part.select(pl.max_horizontal(columns)).to_series().drop_nulls().to_numpy()
    counts, _ = np.histogram(sure, bins=BINS, range=(0.0, 1.0))
    return [float(share) for share in counts / max(len(sure), 1)]


def _quantiles(part: pl.DataFrame) -> list[float]:
    return [float(part["prediction"].quantile(share) or 0.0) for share in (0.05, 0.25, 0.5, 0.75, 0.95)]


def _labelled(part: pl.DataFrame) -> tuple[int, float] | None:
    import polars as pl

    rows = part.filter(pl.col("label").is_not_null())
    if not rows.height:
        return None
    answered, label = rows["prediction"], rows["label"]
    scores = (answered - label).abs() if answered.dtype.is_numeric() else answered == label
    return rows.height, float(scores.cast(pl.Float64).to_numpy().mean())


def _ends(files: Iterable[Path]) -> Iterator[tuple[str, int, int]]:
    for file in files:
        with suppress(FileNotFoundError):  # it became Parquet while we looked
            status = file.stat()
            yield file.name, status.st_size, status.st_mtime_ns
