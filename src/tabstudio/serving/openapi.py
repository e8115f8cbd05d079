"""The OpenAPI 3.1 document of the served models, made from their schemas."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from tabstudio._version import __version__
from tabstudio.serving.batching import Endpoint
from tabstudio.serving.contract import ContractField
from tabstudio.serving.runtime import Runtime
from tabstudio.serving.serve_options import Bounds
from tabstudio.table.number_formats import with_unit
from tabstudio.table.schema import Column

JsonObject = dict[str, Any]

_ERRORS = {
    "400": "The body is no strict JSON, or the host is not ours.",
    "401": "A token is demanded, and none or a wrong one came.",
    "403": "The token does not allow this.",
    "408": "The request did not arrive in time.",
    "413": "The body is too large, or has too many rows.",
    "415": "The content type or encoding is not understood.",
    "422": "The rows do not fit the model: every fault is named.",
    "429": "Too many requests are being answered; come again after `Retry-After` seconds.",
    "503": "The server is about to end, or the deadline passed; come again after `Retry-After` seconds.",
}


def document(endpoints: Mapping[str, Endpoint], bounds: Bounds) -> JsonObject:
    """Return the whole document."""
    paths: JsonObject = {}
    schemas: JsonObject = {"Error": _error(), "Warning": _warning()}
    for endpoint in endpoints.values():
        runtime = endpoint.live.runtime
        key = _key(endpoint.name, schemas)
        schemas[f"{key}Row"] = row_schema(runtime)
        schemas[f"{key}Request"] = _request(key, bounds)
        schemas[f"{key}Answer"] = _answer(runtime)
        paths[f"/v1/models/{endpoint.name}/predict"] = {"post": _predict(endpoint.name, key)}
        paths[f"/v1/models/{endpoint.name}/reload"] = {"post": _reload(endpoint.name)}
        paths[f"/v1/models/{endpoint.name}"] = {
            "get": {"tags": [endpoint.name], **_get(f"What {endpoint.name} is.", "Model")}
        }
    paths["/v1/models"] = {"get": {"tags": ["server"], **_get("The models that are served.", "Models")}}
    health = {"summary": "Whether the server lives.", "responses": {"200": _without_schema("It does.")}}
    paths["/health"] = {"get": {"tags": ["server"], **health, "security": []}}
    schemas["Model"] = _OBJECT
    schemas["Models"] = {
        "type": "object",
        "properties": {"models": {"type": "array", "items": _ref("Model")}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "tabstudio", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _key(name: str, schemas: Mapping[str, object]) -> str:
    """A model's name in the characters of a schema's name, each once."""
    key = re.sub(r"\W+", "_", name, flags=re.ASCII)
    while f"{key}Row" in schemas:
        key += "_"
    return key


def row_schema(runtime: Runtime) -> JsonObject:
    """JSON Schema of one row."""
    fields = runtime.contract.fields
    columns = runtime.profile.get("columns", {})
    example = dict(zip(runtime.contract.names, runtime.example_rows(1)[0], strict=True))
    return {
        "type": "object",
        "properties": {field.name: _property(field, columns.get(field.name, {})) for field in fields},
        "required": list(runtime.contract.names),
        "examples": [example],
    }


def _property(field: ContractField, profile: Mapping[str, Any]) -> JsonObject:
    kind = field.column.kind
    if kind == "number":
        return _number(field.column, profile)
    if kind == "boolean":
        return {"type": ["boolean", "null"]}
    if kind == "category":
        return _category(field, profile)
    written = f" written {field.column.format}" if field.column.format else ", as ISO 8601"
    return {"type": ["string", "null"], "description": f"A date{written}." if kind == "date" else "A text."}


def _number(column: Column, profile: Mapping[str, Any]) -> JsonObject:
    schema: JsonObject = {"type": ["number", "null"]}
    quantiles = profile.get("quantiles")
    if (
        quantiles
        and None not in (quantiles[0], quantiles[-1])
        and math.isfinite(quantiles[-1] - quantiles[0])
    ):
        extent = with_unit(f"{quantiles[0]:.6g} to {quantiles[-1]:.6g}", column.format)
        schema["description"] = f"Training had {extent}; beyond it a warning comes."
        schema["x-training-range"] = [quantiles[0], quantiles[-1]]
        schema["examples"] = [quantiles[len(quantiles) // 2]]
    return schema


def _category(field: ContractField, profile: Mapping[str, Any]) -> JsonObject:
    types = ["string", "number", "null"] if field.counted else ["string", "null"]
    levels = sorted(field.levels or profile.get("levels", {}))
    if not levels:
        return {"type": types}
    names = ", ".join(levels[:20]) + (", ..." if len(levels) > 20 else "")
    description = f"Training knew {names}; any other is answered with a warning."
    return {"type": types, "description": description, "x-categories": levels, "examples": levels[:3]}


def _request(key: str, bounds: Bounds) -> JsonObject:
    # no maxItems: more rows fit the schema, but are refused as too large (413)
    description = f"At most {bounds.rows:,} rows at a time; more are answered with 413."
    rows = {"type": "array", "items": _ref(f"{key}Row"), "minItems": 1, "description": description}
    return _closed_object({"rows": rows})


def _answer(runtime: Runtime) -> JsonObject:
    warnings = {"type": "array", "items": _ref("Warning")}
    one: JsonObject = {"value": {"type": "number"}, "warnings": warnings}
    if runtime.classes:
        probabilities = {name: {"type": "number", "minimum": 0, "maximum": 1} for name in runtime.class_names}
        one = {
            "label": {"enum": list(runtime.classes)},
            "probabilities": _closed_object(probabilities),
            "warnings": warnings,
        }
    prediction = _closed_object(one)
    prediction["required"].remove("warnings")
    properties = {
        "model": {"type": "string"},
        "version": {"type": "string"},
        "request_id": {"type": "string"},
        "threshold": {"type": ["number", "null"]},
        "predictions": {"type": "array", "items": prediction},
    }
    return _closed_object(properties)


def _predict(name: str, key: str) -> JsonObject:
    header = {"in": "header", "required": False, "schema": {"type": "string"}}
    return {
        "tags": [name],
        "summary": f"Predict rows with {name}.",
        "operationId": f"predict_{key}",
        "parameters": [
            {**header, "name": "X-Request-Id", "description": "Your own id of the request; it comes back."},
            {**header, "name": "X-Routing-Key", "description": "Requests with one key get one version."},
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(f"{key}Request")}}},
        "responses": {"200": _json("The predictions, row for row.", f"{key}Answer"), **_errors()},
    }


def _reload(name: str) -> JsonObject:
    return {
        "tags": [name],
        "summary": f"Look whether {name} has a newer version, and serve it.",
        "responses": {
            "200": _json("What is served now.", "Model"),
            "409": _json("The new version is not served; the old one goes on.", "Error"),
            **_errors(),
        },
    }


def _get(summary: str, schema: str) -> JsonObject:
    return {"summary": summary, "responses": {"200": _json("What was asked for.", schema), **_errors()}}


def _errors() -> JsonObject:
    return {status: _json(text, "Error") for status, text in _ERRORS.items()}


def _json(text: str, schema: str) -> JsonObject:
    return {"description": text, "content": {"application/json": {"schema": _ref(schema)}}}


def _without_schema(text: str) -> JsonObject:
    return {"description": text, "content": {"application/json": {}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _closed_object(properties: JsonObject) -> JsonObject:
    return {**_object(properties), "additionalProperties": False}


def _error() -> JsonObject:
    fault = _object(
        {
            "row": {"type": "integer"},
            "column": {"type": ["string", "null"]},
            "message": {"type": "string"},
        }
    )
    properties = {
        "error": {"type": "string"},
        "error_code": {"type": "string"},
        "faults": {"type": "array", "items": fault},
        "request_id": {"type": "string"},
    }
    return _object(properties)


def _warning() -> JsonObject:
    codes = ["imputed", "out_of_range", "unseen_category"]
    properties = {"column": {"type": "string"}, "code": {"enum": codes}, "message": {"type": "string"}}
    return _object(properties)


_OBJECT: JsonObject = {"type": "object"}
_DESCRIPTION = (
    "Models of tables. Rows are objects of columns, as raw as they stand in the table; rows count from 0. "
    "MLflow's /invocations and the Open Inference Protocol V2 are answered, too."
)
