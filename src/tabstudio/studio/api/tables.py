"""The tables of the studio: listed, uploaded, looked at."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from tabstudio.errors import ConfigError
from tabstudio.studio.api.asking import Asked, Asking
from tabstudio.studio.api.shapes import Shape

router = APIRouter(tags=["tables"])
Target = Annotated[str | None, Query(description="The column to predict.")]
Options = Annotated[
    str, Query(description="Options of reading, as a JSON object: separator, kind, drop, ...")
]


class Table(Shape):
    """A table of the studio's folder."""

    name: str = Field(description="The path below the folder.")
    bytes: int
    changed: float = Field(description="Seconds since 1970.")


class Tables(Shape):
    """Every table, by name."""

    items: list[Table]


class Column(Shape):
    """A column and why it was taken for what it is."""

    name: str
    kind: str
    role: str
    missing: int
    unique: int
    reason: str
    examples: list[str]


class Schema(Shape):
    """What was guessed of a table, with the reason of each guess."""

    rows: int
    bytes: int | None
    format: str
    separator: str | None
    encoding: str | None
    missing_words: list[str]
    notes: list[list[Any]] = Field(description="What else was noticed: about what, the value, the reason.")
    columns: list[Column]
    target: dict[str, Any] | None


class Exploration(Shape):
    """What a person looks at before training."""

    findings: list[dict[str, Any]] = Field(description="What to mind, the gravest first, with the remedy.")
    charts: dict[str, Any] = Field(description="The numbers of every chart: classes, gaps, associations, ...")


@router.get("/tables", summary="The tables that can be trained on")
def tables(asking: Asking) -> Tables:
    """Role: viewer."""
    return Tables.model_validate({"items": asking.studio.tables.list()})


@router.put(
    "/tables/{name}",
    summary="Upload a table: the body is the file",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
)
async def upload(
    asking: Asking,
    request: Request,
    name: str,
    replace: Annotated[bool, Query(description="Take the place of a table of that name.")] = False,
) -> Table:
    """Role: editor. It is taken whole, or not at all, once it was read and found to be a table."""
    entry = await asking.studio.looks.upload(asking.who, name, request.stream(), replace=replace)
    return Table.model_validate(entry)


@router.get(
    "/tables/{name:path}/schema", summary="Types, roles and gaps of the columns, each with its reason"
)
async def schema(asking: Asking, name: str, target: Target = None, options: Options = "{}") -> Schema:
    """Role: viewer."""
    return Schema.model_validate(await _part(asking, name, target, options, "schema"))


@router.get("/tables/{name:path}/exploration", summary="Findings, and the numbers of every chart")
async def exploration(
    asking: Asking, name: str, target: Target = None, options: Options = "{}"
) -> Exploration:
    """Role: viewer."""
    findings = await _part(asking, name, target, options, "findings")
    charts = await _part(asking, name, target, options, "charts")
    return Exploration(findings=findings["findings"], charts=charts)


async def _part(
    asking: Asked, name: str, target: str | None, options: str, part: Literal["schema", "findings", "charts"]
) -> dict[str, Any]:
    try:
        told = json.loads(options)
    except ValueError as error:
        raise ConfigError(f"options: a JSON object was expected, got {options[:100]!r}") from error
    if not isinstance(told, dict):
        raise ConfigError(f"options: a JSON object was expected, got {options[:100]!r}")
    asking.table(name)
    return await (await asking.studio.looks.look(name, target, told)).part(part)
