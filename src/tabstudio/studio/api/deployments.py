"""Services by name, and what they were asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from tabstudio.errors import ConfigError
from tabstudio.serving.deployments import Deployment as Found
from tabstudio.serving.deployments import State
from tabstudio.studio.api.asking import Asking, found
from tabstudio.studio.api.shapes import Gone, Shape
from tabstudio.studio.services import deployments as services

router = APIRouter(tags=["deployments"])
_WITH_VALUES = (
    *("--port", "--workers", "--watch", "--max-body", "--max-rows", "--max-in-flight", "--deadline"),
    *("--log-days", "--log-gigabytes", "--mask", "--leave-out"),
)
_WITH_MODELS = ("--canary", "--shadow")
_ALONE = ("--log", "--no-log", "--access-log", "--json-logs", "--trace")


class Deployment(Shape):
    """A service."""

    name: str
    state: State
    url: str = Field(description="Where it answers, empty until it does.")
    words: list[str] = Field(description="What follows `tabstudio serve`.")
    pid: int
    changed: str = Field(description="UTC, ISO 8601.")
    machine: str


class Deployments(Shape):
    """Every service, by name."""

    items: list[Deployment]


class Start(BaseModel):
    """What a service is started with."""

    name: str
    words: list[str] = Field(
        default=[],
        description="What follows `tabstudio serve`: models:/NAME@STAGE and options. Empty: as it was.",
    )


class Log(Shape):
    """The last lines of a service's output."""

    lines: list[str]


class Traffic(Shape):
    """The predictions of a model in the last hours, by version."""

    hours: float
    rows: dict[str, int] = Field(description="Rows by version.")
    requests: dict[str, list[tuple[float, float]]] = Field(
        description="Minutes before now, requests a minute."
    )
    classes: dict[str, dict[str, int]] = Field(description="Rows by version and answer.")
    scores: dict[str, list[float]] = Field(description="Shares of rows by the answer's probability.")
    values: dict[str, list[float]] = Field(description="5, 25, 50, 75 and 95 % quantiles of a regression.")
    labelled: dict[str, tuple[int, float]] = Field(
        description="Rows whose label came later, and the share that was right or the mean error."
    )


@router.get("/deployments", summary="Services and how they are")
def deployments(asking: Asking) -> Deployments:
    """Role: viewer."""
    return Deployments(items=[_shape(one) for one in asking.studio.deployments.list()])


@router.post("/deployments", summary="Start a service, and wait until it answers", status_code=201)
def start(asking: Asking, asked: Start) -> Deployment:
    """Role: editor. Models are those of the registry; it listens on the studio's machine alone."""
    check_words(asked.words)
    return _shape(services.start(asking.studio, asking.who, asked.name, asked.words))


@router.get("/deployments/{name}", summary="One service")
def deployment(asking: Asking, name: str) -> Deployment:
    """Role: viewer."""
    return _shape(found(asking.studio.deployments.find, name))


@router.post("/deployments/{name}/stop", summary="Let a service answer what it was asked, and end")
def stop(asking: Asking, name: str) -> Deployment:
    """Role: editor."""
    found(asking.studio.deployments.find, name)
    return _shape(services.stop(asking.studio, asking.who, name))


@router.get("/deployments/{name}/log", summary="The last lines of its output")
def log(asking: Asking, name: str, lines: Annotated[int, Query(ge=1, le=10_000)] = 100) -> Log:
    """Role: viewer."""
    found(asking.studio.deployments.find, name)
    return Log(lines=[line.rstrip("\n") for line in asking.studio.deployments.output(name, lines)])


@router.delete("/deployments/{name}", summary="Stop a service and forget it, with its output")
def remove(asking: Asking, name: str) -> Gone:
    """Role: editor."""
    found(asking.studio.deployments.find, name)
    services.remove(asking.studio, asking.who, name)
    return Gone()


@router.get("/predictions/{model}", summary="What a model was asked in the last hours, and answered")
def predictions(
    asking: Asking, model: str, hours: Annotated[float, Query(gt=0, le=24 * 366)] = 24.0
) -> Traffic:
    """Role: viewer."""
    from tabstudio.studio.services.traffic import read_traffic

    del asking
    return Traffic.model_validate(read_traffic(model, hours=hours))


def check_words(words: Sequence[str]) -> None:
    """Let through what may be said from afar: models of the registry, and options that touch no file.

    Raises `ConfigError` naming the word that may not.

    >>> check_words(["models:/cancer@production", "--port", "0"])
    """
    left = iter(words)
    for word in left:
        option, given, value = word.partition("=")
        if not word.startswith("-"):
            _check_model(word)
        elif option in _ALONE and not given:
            continue
        elif option in (*_WITH_VALUES, *_WITH_MODELS):
            value = value if given else next(left, "")
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


def _shape(one: Found) -> Deployment:
    return Deployment.model_validate(one)
