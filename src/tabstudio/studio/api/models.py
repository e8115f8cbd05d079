"""Models and versions: looked at, judged, moved from stage to stage."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from tabstudio.registry.records import Transition
from tabstudio.studio import lifecycle
from tabstudio.studio.api import shapes
from tabstudio.studio.api.asking import Asked, Asking, Limit

router = APIRouter(tags=["models"])
Before = Annotated[int | None, Query(description="Those below this number.")]
_VERSION = "/models/{name}/versions/{which}"


@router.get("/rules", summary="The stages, and what each of them asks for")
def rules(asking: Asking) -> shapes.Rules:
    """Role: viewer."""
    return shapes.Rules.model_validate(asking.registry.rules)


@router.get("/models", summary="Registered models and what is in their stages")
def models(
    asking: Asking,
    page: Annotated[int, Query(ge=1)] = 1,
    limit: Limit = 20,
    search: Annotated[str, Query(description="Words that the name holds.")] = "",
) -> shapes.Models:
    """Role: viewer."""
    found = [model.to_json() for model in asking.registry.models(page=page, limit=limit, search=search)]
    return shapes.Models.model_validate({"items": found, "notices": asking.notices()})


@router.get("/models/{name}/versions", summary="A model's versions, the newest first")
def versions(asking: Asking, name: str, before: Before = None, limit: Limit = 20) -> shapes.Versions:
    """Role: viewer."""
    found = [version.to_json() for version in asking.registry.versions(name, before=before, limit=limit)]
    return shapes.Versions.model_validate({"items": found, "notices": asking.notices()})


@router.get(_VERSION, summary="One version: its number, `latest`, or the stage that it is in")
def version(asking: Asking, name: str, which: str) -> shapes.Version:
    """Role: viewer."""
    return shapes.Version.model_validate(asking.registry.version(name, which).to_json())


@router.get("/models/{name}/history", summary="What happened to a model, the newest first")
def history(asking: Asking, name: str, before: Before = None, limit: Limit = 20) -> shapes.Transitions:
    """Role: viewer."""
    rows = asking.registry.history(name, before=before, limit=limit)
    return shapes.Transitions.model_validate(
        {"items": [row.to_json() for row in rows], "notices": asking.notices()}
    )


@router.get(
    "/models/{name}/history/export",
    summary="The whole history, the oldest row first: a JSON object a line",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
def export(asking: Asking, name: str) -> StreamingResponse:
    """Role: viewer."""
    registry = asking.registry
    registry.look(name)  # a misspelt name is told before anything is sent
    lines = (json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in registry.export(name))
    return StreamingResponse(lines, media_type="application/x-ndjson")


@router.get("/models/{name}/at", summary="How each stage stood at a time")
def at(
    asking: Asking,
    name: str,
    time: Annotated[str, Query(description="2026-03-01, counted to its end, UTC; or with a time.")],
    limit: Limit = 20,
) -> shapes.Then:
    """Role: viewer."""
    registry = asking.registry
    registry.look(name)
    found = registry.at(name, time, limit=limit)
    stages = {stage: [row.to_json() for row in rows] for stage, rows in found.items()}
    return shapes.Then.model_validate({"stages": stages})


@router.get("/models/{name}/verify", summary="Whether any row of the history was edited, removed or inserted")
def verify(asking: Asking, name: str) -> shapes.Verification:
    """Role: viewer."""
    return shapes.Verification.model_validate(asking.registry.verify(name))


@router.get(f"{_VERSION}/requests", summary="Every request for a version, the newest first")
def requests(asking: Asking, name: str, which: str) -> shapes.Requests:
    """Role: viewer."""
    found = [request.to_json() for request in asking.registry.requests(name, which)]
    return shapes.Requests.model_validate({"items": found, "notices": asking.notices()})


@router.post(f"{_VERSION}/gates", summary="Judge a version by the gates of a stage; nothing is moved")
def gates(asking: Asking, name: str, which: str, asked: shapes.Judging) -> shapes.Judgement:
    """Role: viewer."""
    found, results = asking.registry.judge(name, which, asked.to, data=asking.table(asked.data))
    return shapes.Judgement.model_validate(
        {
            "version": found.to_json(),
            "stage": asking.registry.rules.stage(asked.to).name,
            "passed": all(result.passed for result in results),
            "gates": [asdict(result) for result in results],
        }
    )


@router.post(f"{_VERSION}/promote", summary="Put a version into a stage, if its gates pass")
def promote(asking: Asking, name: str, which: str, asked: shapes.Promotion) -> shapes.Moved:
    """Role: editor; with `force` approver."""
    done = lifecycle.promote(
        asking.studio,
        asking.who,
        name,
        _number(asking, name, which),
        asked.to,
        reason=asked.reason,
        force=asked.force,
        data=asking.table(asked.data),
    )
    return _moved(done)


@router.post(f"{_VERSION}/archive", summary="Take a version out of its stage, into the archive")
def archive(asking: Asking, name: str, which: str, asked: shapes.Why) -> shapes.Moved:
    """Role: editor."""
    number = _number(asking, name, which)
    return _moved(lifecycle.archive(asking.studio, asking.who, name, number, reason=asked.reason))


@router.post("/models/{name}/rollback", summary="Put the version back that was in a stage before")
def rollback(asking: Asking, name: str, asked: shapes.Rollback) -> shapes.Moved:
    """Role: editor."""
    done = lifecycle.rollback(
        asking.studio,
        asking.who,
        name,
        reason=asked.reason,
        stage=asked.stage,
        to_version=asked.to_version,
    )
    return _moved(done)


@router.post(f"{_VERSION}/request", summary="Ask others to agree that a version goes to a stage")
def request(asking: Asking, name: str, which: str, asked: shapes.Goal) -> shapes.Moved:
    """Role: editor."""
    number = _number(asking, name, which)
    return _moved(lifecycle.request(asking.studio, asking.who, name, number, asked.to, reason=asked.reason))


@router.post(f"{_VERSION}/approve", summary="Agree to a request")
def approve(asking: Asking, name: str, which: str, asked: shapes.Answer) -> shapes.Moved:
    """Role: approver. Nobody approves their own."""
    number = _number(asking, name, which)
    done = lifecycle.approve(asking.studio, asking.who, name, number, to=asked.to, reason=asked.reason)
    return _moved(done)


@router.post(f"{_VERSION}/reject", summary="Turn a request down, or take one's own back")
def reject(asking: Asking, name: str, which: str, asked: shapes.Answer) -> shapes.Moved:
    """Role: approver; editor for one's own."""
    number = _number(asking, name, which)
    done = lifecycle.reject(asking.studio, asking.who, name, number, to=asked.to, reason=asked.reason)
    return _moved(done)


def _number(asking: Asked, name: str, which: str) -> int:
    """The number of the version that is meant, whatever it is called by."""
    return int(which) if which.isdecimal() else asking.registry.version(name, which).number


def _moved(done: lifecycle.Done) -> shapes.Moved:
    rows = [_plain(row) for row in done.rows]
    return shapes.Moved.model_validate({"rows": rows, "notices": list(done.notices)})


def _plain(row: Transition) -> dict[str, Any]:
    return row.to_json()
