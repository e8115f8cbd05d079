"""The REST API keeps its word: paths, parameters and fields are those that were published."""

from __future__ import annotations

import json
from pathlib import Path

from tabstudio.studio.api.app import build

PUBLISHED = Path(__file__).with_name("openapi.json")


def resolved(value, schemas):
    """A part of the document without titles and descriptions, and with what it refers to in its place."""
    if isinstance(value, list):
        return [resolved(part, schemas) for part in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return resolved(schemas[value["$ref"].rpartition("/")[2]], schemas)
    kept = {
        name: {field: resolved(part, schemas) for field, part in content.items()}
        if name == "properties"
        else sorted(content)
        if name == "required" and isinstance(content, list)
        else resolved(content, schemas)
        for name, content in value.items()
        if name not in ("title", "description", "summary", "operationId", "tags")
    }
    answers = kept.pop("responses", {})
    success = next((answers[status] for status in ("200", "201") if status in answers), None)
    return kept if success is None else {**kept, "answer": success}


def test_paths_parameters_and_fields_are_those_that_were_published():
    document = build(None).openapi()  # type: ignore[arg-type]
    offered = resolved(document["paths"], document["components"]["schemas"])
    published = json.loads(PUBLISHED.read_text())
    assert set(offered) == set(published)
    for path, methods in published.items():
        assert offered[path] == methods, path
