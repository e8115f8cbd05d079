"""Trainings and searches: started, followed, stopped."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from tabstudio.remote import paths
from tabstudio.remote.shapes import JsonShape
from tabstudio.studio.api.request_context import Context, find_or_404

router = APIRouter(tags=["jobs"])


class JobShape(JsonShape):
    """A training or a search."""

    id: str
    kind: Literal["train", "sweep"]
    title: str
    state: Literal["running", "stopping", "done", "stopped", "failed", "died", "elsewhere"]
    asked: dict[str, Any] = Field(description="What it was told.")
    command: str = Field(description="The command that does the same.")
    actor: str
    started: str = Field(description="UTC, ISO 8601.")
    machine: str
    share: float | None = Field(description="How much is done, from 0 to 1.")
    seconds_left: float | None
    epochs: int = Field(description="Epochs that it has told of.")
    run_id: str = Field(description="Its run in MLflow, empty until there is one.")
    error: str
    result: dict[str, Any]


class JobList(JsonShape):
    """Jobs, the newest first."""

    items: list[JobShape]


class TrainingBody(BaseModel):
    """What a training is asked with."""

    kind: Literal["train", "sweep"] = "train"
    table: str = Field(description="One of the studio's tables.")
    target: str = Field(description="The column to predict.")
    model: str | None = Field(None, description="The registered model; else the table's name.")
    options: dict[str, Any] = Field(default={}, description="Options of `tabstudio train`, by their names.")
    register_: bool = Field(True, alias="register", description="Register a version of what comes out.")


class JobOutput(JsonShape):
    """What a job's process has printed last."""

    lines: list[str]


@router.get(paths.JOBS, summary="Trainings and searches, the newest first")
def jobs(context: Context, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> JobList:
    """Role: viewer."""
    return JobList.model_validate({"items": [job.to_json() for job in context.studio.jobs.list(limit)]})


@router.post(paths.JOBS, summary="Train, or search, on one of the studio's tables", status_code=201)
def start(context: Context, body: TrainingBody) -> JobShape:
    """Role: editor."""
    job = context.studio.jobs.start(
        context.who,
        body.kind,
        body.table,
        body.target,
        body.options,
        model=body.model,
        register=body.register_,
    )
    context.studio.feed.touch("jobs")
    return JobShape.model_validate(job.to_json())


@router.get(paths.JOB, summary="One job, with its progress")
def job(context: Context, job_id: str) -> JobShape:
    """Role: viewer."""
    return JobShape.model_validate(find_or_404(context.studio.jobs.find, job_id).to_json())


@router.post(paths.JOB_STOP, summary="Let a job keep what it has reached, and end")
def stop(context: Context, job_id: str) -> JobShape:
    """Role: editor."""
    find_or_404(context.studio.jobs.find, job_id)
    stopped = context.studio.jobs.stop(context.who, job_id)
    context.studio.feed.touch("jobs")
    return JobShape.model_validate(stopped.to_json())


@router.get(paths.JOB_OUTPUT, summary="What its process has printed last")
def output(context: Context, job_id: str, lines: Annotated[int, Query(ge=1, le=10_000)] = 200) -> JobOutput:
    """Role: viewer."""
    find_or_404(context.studio.jobs.find, job_id)
    return JobOutput(lines=list(context.studio.jobs.output(job_id, lines)))
