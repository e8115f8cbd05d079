"""What can be followed, and how a change of it is seen cheaply."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from tabstudio.database.tables import deployments, models
from tabstudio.studio.feed import Source

if TYPE_CHECKING:
    from tabstudio.studio.studio import Studio


def sources(studio: Studio) -> dict[str, Source]:
    """Every topic: `registry`, `runs`, `run:ID` and `deployments`."""

    def registry(_: str) -> Hashable:
        with studio.database.reading() as connection:
            ours = connection.execute(select(func.count(), func.sum(models.c.head))).one()
        newest = studio.mlflow.search_model_versions(max_results=1, order_by=["last_updated_timestamp DESC"])
        return tuple(ours), tuple((v.name, v.version, v.last_updated_timestamp) for v in newest)

    def runs(_: str) -> Hashable:
        experiments = [e.experiment_id for e in studio.mlflow.search_experiments()]
        newest = studio.mlflow.search_runs(
            experiments, max_results=20, order_by=["attributes.start_time DESC"]
        )
        return tuple((run.info.run_id, run.info.status, run.info.end_time) for run in newest)

    def run(run_id: str) -> Hashable:
        found = studio.mlflow.get_run(run_id)
        points = found.to_dictionary()["data"]["metrics"]
        return found.info.status, len(found.data.params), tuple(sorted(points.items()))

    def services(_: str) -> Hashable:
        with studio.database.reading() as connection:
            rows = connection.execute(select(deployments.c.name, deployments.c.changed, deployments.c.url))
            return tuple(tuple(row) for row in rows)

    return {
        "registry": Source(registry, 1.0),
        "runs": Source(runs, 2.0),
        "run": Source(run, 1.0),
        "deployments": Source(services, 1.0),
    }
