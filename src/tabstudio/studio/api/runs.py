"""Runs of all experiments: found, sorted, read, with their curves."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from tabstudio.studio.api.asking import Asking, Limit
from tabstudio.studio.api.shapes import Shape
from tabstudio.studio.services.runs.metric_curves import POINTS, metric_curve
from tabstudio.studio.services.runs.run_details import read_details
from tabstudio.studio.services.runs.run_query import RunQuery

router = APIRouter(tags=["runs"])


class Run(Shape):
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


class Runs(Shape):
    """Some runs of a list."""

    total: int = Field(description="How many the whole list has.")
    runs: list[Run]


class Details(Shape):
    """A run and all that belongs to it."""

    row: Run
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


class Columns(Shape):
    """By what runs can be shown and sorted, most frequent first."""

    metrics: list[str]
    params: list[str]


class Curve(Shape):
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


@router.get("/experiments", summary="Names of the experiments by their ids")
def experiments(asking: Asking) -> dict[str, str]:
    """Role: viewer."""
    return asking.studio.runs.experiments()


@router.get("/runs", summary="Runs of all experiments: filtered, sorted, a page at a time")
def runs(
    asking: Asking,
    query: Annotated[RunQuery, Depends(_query)],
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Limit = 25,
    children: Annotated[bool, Query(description="Count the runs below each.")] = False,
) -> Runs:
    """Role: viewer."""
    return Runs.model_validate(asking.studio.runs.page(query, offset, limit, children=children).to_json())


@router.get("/runs/columns", summary="Metrics and parameters by which the newest runs can be shown")
def columns(asking: Asking, query: Annotated[RunQuery, Depends(_query)]) -> Columns:
    """Role: viewer."""
    return Columns.model_validate(asking.studio.runs.columns(query))


@router.get("/runs/{run_id}", summary="One run, with all that MLflow knows of it")
def run(asking: Asking, run_id: str) -> Details:
    """Role: viewer."""
    found = read_details(asking.studio.runs, run_id)
    return Details.model_validate(found.to_json() | {"row": found.row.to_json()})


@router.get("/runs/{run_id}/metrics/{metric:path}", summary="The history of one metric")
def curve(
    asking: Asking,
    run_id: str,
    metric: str,
    points: Annotated[int, Query(ge=2, le=100_000, description="At most so many.")] = POINTS,
) -> Curve:
    """Role: viewer."""
    found = metric_curve(asking.studio.runs.client, run_id, metric, points)
    return Curve(metric=metric, points=found)
