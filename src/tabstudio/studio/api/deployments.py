"""Services by name, and what they were asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from tabstudio.errors import ConfigError
from tabstudio.remote import paths, shapes
from tabstudio.studio.api.request_context import Context, find_or_404
from tabstudio.studio.services import deployments as services
from tabstudio.studio.services.traffic import ModelTraffic, read_traffic

router = APIRouter(tags=["deployments"])
_WITH_VALUES = (
    *("--port", "--workers", "--watch", "--max-body", "--max-rows", "--max-in-flight", "--deadline"),
    *("--log-days", "--log-gigabytes", "--mask", "--leave-out"),
)
_WITH_MODELS = ("--canary", "--shadow")
_ALONE = ("--log", "--no-log", "--access-log", "--json-logs", "--trace")


TrafficShape = shapes.shape(ModelTraffic)


@router.get(paths.DEPLOYMENTS, summary="Services and how they are", response_model=shapes.Services)
def deployments(context: Context) -> object:
    """Role: viewer."""
    return {"items": context.studio.deployments.list()}


@router.post(
    paths.DEPLOYMENTS,
    summary="Start a service, and wait until it answers",
    status_code=201,
    response_model=shapes.Service,
)
def start(context: Context, body: shapes.ServiceBody) -> object:
    """Role: editor. Models are those of the registry; it listens on the studio's machine alone."""
    check_words(body.words)
    return services.start(context.studio, context.who, body.name, body.words)


@router.get(paths.DEPLOYMENT, summary="One service", response_model=shapes.Service)
def deployment(context: Context, name: str) -> object:
    """Role: viewer."""
    return find_or_404(context.studio.deployments.find, name)


@router.post(
    paths.DEPLOYMENT_STOP,
    summary="Let a service answer what it was asked, and end",
    response_model=shapes.Service,
)
def stop(context: Context, name: str) -> object:
    """Role: editor."""
    find_or_404(context.studio.deployments.find, name)
    return services.stop(context.studio, context.who, name)


@router.get(paths.DEPLOYMENT_LOG, summary="The last lines of its output")
def log(context: Context, name: str, lines: Annotated[int, Query(ge=1, le=10_000)] = 100) -> shapes.Log:
    """Role: viewer."""
    find_or_404(context.studio.deployments.find, name)
    return shapes.Log(lines=[line.rstrip("\n") for line in context.studio.deployments.output(name, lines)])


@router.delete(paths.DEPLOYMENT, summary="Stop a service and forget it, with its output")
def remove(context: Context, name: str) -> shapes.Gone:
    """Role: editor."""
    find_or_404(context.studio.deployments.find, name)
    services.remove(context.studio, context.who, name)
    return shapes.Gone()


@router.get(
    paths.PREDICTIONS,
    summary="What a model was asked in the last hours, and answered",
    response_model=TrafficShape,
)
def predictions(
    context: Context, model: str, hours: Annotated[float, Query(gt=0, le=24 * 366)] = 24.0
) -> object:
    """Role: viewer."""
    del context
    return read_traffic(model, hours=hours)


def check_words(words: Sequence[str]) -> None:
    """Let through what may be said from afar: models of the registry, and options that touch no file.

    Raises `ConfigError` naming the word that may not.

    >>> check_words(["models:/cancer@production", "--port", "0"])
    """
    left = iter(words)
    for word in left:
        option, equals, value = word.partition("=")
        if not word.startswith("-"):
            _check_model(word)
        elif option in _ALONE and not equals:
            continue
        elif option in (*_WITH_VALUES, *_WITH_MODELS):
            value = value if equals else next(left, "")
            if option in _WITH_MODELS:
                _check_model(value)
        else:
            known = ", ".join((*_WITH_VALUES, *_WITH_MODELS, *_ALONE))
            raise ConfigError(f"{option}: from afar a service can be told {known}")


def _check_model(word: str) -> None:
    address = word if word.startswith(("models:/", "runs:/")) else word.partition("=")[2]
    if not address.startswith(("models:/", "runs:/")):
        raise ConfigError(
            f"model {word!r}: models:/NAME@STAGE or models:/NAME/VERSION was expected: from afar no folder "
            "of the studio's machine is served"
        )
