"""Runs of all experiments: found, sorted, read, with their curves."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from tabstudio.remote import paths
from tabstudio.remote.shapes import JsonShape, named, shape
from tabstudio.studio.api.request_context import Context, Limit
from tabstudio.studio.services.runs.metric_curves import POINTS, metric_curve
from tabstudio.studio.services.runs.run_details import RunDetails, read_details
from tabstudio.studio.services.runs.run_query import RunQuery
from tabstudio.studio.services.runs.run_records import RunRow
from tabstudio.studio.services.runs.run_store import RunColumns

router = APIRouter(tags=["runs"])


_METRICS = Field(description="The last points; null where they are not finite.")
RunShape = shape(
    RunRow,
    metrics=(dict[str, float | None], _METRICS),
    seconds=(float | None, Field(description="How long it took.")),
)
RunPageShape = named(
    "RunPage",
    "Some runs of a list.",
    total=(int, Field(description="How many the whole list has.")),
    runs=list[RunShape],  # type: ignore[valid-type]
)
RunDetailsShape = shape(
    RunDetails,
    datasets=list[dict[str, Any]],
    models=list[dict[str, Any]],
    command=str,
    reproduce=str,
)
ColumnNames = shape(RunColumns)


class MetricCurve(JsonShape):
    """One metric of one run."""

    metric: str
    points: list[tuple[float, float]] = Field(
        description="Step and value, evenly thinned where there are many."
    )


def _query(
    experiment: Annotated[list[str] | None, Query(description="Ids of experiments; none for all.")] = None,
    name: Annotated[str, Query(description="A part of the name.")] = "",
    status: Annotated[str, Query(description="RUNNING, SCHEDULED, FINISHED, FAILED or KILLED.")] = "",
    filter: Annotated[str, Query(description="MLflow's filter, such as metrics.test_f1 > 0.9.")] = "",  # noqa: A002
    parent: Annotated[str, Query(description="Runs below this one.")] = "",
    grouped: Annotated[bool, Query(description="Leave runs below others out.")] = False,
    order: Annotated[str, Query(description="name, started, metrics.NAME, params.NAME, ...")] = "started",
    descending: bool = True,
) -> RunQuery:
    return RunQuery(tuple(experiment or ()), name, status, filter, parent, grouped, order, descending)


@router.get(paths.EXPERIMENTS, summary="Names of the experiments by their ids")
def experiments(context: Context) -> dict[str, str]:
    """Role: viewer."""
    return context.studio.runs.experiments()


@router.get(
    paths.RUNS,
    summary="Runs of all experiments: filtered, sorted, a page at a time",
    response_model=RunPageShape,
)
def runs(
    context: Context,
    query: Annotated[RunQuery, Depends(_query)],
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Limit = 25,
    children: Annotated[bool, Query(description="Count the runs below each.")] = False,
) -> object:
    """Role: viewer."""
    return context.studio.runs.page(query, offset, limit, children=children).to_json()


@router.get(
    paths.RUN_COLUMNS,
    summary="Metrics and parameters by which the newest runs can be shown",
    response_model=ColumnNames,
)
def columns(context: Context, query: Annotated[RunQuery, Depends(_query)]) -> object:
    """Role: viewer."""
    return context.studio.runs.columns(query)


@router.get(paths.RUN, summary="One run, with all that MLflow knows of it", response_model=RunDetailsShape)
def run(context: Context, run_id: str) -> object:
    """Role: viewer."""
    details = read_details(context.studio.runs, run_id)
    return details.to_json() | {"row": details.row.to_json()}


@router.get(paths.RUN_METRIC, summary="The history of one metric")
def curve(
    context: Context,
    run_id: str,
    metric: str,
    points: Annotated[int, Query(ge=2, le=100_000, description="At most so many.")] = POINTS,
) -> MetricCurve:
    """Role: viewer."""
    curve = metric_curve(context.studio.runs.client, run_id, metric, points)
    return MetricCurve(metric=metric, points=curve)
