"""A form for predictions in the browser, made from the schema, with the answer beside it.

There is no script: the answer opens in a frame of the page, so that the fields stay as they were filled in.
Every text is escaped, and the headers forbid whatever the page does not need.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from tabstudio.report.style import CSS
from tabstudio.report.templates import render
from tabstudio.report.text_format import format_value
from tabstudio.serving.request_hooks import Fault, HttpError
from tabstudio.table.number_formats import with_unit
from tabstudio.table.schema import Column, Label, Schema

MAX_OPTIONS = 30
"""A category of more levels is typed, with suggestions, not picked from a list."""
MAX_SHOWN_CLASSES = 6
MAX_SHOWN_PROBABILITIES = 20
_MISSING_OPTION = ("", "(missing)")
_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class PredictionForm:
    """The form of one served version. `profile` gives typical values, which the fields start with."""

    model: str
    version: str
    schema: Schema
    profile: Mapping[str, Any]

    @property
    def classes(self) -> tuple[Label, ...]:
        """The labels that the version may give; none for a regression."""
        return self.schema.target.classes if self.schema.target else ()

    def page(self) -> str:
        """The form as an HTML page."""
        assert self.schema.target is not None
        profiles = self.profile.get("columns", {})
        return _render(
            "prediction_form.html",
            title=f"Try {self.model}",
            model=self.model,
            version=self.version,
            target=self.schema.target.name,
            classes=_shown_classes(self.classes),
            action=form_path(self.model),
            fields=[_form_field(column, profiles.get(column.name, {})) for column in self.schema.features],
            waiting=_render("prediction_frame.html", title=f"Answer of {self.model}"),
        )

    def rows(self, body: bytes) -> dict[str, Any]:
        """The row of a submitted form: a value per feature, None where the field was left empty.

        Raises `HttpError` (422) naming every field that cannot be read.
        """
        try:
            sent = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10_000))
        except ValueError as error:
            raise HttpError(400, "MALFORMED_FORM", f"the form cannot be read: {error}") from error
        faults: list[Fault] = []
        row = {c.name: _parse_value(c, sent.get(c.name, "").strip(), faults) for c in self.schema.features}
        if faults:
            raise HttpError(422, "INVALID_ROWS", "some fields cannot be read", faults)
        return row


def page_headers() -> dict[str, str]:
    """Headers of the form and the index: styles and a frame of our own, nothing else."""
    return {**_HEADERS, "content-security-policy": _security_policy(frame_src="'self'")}


def answer_headers() -> dict[str, str]:
    """Headers of an answer, which may stand in a frame of ours."""
    policy = _security_policy(form_action="'none'", frame_ancestors="'self'")
    return {**_HEADERS, "content-security-policy": policy}


def form_path(model: str) -> str:
    """The path of a model's form."""
    return f"/try/{quote(model, safe='')}"


def answer_page(answer: Mapping[str, Any]) -> str:
    """An answer of the predict endpoint, for the frame beside the form."""
    (prediction,) = answer["predictions"]
    shares = sorted(prediction.get("probabilities", {}).items(), key=lambda pair: -pair[1])
    return _render(
        "prediction_answer.html",
        title=f"Answer of {answer['model']}",
        label=prediction.get("label", prediction.get("value")),
        shares=shares[:MAX_SHOWN_PROBABILITIES],
        warnings=prediction.get("warnings", ()),
        facts=[
            ("version", answer["version"]),
            ("threshold", answer.get("threshold")),
            ("request", answer["request_id"]),
        ],
    )


def error_page(model: str, error: HttpError) -> str:
    """What is wrong with the fields, for the frame beside the form."""
    messages = [f"{fault['column'] or 'the row'}: {fault['message']}" for fault in error.faults]
    return _render("prediction_error.html", title=f"Answer of {model}", messages=messages or [error.message])


def index_page(models: Sequence[str]) -> str:
    """Links to the forms of all models."""
    links = [(model, form_path(model)) for model in models]
    return _render("prediction_index.html", title="Models", models=links)


@dataclass(frozen=True, slots=True)
class _FormField:
    """A field with its first value; `options` make it a list, `suggestions` are offered while typing."""

    name: str
    kind: str
    value: str = ""
    hint: str = ""
    options: Sequence[tuple[str, str]] = ()
    suggestions: Sequence[str] = ()


def _form_field(column: Column, profile: Mapping[str, Any]) -> _FormField:
    name, kind = column.name, column.kind
    levels: list[str] = list(profile.get("levels", {}))
    if kind == "number":
        return _number_field(column, profile.get("quantiles") or [])
    if kind == "boolean":
        options = (("true", "yes"), ("false", "no"), _MISSING_OPTION)
        return _FormField(name, kind, next(iter(levels), ""), options=options)
    if kind == "category" and levels:
        if profile["unique"] <= min(MAX_OPTIONS, len(levels)):
            choices = [(level, level) for level in sorted(levels)]
            return _FormField(name, kind, levels[0], options=(*choices, _MISSING_OPTION))
        hint = f"{profile['unique']:,} values in training"
        return _FormField(name, kind, levels[0], hint, suggestions=levels)
    if kind == "date":
        return _FormField(name, kind, hint=f"written {column.format or '%Y-%m-%d'}")
    return _FormField(name, kind, hint="text")


def _number_field(column: Column, quantiles: Sequence[float]) -> _FormField:
    if not quantiles:
        return _FormField(column.name, "number", hint="no value in training")
    integer = column.dtype == "Int64"
    median = quantiles[len(quantiles) // 2]
    low, high = (round(q) if integer else q for q in (quantiles[0], quantiles[-1]))
    extent = with_unit(f"{format_value(low)} to {format_value(high)}", column.format)
    value = round(median) if integer else float(f"{median:.6g}")
    return _FormField(column.name, "number", str(value), f"{extent} in training")


def _parse_value(column: Column, text: str, faults: list[Fault]) -> str | float | bool | None:
    if not text:
        return None
    if column.kind not in ("boolean", "number"):
        return text
    value = {"true": True, "false": False}.get(text) if column.kind == "boolean" else _finite(text)
    if value is None:
        wanted = "true or false" if column.kind == "boolean" else "a number"
        message = f"{wanted} was expected, got {text[:80]!r}"
        faults.append({"row": 0, "column": column.name, "message": message})
    return value


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _shown_classes(classes: Sequence[Label]) -> str:
    if not classes:
        return ""
    more = ", …" if len(classes) > MAX_SHOWN_CLASSES else ""
    return f" ({', '.join(map(str, classes[:MAX_SHOWN_CLASSES]))}{more})"


def _render(template: str, **values: object) -> str:
    from markupsafe import Markup

    return render("tabstudio.serving", template, style=Markup(_style()), **values)  # noqa: S704 - our own CSS


@cache
def _style() -> str:
    own = Path(__file__).with_name("templates") / "prediction_form.css"
    return CSS + own.read_text(encoding="utf-8")


def _security_policy(**rules: str) -> str:
    style = base64.b64encode(sha256(_style().encode()).digest()).decode()
    policy = {
        "default-src": "'none'",
        "style-src": f"'sha256-{style}'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    policy |= {name.replace("_", "-"): value for name, value in rules.items()}
    return "; ".join(f"{name} {value}" for name, value in policy.items())
