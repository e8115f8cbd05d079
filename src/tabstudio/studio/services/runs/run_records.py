"""Records of runs."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from tabstudio._compat.mlflow import latest_metrics
from tabstudio.evaluation.evaluation_result import to_plain

if TYPE_CHECKING:
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in a list; `metrics` are the last points."""

    id: str
    name: str
    experiment_id: str
    experiment: str
    status: str
    started: Annotated[int | None, "Milliseconds since 1970."]
    ended: Annotated[int | None, "Milliseconds since 1970; null while it goes on."]
    user: str
    source: str
    parent: Annotated[str, "The run above it, empty for none."]
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    moving: Annotated[tuple[str, ...], "The metrics that have got beyond step 0."] = ()
    children: Annotated[int | None, "Runs below it; null where nobody asked."] = None

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it goes on."""
        return (
            None
            if self.started is None or self.ended is None or not self.ended
            else (self.ended - self.started) / 1000
        )

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for `json.dumps`; figures that are not finite are None."""
        plain: dict[str, object] = to_plain(asdict(self) | {"seconds": self.seconds})
        return plain


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of a list, and the length of the whole list."""

    rows: tuple[RunRow, ...]
    total: int

    def to_json(self) -> dict[str, object]:
        """A plain dictionary for `json.dumps`."""
        return {"total": self.total, "runs": [row.to_json() for row in self.rows]}


def as_logged(value: float) -> float:
    """A value as it was logged: MLflow's databases keep infinity as the largest number there is."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def as_row(run: Run, experiment: str, children: int | None = None) -> RunRow:
    """Make a row of MLflow's run."""
    info, tags = run.info, run.data.tags
    user = tags.get("mlflow.user") or info.user_id or ""
    return RunRow(
        id=info.run_id,
        name=info.run_name or tags.get("mlflow.runName", "") or info.run_id[:8],
        experiment_id=info.experiment_id,
        experiment=experiment,
        status=info.status,
        started=info.start_time,
        ended=info.end_time or None,
        user="" if user == "unknown" else user,  # what MLflow says of a run without one
        source=tags.get("mlflow.source.name", ""),
        parent=tags.get(PARENT, ""),
        metrics={name: as_logged(value) for name, value in sorted(run.data.metrics.items())},
        params=dict(sorted(run.data.params.items())),
        moving=tuple(sorted(metric.key for metric in latest_metrics(run) if metric.step)),
        children=children,
    )
