"""Trainings and searches: started, followed, stopped."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from tabstudio.studio.api.asking import Asking, found
from tabstudio.studio.api.shapes import Shape

router = APIRouter(tags=["jobs"])


class Job(Shape):
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


class Jobs(Shape):
    """Jobs, the newest first."""

    items: list[Job]


class Training(BaseModel):
    """What a training is asked with."""

    kind: Literal["train", "sweep"] = "train"
    table: str = Field(description="One of the studio's tables.")
    target: str = Field(description="The column to predict.")
    model: str | None = Field(None, description="The registered model; else the table's name.")
    options: dict[str, Any] = Field(default={}, description="Options of `tabstudio train`, by their names.")
    register_: bool = Field(True, alias="register", description="Register a version of what comes out.")


class Output(Shape):
    """What a job's process has printed last."""

    lines: list[str]


@router.get("/jobs", summary="Trainings and searches, the newest first")
def jobs(asking: Asking, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> Jobs:
    """Role: viewer."""
    return Jobs.model_validate({"items": [job.to_json() for job in asking.studio.jobs.list(limit)]})


@router.post("/jobs", summary="Train, or search, on one of the studio's tables", status_code=201)
def start(asking: Asking, asked: Training) -> Job:
    """Role: editor."""
    job = asking.studio.jobs.start(
        asking.who,
        asked.kind,
        asked.table,
        asked.target,
        asked.options,
        model=asked.model,
        register=asked.register_,
    )
    asking.studio.feed.touch("jobs")
    return Job.model_validate(job.to_json())


@router.get("/jobs/{job_id}", summary="One job, with its progress")
def job(asking: Asking, job_id: str) -> Job:
    """Role: viewer."""
    return Job.model_validate(found(asking.studio.jobs.find, job_id).to_json())


@router.post("/jobs/{job_id}/stop", summary="Let a job keep what it has reached, and end")
def stop(asking: Asking, job_id: str) -> Job:
    """Role: editor."""
    found(asking.studio.jobs.find, job_id)
    stopped = asking.studio.jobs.stop(asking.who, job_id)
    asking.studio.feed.touch("jobs")
    return Job.model_validate(stopped.to_json())


@router.get("/jobs/{job_id}/output", summary="What its process has printed last")
def output(asking: Asking, job_id: str, lines: Annotated[int, Query(ge=1, le=10_000)] = 200) -> Output:
    """Role: viewer."""
    found(asking.studio.jobs.find, job_id)
    return Output(lines=list(asking.studio.jobs.output(job_id, lines)))
