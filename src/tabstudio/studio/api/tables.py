"""The tables of the studio: listed, uploaded, looked at."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from tabstudio.errors import ConfigError
from tabstudio.remote import paths
from tabstudio.remote.shapes import JsonShape, named, shape
from tabstudio.studio.api.request_context import ApiContext, Context
from tabstudio.studio.services.tables.table_folder import TableEntry

router = APIRouter(tags=["tables"])
Target = Annotated[str | None, Query(description="The column to predict.")]
Options = Annotated[
    str, Query(description="Options of reading, as a JSON object: separator, kind, drop, ...")
]


EntryShape = shape(TableEntry)
Entries = named("Tables", "Every table, by name.", items=list[EntryShape])  # type: ignore[valid-type]


class ColumnGuess(JsonShape):
    """A column and why it was taken for what it is."""

    name: str
    kind: str
    role: str
    missing: int
    unique: int
    reason: str
    examples: list[str]


class TableSchema(JsonShape):
    """What was guessed of a table, with the reason of each guess."""

    rows: int
    bytes: int | None
    format: str
    separator: str | None
    encoding: str | None
    missing_words: list[str]
    notes: list[list[Any]] = Field(description="What else was noticed: about what, the value, the reason.")
    columns: list[ColumnGuess]
    target: dict[str, Any] | None


class TableExploration(JsonShape):
    """What a person looks at before training."""

    findings: list[dict[str, Any]] = Field(description="What to mind, the gravest first, with the remedy.")
    charts: dict[str, Any] = Field(description="The numbers of every chart: classes, gaps, associations, ...")


@router.get(paths.TABLES, summary="The tables that can be trained on", response_model=Entries)
def tables(context: Context) -> object:
    """Role: viewer."""
    return {"items": context.studio.tables.list()}


@router.put(
    paths.TABLE,
    summary="Upload a table: the body is the file",
    status_code=201,
    response_model=EntryShape,
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
)
async def upload(
    context: Context,
    request: Request,
    name: str,
    replace: Annotated[bool, Query(description="Take the place of a table of that name.")] = False,
) -> object:
    """Role: editor. It is taken whole, or not at all, once it was read and found to be a table."""
    return await context.studio.previews.upload(context.who, name, request.stream(), replace=replace)


@router.get(paths.TABLE_SCHEMA, summary="Types, roles and gaps of the columns, each with its reason")
async def schema(context: Context, name: str, target: Target = None, options: Options = "{}") -> TableSchema:
    """Role: viewer."""
    return TableSchema.model_validate(await _part(context, name, target, options, "schema"))


@router.get(paths.TABLE_EXPLORATION, summary="Findings, and the numbers of every chart")
async def exploration(
    context: Context, name: str, target: Target = None, options: Options = "{}"
) -> TableExploration:
    """Role: viewer."""
    findings = await _part(context, name, target, options, "findings")
    charts = await _part(context, name, target, options, "charts")
    return TableExploration(findings=findings["findings"], charts=charts)


async def _part(
    context: ApiContext,
    name: str,
    target: str | None,
    options: str,
    part: Literal["schema", "findings", "charts"],
) -> dict[str, Any]:
    try:
        reading = json.loads(options)
    except ValueError as error:
        raise ConfigError(f"options: a JSON object was expected, got {options[:100]!r}") from error
    if not isinstance(reading, dict):
        raise ConfigError(f"options: a JSON object was expected, got {options[:100]!r}")
    context.table(name)
    return await (await context.studio.previews.open(name, target, reading)).part(part)
