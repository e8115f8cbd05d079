"""Errors of the REST API in one shape, with a code that a program can act on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tabstudio.errors import GateError, TabstudioError
from tabstudio.registry.mlflow_client import MissingError
from tabstudio.remote.contract import CODES
from tabstudio.remote.shapes import Problem, Refusal
from tabstudio.studio.access.roles import ForbiddenError
from tabstudio.studio.services.tables.table_folder import NameTakenError, UploadTooLargeError


class NotFoundError(TabstudioError):
    """There is nothing of that name."""


DOCUMENTED: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "Nobody knows who asks."},
    403: {"model": Refusal, "description": "The role does not allow it."},
    404: {"model": Refusal, "description": "There is nothing of that name."},
    409: {"model": Refusal, "description": "It is not allowed now: rules, gates, or somebody was faster."},
    422: {"model": Refusal, "description": "What was sent does not fit."},
    502: {"model": Refusal, "description": "MLflow cannot be asked."},
    503: {"model": Refusal, "description": "Our own tables cannot be used."},
}


def install(api: FastAPI) -> None:
    """Answer every error in that shape."""
    api.add_exception_handler(TabstudioError, _refused)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(Exception, _fault)


def code_of(error: TabstudioError) -> tuple[str, int]:
    """Return the code and the HTTP status of an error.

    >>> from tabstudio.errors import ModelError
    >>> code_of(ModelError("no such model"))
    ('not_found', 404)
    """
    if isinstance(error, MissingError | NotFoundError):
        return "not_found", 404
    if isinstance(error, ForbiddenError):
        return "forbidden", 403
    if isinstance(error, NameTakenError):
        return "taken", 409
    if isinstance(error, UploadTooLargeError):
        return "too_large", 413
    return next((code, status) for code, (kind, status) in CODES.items() if isinstance(error, kind))


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TabstudioError)
    code, status = code_of(error)
    gates = [asdict(result) for result in error.results] if isinstance(error, GateError) else None
    return _answer(status, code, str(error), gates)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    return _answer(422, "bad_request", "; ".join(faults))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _answer(404, "not_found", f"there is no {request.url.path[:200]}; see /api/v1/docs")
    codes = {405: "method_not_allowed"}
    return _answer(error.status_code, codes.get(error.status_code, "bad_request"), str(error.detail))


async def _fault(_: Request, __: Exception) -> JSONResponse:
    return _answer(500, "fault", "this is a fault of the studio's own; its log says more")


def _answer(
    status: int, code: str, message: str, gates: list[dict[str, object]] | None = None
) -> JSONResponse:
    problem = Problem(code=code, message=message, gates=gates)
    return JSONResponse(Refusal(error=problem).model_dump(exclude_none=True), status)
