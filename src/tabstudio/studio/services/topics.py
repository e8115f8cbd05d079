"""The topics that pages follow, and cheap tokens that differ after a change of them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from tabstudio._util.clock import utc_now
from tabstudio.database.tables import access_tokens, models, sessions, users
from tabstudio.studio.services import deployments as services
from tabstudio.studio.services import service_metrics, system_metrics, traffic
from tabstudio.studio.services.feed import FeedSource
from tabstudio.studio.services.runs.run_query import RunQuery

if TYPE_CHECKING:
    from tabstudio.studio.services.runs.run_records import RunRow
    from tabstudio.studio.studio import Studio


NEWEST_RUNS, RUNNING_RUNS = 20, 100
"""Runs that are looked at for a change; of the others, their numbers."""


def topic_sources(studio: Studio) -> dict[str, FeedSource]:
    """Return the source of every topic.

    `registry`, `runs`, `run:ID`, `deployments`, `service:NAME`, `log:NAME`, `traffic`, `people`, `jobs`,
    `job:ID`, `system`, `system:PID`.
    """

    def registry(_: str) -> Hashable:
        with studio.database.reading() as connection:
            ours = connection.execute(select(func.count(), func.sum(models.c.head))).one()
        newest = studio.mlflow.search_model_versions(max_results=1, order_by=["last_updated_timestamp DESC"])
        return tuple(ours), tuple((v.name, v.version, v.last_updated_timestamp) for v in newest)

    def runs(_: str) -> Hashable:
        newest = studio.runs.page(RunQuery(), 0, NEWEST_RUNS)
        # A run that is older than these and ends, such as the parent of a sweep, is running until then.
        running = studio.runs.page(RunQuery(status="RUNNING"), 0, RUNNING_RUNS)
        return newest.total, running.total, tuple(map(_run_state, (*newest.rows, *running.rows)))

    def run(run_id: str) -> Hashable:
        current = studio.mlflow.get_run(run_id)
        points = current.to_dictionary()["data"]["metrics"]
        return current.info.status, len(current.data.params), tuple(sorted(points.items()))

    def deployments(_: str) -> Hashable:
        current = studio.deployments.list(ask=False)
        return tuple((one.name, one.state, one.url, one.changed) for one in current)

    def log(name: str) -> Hashable:
        return services.log_size(studio, name)

    def jobs(job_id: str) -> Hashable:
        return studio.jobs.token(job_id)

    def people(_: str) -> Hashable:
        with studio.database.reading() as connection:
            roles = connection.execute(select(users.c.name, users.c.role).order_by(users.c.name)).all()
            alive = select(sessions.c.hash).where(sessions.c.expires > utc_now()).order_by(sessions.c.hash)
            programs = select(access_tokens.c.hash).order_by(access_tokens.c.hash)
            hashes = [tuple(connection.execute(query).scalars()) for query in (alive, programs)]
            return tuple(map(tuple, roles)), *hashes

    return {
        "registry": FeedSource(registry, 1.0),
        "runs": FeedSource(runs, 2.0),
        "run": FeedSource(run, 1.0),
        "deployments": FeedSource(deployments, 1.0),
        "service": FeedSource(lambda name: studio.service_metrics.sample(name), service_metrics.SECONDS),
        "log": FeedSource(log, 0.5),
        "traffic": FeedSource(traffic.traffic_token, 3.0),
        "people": FeedSource(people, 1.0),
        "jobs": FeedSource(jobs, 1.0),
        "job": FeedSource(jobs, 0.5),
        "system": FeedSource(lambda pid: studio.system_metrics.sample(pid), system_metrics.SECONDS),
    }


def _run_state(run: RunRow) -> Hashable:
    return run.id, run.status, run.ended
