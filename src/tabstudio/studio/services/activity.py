"""Recent events, runs in progress and the health of models in production, for the page Home."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Literal

from tabstudio.registry.records import Transition
from tabstudio.studio.services.deployments import all_served_versions
from tabstudio.studio.services.jobs import StudioJob
from tabstudio.studio.services.runs.metric_curves import Points, group_metrics, metric_curve
from tabstudio.studio.services.runs.run_query import RunQuery
from tabstudio.studio.services.runs.run_records import RunRow
from tabstudio.studio.services.traffic import read_traffic

if TYPE_CHECKING:
    from tabstudio.registry import Registry
    from tabstudio.registry.catalog import RegisteredModel
    from tabstudio.studio.access.roles import Actor
    from tabstudio.studio.services.deployments import ServedVersion
    from tabstudio.studio.studio import Studio

EVENTS = 14
RUNS = 4
"""Runs in progress that are shown."""
_PAGE = 100
STALE_RUN_SECONDS = 7 * 86_400.0
"""Seconds after which a run without an end is no longer taken for one in progress."""
CURVE_POINTS = 200


@dataclass(frozen=True, slots=True)
class ActivityEvent:
    """An event at `at` (Unix seconds): a move of a version, the end of a run, a training.

    `key` names what it is about: the model and version, MLflow's id of the run, the id of the job.
    """

    at: float
    kind: Literal["move", "run", "job"]
    key: tuple[str, ...]
    text: str
    state: str
    who: str


def recent_events(studio: Studio, who: Actor, limit: int = EVENTS) -> list[ActivityEvent]:
    """Return the newest events first. A training is one event, that of its job where it has one."""
    jobs = studio.jobs.list(limit)
    ours = {job.progress.run_id for job in jobs}
    rows = studio.runs.page(RunQuery(grouped=True), 0, 2 * limit).rows
    events = [_of_move(row) for row in studio.registry(who).recent(limit)]
    events += [_of_job(job) for job in jobs if not job.going]
    events += [_of_run(row) for row in rows if row.status != "RUNNING" and row.id not in ours]
    return sorted(events, key=lambda event: event.at, reverse=True)[:limit]


def _of_move(row: Transition) -> ActivityEvent:
    at = datetime.fromisoformat(row.time).timestamp()
    move = "" if row.kind in ("note", "lost") else f"to {row.to_stage or 'no stage'}"
    text = ": ".join(part for part in (move, row.reason) if part)
    return ActivityEvent(at, "move", (row.model, str(row.version)), text, row.kind, row.actor)


def _of_job(job: StudioJob) -> ActivityEvent:
    started = datetime.fromisoformat(job.started).timestamp()
    return ActivityEvent(job.progress.ended_at or started, "job", (job.id,), job.title, job.state, job.actor)


def _of_run(row: RunRow) -> ActivityEvent:
    at = (row.ended or row.started or 0) / 1000
    return ActivityEvent(
        at, "run", (row.id,), f"{row.name} in {row.experiment}", row.status.lower(), row.user
    )


@dataclass(frozen=True, slots=True)
class RunInProgress:
    """A run in progress, and the curves of its losses, or of its first metrics."""

    row: RunRow
    curves: dict[str, Points]


def runs_in_progress(studio: Studio, jobs: Sequence[StudioJob]) -> list[RunInProgress]:
    """Return the newest runs in progress that are not those of `jobs`."""
    ours = {job.progress.run_id for job in jobs}
    rows = studio.runs.page(RunQuery(status="RUNNING", grouped=True), 0, RUNS + len(ours)).rows
    young = [
        row
        for row in rows
        if (row.started or 0) / 1000 > time.time() - STALE_RUN_SECONDS and row.id not in ours
    ]
    return [RunInProgress(row, _curves(studio, row)) for row in young[:RUNS]]


def _curves(studio: Studio, row: RunRow) -> dict[str, Points]:
    names = next(iter(group_metrics(row.metrics).values()), [])[:4]
    client = studio.runs.client
    return {name: metric_curve(client, row.id, name, CURVE_POINTS) for name in names}


@dataclass(frozen=True, slots=True)
class ProductionHealth:
    """The health of a model in production.

    `served` names the services that answer with it, `asked` and `failed` count the predictions of these since
    they were started, None where no service was asked. `lately` counts the rows predicted within the last
    hour that the prediction log has, None where no log is kept here. `whole` says whether its history is
    unbroken, None before anybody has looked.
    """

    model: str
    version: int
    since: str
    by: str
    served: tuple[str, ...]
    asked: int | None
    failed: int | None
    lately: int | None
    whole: bool | None


def production_stage(registry: Registry) -> str:
    """Return the stage that counts as production: of that name, or the last that holds one version."""
    stages = registry.rules.exclusive
    return "production" if "production" in stages or not stages else stages[-1]


class ProductionMonitor:
    """Checks the models in production; a history is verified once for each length that it has."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._verified: dict[tuple[str, str], bool] = {}
        self._last: list[ProductionHealth] = []
        self._at = -math.inf
        self._lock = Lock()

    def all(self, who: Actor, older: float = 0.0) -> list[ProductionHealth]:
        """Return every model with a version in production, by name.

        Services and logs are read once for all browsers; the answer may be `older` seconds old.
        """
        called = time.monotonic()
        with self._lock:
            if self._at < called - older:
                started = time.monotonic()
                self._last = self._look(who)
                self._at = started
            return self._last

    def _look(self, who: Actor) -> list[ProductionHealth]:
        registry = self.studio.registry(who)
        stage = production_stage(registry)
        models = [model for model in _models(registry) if stage in model.stages]
        moves = registry.last_moves(model.name for model in models)
        lanes = all_served_versions(self.studio) if models else []
        return [self._of(model, stage, moves.get(model.name), lanes) for model in models]

    def _of(
        self, model: RegisteredModel, stage: str, move: Transition | None, lanes: Sequence[ServedVersion]
    ) -> ProductionHealth:
        version = model.stages[stage]
        served = tuple(
            sorted({one.service for one in lanes if one.model == model.name and one.version == str(version)})
        )
        requests, failed = self._counted(model.name, served)
        return ProductionHealth(
            model.name,
            version,
            move.time if move else "",
            move.actor if move else "",
            served,
            requests,
            failed,
            _logged(model.name, str(version)),
            self._verified.get((model.name, move.hash if move else "")),
        )

    def verified(self, who: Actor, health: ProductionHealth) -> ProductionHealth:
        """Return the same with its history verified, which takes long for a long history."""
        registry = self.studio.registry(who)
        move = registry.last_moves([health.model]).get(health.model)
        key = (health.model, move.hash if move else "")
        if key not in self._verified:
            self._verified[key] = registry.verify(health.model).whole
        return replace(health, whole=self._verified[key])

    def _counted(self, model: str, served: Sequence[str]) -> tuple[int | None, int | None]:
        totals = [
            one for name in served if (one := self.studio.service_metrics.totals(name, model)) is not None
        ]
        if not totals:
            return None, None
        return round(sum(one.asked for one in totals)), round(sum(one.failed for one in totals))


def _models(registry: Registry) -> Iterator[RegisteredModel]:
    for page in count(1):
        models = registry.models(page=page, limit=_PAGE)
        yield from models
        if len(models) < _PAGE:
            return


def _logged(model: str, version: str) -> int | None:
    rows = read_traffic(model, hours=1.0).rows
    return (
        sum(count for lane, count in rows.items() if lane.startswith(f"version {version}")) if rows else None
    )
