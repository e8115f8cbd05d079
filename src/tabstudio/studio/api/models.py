"""Models and versions: looked at, judged, moved from stage to stage."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from tabstudio.registry.approvals import ApprovalRequest
from tabstudio.registry.catalog import RegisteredModel
from tabstudio.registry.records import ModelVersion, Noticed, Transition
from tabstudio.remote import paths, shapes
from tabstudio.studio import lifecycle
from tabstudio.studio.api.request_context import ApiContext, Context, Limit

router = APIRouter(tags=["models"])
Before = Annotated[int | None, Query(description="Those below this number.")]
_Item = TypeVar("_Item", RegisteredModel, ModelVersion, Transition, ApprovalRequest)


@router.get(paths.RULES, summary="The stages, and what each of them asks for", response_model=shapes.Rules)
def rules(context: Context) -> object:
    """Role: viewer."""
    return context.registry.rules


@router.get(
    paths.MODELS, summary="Registered models and what is in their stages", response_model=shapes.Models
)
def models(
    context: Context,
    page: Annotated[int, Query(ge=1)] = 1,
    limit: Limit = 20,
    search: Annotated[str, Query(description="Words that the name holds.")] = "",
) -> object:
    """Role: viewer."""
    return _listed(context.registry.models(page=page, limit=limit, search=search))


@router.get(paths.VERSIONS, summary="A model's versions, the newest first", response_model=shapes.Versions)
def versions(context: Context, name: str, before: Before = None, limit: Limit = 20) -> object:
    """Role: viewer."""
    return _listed(context.registry.versions(name, before=before, limit=limit))


@router.get(
    paths.VERSION,
    summary="One version: its number, `latest`, or the stage that it is in",
    response_model=shapes.Version,
)
def version(context: Context, name: str, which: str) -> object:
    """Role: viewer."""
    return context.registry.version(name, which).to_json()


@router.get(paths.HISTORY, summary="What happened to a model, the newest first", response_model=shapes.Rows)
def history(context: Context, name: str, before: Before = None, limit: Limit = 20) -> object:
    """Role: viewer."""
    return _listed(context.registry.history(name, before=before, limit=limit))


@router.get(
    paths.EXPORT,
    summary="The whole history, the oldest row first: a JSON object a line",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
def export(context: Context, name: str) -> StreamingResponse:
    """Role: viewer."""
    registry = context.registry
    registry.look(name)  # a misspelt name is told before anything is sent
    lines = (json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in registry.export(name))
    return StreamingResponse(lines, media_type="application/x-ndjson")


@router.get(paths.AT, summary="How each stage stood at a time", response_model=shapes.Then)
def at(
    context: Context,
    name: str,
    time: Annotated[str, Query(description="2026-03-01, counted to its end, UTC; or with a time.")],
    limit: Limit = 20,
) -> object:
    """Role: viewer."""
    registry = context.registry
    registry.look(name)
    then = registry.at(name, time, limit=limit)
    return {"stages": {stage: [row.to_json() for row in rows] for stage, rows in then.items()}}


@router.get(
    paths.VERIFY,
    summary="Whether any row of the history was edited, removed or inserted",
    response_model=shapes.Verified,
)
def verify(context: Context, name: str) -> object:
    """Role: viewer."""
    return context.registry.verify(name).to_json()


@router.get(
    paths.REQUESTS, summary="Every request for a version, the newest first", response_model=shapes.Requests
)
def requests(context: Context, name: str, which: str) -> object:
    """Role: viewer."""
    return _listed(Noticed(context.registry.requests(name, which)))


@router.post(
    paths.GATES,
    summary="Judge a version by the gates of a stage; nothing is moved",
    response_model=shapes.Judgement,
)
def gates(context: Context, name: str, which: str, body: shapes.JudgingBody) -> object:
    """Role: viewer."""
    candidate, results = context.registry.judge(name, which, body.to, data=context.table(body.data))
    return {
        "version": candidate.to_json(),
        "stage": context.registry.rules.stage(body.to).name,
        "passed": all(result.passed for result in results),
        "gates": [asdict(result) for result in results],
    }


@router.post(
    paths.PROMOTE, summary="Put a version into a stage, if its gates pass", response_model=shapes.Moved
)
def promote(context: Context, name: str, which: str, body: shapes.PromotionBody) -> object:
    """Role: editor; with `force` approver."""
    done = lifecycle.promote(
        context.studio,
        context.who,
        name,
        _version_number(context, name, which),
        body.to,
        reason=body.reason,
        force=body.force,
        data=context.table(body.data),
    )
    return _moved(done)


@router.post(
    paths.ARCHIVE, summary="Take a version out of its stage, into the archive", response_model=shapes.Moved
)
def archive(context: Context, name: str, which: str, body: shapes.ReasonBody) -> object:
    """Role: editor."""
    number = _version_number(context, name, which)
    return _moved(lifecycle.archive(context.studio, context.who, name, number, reason=body.reason))


@router.post(
    paths.ROLLBACK, summary="Put the version back that was in a stage before", response_model=shapes.Moved
)
def rollback(context: Context, name: str, body: shapes.RollbackBody) -> object:
    """Role: editor."""
    done = lifecycle.rollback(
        context.studio,
        context.who,
        name,
        reason=body.reason,
        stage=body.stage,
        to_version=body.to_version,
    )
    return _moved(done)


@router.post(
    paths.REQUEST, summary="Ask others to agree that a version goes to a stage", response_model=shapes.Moved
)
def request(context: Context, name: str, which: str, body: shapes.GoalBody) -> object:
    """Role: editor."""
    number = _version_number(context, name, which)
    return _moved(lifecycle.request(context.studio, context.who, name, number, body.to, reason=body.reason))


@router.post(paths.APPROVE, summary="Agree to a request", response_model=shapes.Moved)
def approve(context: Context, name: str, which: str, body: shapes.AnswerBody) -> object:
    """Role: approver. Nobody approves their own."""
    number = _version_number(context, name, which)
    done = lifecycle.approve(context.studio, context.who, name, number, to=body.to, reason=body.reason)
    return _moved(done)


@router.post(paths.REJECT, summary="Turn a request down, or take one's own back", response_model=shapes.Moved)
def reject(context: Context, name: str, which: str, body: shapes.AnswerBody) -> object:
    """Role: approver; editor for one's own."""
    number = _version_number(context, name, which)
    done = lifecycle.reject(context.studio, context.who, name, number, to=body.to, reason=body.reason)
    return _moved(done)


def _version_number(context: ApiContext, name: str, which: str) -> int:
    """Return the number of the version that is meant, whatever it is called by."""
    return int(which) if which.isdecimal() else context.registry.version(name, which).number


def _moved(done: lifecycle.Done) -> dict[str, object]:
    return {"rows": [row.to_json() for row in done.rows], "notices": list(done.notices)}


def _listed(items: Noticed[_Item]) -> dict[str, object]:
    return {"items": [item.to_json() for item in items], "notices": list(items.notices)}
