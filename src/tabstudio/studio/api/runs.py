"""Runs of all experiments: found, sorted, read, with their curves."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from tabstudio.remote import paths
from tabstudio.remote.shapes import Shape
from tabstudio.studio.api.request_context import Context, Limit
from tabstudio.studio.services.runs.metric_curves import POINTS, metric_curve
from tabstudio.studio.services.runs.run_details import read_details
from tabstudio.studio.services.runs.run_query import RunQuery

router = APIRouter(tags=["runs"])


class RunShape(Shape):
    """One run in a list."""

    id: str
    name: str
    experiment_id: str
    experiment: str
    status: str
    started: int | None = Field(description="Milliseconds since 1970.")
    ended: int | None = Field(description="Milliseconds since 1970; null while it goes on.")
    seconds: float | None = Field(description="How long it took.")
    user: str
    source: str
    parent: str = Field(description="The run above it, empty for none.")
    metrics: dict[str, float | None] = Field(description="The last points; null where they are not finite.")
    params: dict[str, str]
    moving: list[str] = Field(description="The metrics that have got beyond step 0.")
    children: int | None = Field(description="Runs below it; null where nobody asked.")


class RunPageShape(Shape):
    """Some runs of a list."""

    total: int = Field(description="How many the whole list has.")
    runs: list[RunShape]


class RunDetailsShape(Shape):
    """A run and all that belongs to it."""

    row: RunShape
    note: str
    tags: dict[str, str]
    git: dict[str, str]
    datasets: list[dict[str, Any]]
    models: list[dict[str, Any]]
    versions: list[tuple[str, int]] = Field(description="Registered models and numbers made of it.")
    children: int
    parent_name: str
    command: str
    reproduce: str


class ColumnNames(Shape):
    """By what runs can be shown and sorted, most frequent first."""

    metrics: list[str]
    params: list[str]


class MetricCurve(Shape):
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


@router.get(paths.RUNS, summary="Runs of all experiments: filtered, sorted, a page at a time")
def runs(
    context: Context,
    query: Annotated[RunQuery, Depends(_query)],
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Limit = 25,
    children: Annotated[bool, Query(description="Count the runs below each.")] = False,
) -> RunPageShape:
    """Role: viewer."""
    return RunPageShape.model_validate(
        context.studio.runs.page(query, offset, limit, children=children).to_json()
    )


@router.get(paths.RUN_COLUMNS, summary="Metrics and parameters by which the newest runs can be shown")
def columns(context: Context, query: Annotated[RunQuery, Depends(_query)]) -> ColumnNames:
    """Role: viewer."""
    return ColumnNames.model_validate(context.studio.runs.columns(query))


@router.get(paths.RUN, summary="One run, with all that MLflow knows of it")
def run(context: Context, run_id: str) -> RunDetailsShape:
    """Role: viewer."""
    found = read_details(context.studio.runs, run_id)
    return RunDetailsShape.model_validate(found.to_json() | {"row": found.row.to_json()})


@router.get(paths.RUN_METRIC, summary="The history of one metric")
def curve(
    context: Context,
    run_id: str,
    metric: str,
    points: Annotated[int, Query(ge=2, le=100_000, description="At most so many.")] = POINTS,
) -> MetricCurve:
    """Role: viewer."""
    found = metric_curve(context.studio.runs.client, run_id, metric, points)
    return MetricCurve(metric=metric, points=found)
