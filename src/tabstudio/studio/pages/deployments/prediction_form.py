"""A form made from the contract of a service, and its answer beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from html import escape
from typing import Any

from nicegui import ui

from tabstudio.errors import TabstudioError
from tabstudio.report.templates import render
from tabstudio.report.text_format import format_value
from tabstudio.serving.deployments import Deployment
from tabstudio.studio.services import deployments
from tabstudio.studio.services.deployments import ServiceError
from tabstudio.studio.ui.frame import PageView

MOST_OPTIONS = 200
"""A category of more levels is typed, not picked."""
MOST_CLASSES = 20
Property = Mapping[str, Any]


class ServiceForm:
    """One form per model of the service; an empty field is a missing value."""

    def __init__(self, view: PageView, service: Deployment, schemas: Mapping[str, Property]) -> None:
        self.view, self.service, self.schemas = view, service, schemas
        names = list(schemas)
        self.model = names[0]
        if len(names) > 1:
            chosen = ui.select(
                names, label="Model", value=names[0], on_change=lambda e: self._choose(e.value)
            )
            chosen.props("outlined dense options-dense").classes("wide")
        with ui.element("div").classes("try"):
            self.form = ui.element("div")
            with ui.element("div").classes("answer").props('aria-live="polite" role="status"'):
                self.answer = ui.html("<p class='muted'>The answer will stand here.</p>", sanitize=False)
        self._choose(self.model)

    def _choose(self, model: str) -> None:
        self.model = model
        schema = self.schemas[model]
        example = (schema.get("examples") or [{}])[0]
        self.form.clear()
        with self.form:
            with ui.element("div").classes("fields"):
                self.fields = {
                    name: _field(name, kind, example.get(name)) for name, kind in schema["properties"].items()
                }
            with ui.element("div").classes("row-wrap tools"):
                self.button = ui.button("Predict", on_click=self._predict).props("unelevated no-caps")

    async def _predict(self) -> None:
        self.button.props("loading")
        try:
            row = {
                name: _parsed_value(name, kind, self.fields[name].value)
                for name, kind in self.schemas[self.model]["properties"].items()
            }
            answer = await asyncio.to_thread(deployments.predict, self.service, self.model, row)
            self.answer.set_content(answer_markup(answer))
        except ServiceError as error:
            faults = [f"{fault['column'] or 'the row'}: {fault['message']}" for fault in error.faults]
            self.answer.set_content(_problems(faults or [str(error)]))
        except TabstudioError as error:
            self.answer.set_content(_problems([str(error)]))
        finally:
            self.button.props(remove="loading")


def answer_markup(answer: Mapping[str, Any]) -> str:
    """Return an answer as HTML: the label, a bar for each class, warnings, version and request."""
    (prediction,) = answer["predictions"]
    shares = sorted(prediction.get("probabilities", {}).items(), key=lambda pair: -pair[1])
    warnings = prediction.get("warnings", ())
    return render(
        "tabstudio.studio",
        "prediction_answer.html",
        label=prediction.get("label", prediction.get("value")),
        shares=shares[:MOST_CLASSES],
        more=max(len(shares) - MOST_CLASSES, 0),
        warnings=[f"{w['column']}: {w['message']}" if w.get("column") else w["message"] for w in warnings],
        version=answer["version"],
        threshold=answer.get("threshold"),
        request_id=answer["request_id"],
    )


def _problems(texts: list[str]) -> str:
    return "".join(f"<p class='problem'>{escape(text)}</p>" for text in texts)


def _field(name: str, kind: Property, example: object) -> ui.select | ui.input:
    """Return the field of one feature with its typical value and the range of training."""
    types, levels = kind.get("type", []), kind.get("x-categories", [])
    if "boolean" in types:
        field: ui.select | ui.input = ui.select(
            {"true": "yes", "false": "no"}, label=name, value=_boolean_word(example)
        ).props("clearable")
    elif levels and len(levels) <= MOST_OPTIONS:
        value = str(example) if str(example) in levels else None
        field = ui.select(levels, label=name, value=value, with_input=len(levels) > 12).props("clearable")
    else:
        field = ui.input(name, value="" if example is None else plain_value(example))
    hint = _hint(kind)
    if hint:
        field.props["hint"] = hint
    return field.props("outlined dense options-dense").classes("full")


def _hint(kind: Property) -> str:
    if "x-training-range" in kind:
        low, high = kind["x-training-range"]
        return f"{format_value(low)} to {format_value(high)} in training"
    if "x-categories" in kind:
        return f"{len(kind['x-categories']):,} values in training"
    return str(kind.get("description", ""))


def plain_value(value: object) -> str:
    """A value as it is typed: a number without commas.

    >>> plain_value(1234567.0), plain_value("a, b")
    ('1234567', 'a, b')
    """
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _boolean_word(example: Any) -> str | None:
    return {True: "true", False: "false"}.get(example)


def _parsed_value(name: str, kind: Property, entered: object) -> object:
    """Return the value in the contract's type. Raises `ServiceError` for text in place of a number."""
    text = "" if entered is None else str(entered).strip()
    if not text:
        return None
    types = kind.get("type", [])
    if "boolean" in types:
        return text == "true"
    if "number" not in types or "string" in types:
        return text
    try:
        return float(text)
    except ValueError:
        message = f"a number was expected, got {text[:80]!r}"
        raise ServiceError(message, [{"column": name, "message": message}]) from None
