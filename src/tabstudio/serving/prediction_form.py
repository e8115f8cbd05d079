"""The page for people without curl: a form made from the schema, and the answer beside it.

No script at all: the form's answer opens in a frame of the page, so what was typed stays. Every text is
escaped, and the headers forbid whatever the page does not need.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Any
from urllib.parse import parse_qsl, quote

from tabstudio.report.style import CSS
from tabstudio.report.text_format import format_value, shorten
from tabstudio.serving.request_hooks import HttpError
from tabstudio.table.number_formats import with_unit
from tabstudio.table.schema import Column, Label, Schema

MOST_OPTIONS = 30
"""A category of more levels is typed, with suggestions, not picked from a list."""

_CSS = (
    CSS
    + """
.ask{display:grid;grid-template-columns:minmax(0,1fr) minmax(300px,400px);gap:24px;align-items:start;
max-width:1400px;margin:0 auto;padding:0 28px 28px}
.fields{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:18px 20px}
.field{display:flex;flex-direction:column;gap:5px;min-width:0}
.field label{font-weight:600;font-size:.9rem;overflow-wrap:anywhere}
.field small{color:var(--muted);font-size:.78rem;min-height:1.2em}
input,select{font:inherit;width:100%;padding:.48rem .65rem;color:var(--ink);background:var(--paper);
border:1px solid var(--line);border-radius:8px}
input:focus-visible,select:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
input:invalid{border-color:var(--danger)}
.go{position:sticky;bottom:0;background:var(--card);margin:22px -28px -26px;padding:14px 28px;
border-top:1px solid var(--line);border-radius:0 0 14px 14px;display:flex;gap:12px}
button{font:inherit;font-weight:650;padding:.6rem 1.5rem;border:0;border-radius:9px;cursor:pointer;
background:var(--accent);color:var(--card)}
button[type=reset]{background:transparent;color:var(--muted);font-weight:500}
button:focus-visible{outline:2px solid var(--ink);outline-offset:2px}
.answer{position:sticky;top:20px;padding:0;overflow:hidden}
iframe{display:block;width:100%;height:min(620px,calc(100vh - 44px));border:0}
.frame{background:var(--card)}
.frame main{padding:22px 26px}
.label{font-size:2rem;font-weight:700;letter-spacing:-.02em;line-height:1.15;margin:.1rem 0 1rem}
.shares{display:grid;grid-template-columns:minmax(0,auto) minmax(60px,1fr) auto;gap:8px 12px;
align-items:center;
font-size:.92rem;margin:0 0 18px}
.shares span{overflow-wrap:anywhere}
meter{width:100%;height:14px}
dl.fine{display:grid;grid-template-columns:auto minmax(0,1fr);gap:3px 12px;font-size:.84rem;margin:18px 0 0}
dl.fine dt{color:var(--muted)}dl.fine dd{margin:0;overflow-wrap:anywhere}
.frame aside{font-size:.9rem;padding:10px 14px}
@media(max-width:860px){.ask{grid-template-columns:minmax(0,1fr);padding:0 16px 16px}
.answer{position:static}iframe{height:420px}.go{margin:20px -16px -18px;padding:12px 16px}}
"""
)


def _policy(**more: str) -> str:
    style = base64.b64encode(sha256(_CSS.encode()).digest()).decode()
    rules = {
        "default-src": "'none'",
        "style-src": f"'sha256-{style}'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    rules |= {name.replace("_", "-"): value for name, value in more.items()}
    return "; ".join(f"{name} {value}" for name, value in rules.items())


_ALWAYS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
PAGE_HEADERS = {**_ALWAYS, "content-security-policy": _policy(frame_src="'self'")}
ANSWER_HEADERS = {
    **_ALWAYS,
    "content-security-policy": _policy(form_action="'none'", frame_ancestors="'self'"),
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
        """The whole page."""
        target = self.schema.target
        assert target is not None
        of = f" ({', '.join(map(str, target.classes[:6]))}{', …' if len(target.classes) > 6 else ''})"
        action = f"/try/{quote(self.model, safe='')}"
        waiting = escape(_framed(self.model, "<p class='muted'>The answer will stand here.</p>"))
        return _document(
            f"Try {self.model}",
            f"<header><h1>{escape(self.model)}</h1><p class='subtitle'>Version {escape(self.version)} "
            f"predicts <b>{escape(target.name)}</b>{escape(of if target.classes else '')}. "
            "The form starts with typical values of the training rows; an empty field is a missing value.</p>"
            f"</header><div class='ask'><form method='post' action='{action}' target='answer'><section>"
            f"<div class='fields'>{self._fields()}</div>"
            "<div class='go'><button type='submit'>Predict</button><button type='reset'>Typical values"
            "</button></div></section></form><section class='answer'>"
            f"<iframe name='answer' title='Answer' sandbox srcdoc='{waiting}'></iframe></section></div>"
            "<footer>Made by tabstudio from the model's schema. This page asks no other server for anything."
            "</footer>",
        )

    def rows(self, body: bytes) -> dict[str, Any]:
        """The row that a form sent: a value per feature, None where the field was left empty.

        Raises `HttpError` (422) naming every field that cannot be read.
        """
        try:
            sent = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10_000))
        except ValueError as error:
            raise HttpError(400, "MALFORMED_FORM", f"the form cannot be read: {error}") from error
        faults: list[dict[str, Any]] = []
        row = {c.name: _value(c, sent.get(c.name, "").strip(), faults) for c in self.schema.features}
        if faults:
            raise HttpError(422, "INVALID_ROWS", "some fields cannot be read", faults)
        return row

    def _fields(self) -> str:
        known = self.profile.get("columns", {})
        return "".join(
            _field(f"field-{place}", column, known.get(column.name, {}))
            for place, column in enumerate(self.schema.features)
        )


def answer_page(answer: Mapping[str, Any]) -> str:
    """An answer of the predict endpoint, for the frame beside the form."""
    (prediction,) = answer["predictions"]
    label = prediction.get("label", prediction.get("value"))
    shares = sorted(prediction.get("probabilities", {}).items(), key=lambda pair: -pair[1])
    bars = "".join(
        f"<span>{escape(str(name))}</span><meter min='0' max='1' value='{share:.6f}'></meter>"
        f"<span class='n'>{share:.1%}</span>"
        for name, share in shares[:20]
    )
    warnings = "".join(_aside("warning", warning["message"]) for warning in prediction.get("warnings", ()))
    facts = {
        "version": answer["version"],
        "threshold": answer.get("threshold"),
        "request": answer["request_id"],
    }
    fine = "".join(
        f"<dt>{name}</dt><dd>{escape(format_value(value))}</dd>"
        for name, value in facts.items()
        if value is not None
    )
    return _framed(
        answer["model"],
        f"<p class='muted'>prediction</p><p class='label'>{escape(format_value(label))}</p>"
        f"<div class='shares'>{bars}</div>{warnings}<dl class='fine'>{fine}</dl>",
    )


def error_page(model: str, refused: HttpError) -> str:
    """What is wrong with the fields, for the frame beside the form."""
    faults = [f"{fault['column'] or 'the row'}: {fault['message']}" for fault in refused.faults]
    return _framed(model, "".join(_aside("danger", text) for text in faults or [refused.message]))


def index_page(models: Sequence[str]) -> str:
    """Links to the forms of all models."""
    links = "".join(f"<li><a href='/try/{quote(name, safe='')}'>{escape(name)}</a></li>" for name in models)
    return _document(
        "Models",
        f"<header><h1>Models</h1></header><div class='ask'><section><ul>{links}</ul></section></div>",
    )


def _field(place: str, column: Column, facts: Mapping[str, Any]) -> str:
    name = escape(column.name)
    inner, hint = _control(column, facts, place)
    return f"<div class='field'><label for='{place}'>{name}</label>{inner}<small>{escape(hint)}</small></div>"


def _control(column: Column, facts: Mapping[str, Any], place: str) -> tuple[str, str]:
    """The field's element, and the line below it."""
    attributes = f"id='{place}' name='{escape(column.name)}'"
    if column.kind == "number":
        return _number(column, facts.get("quantiles") or [], attributes)
    levels = list(facts.get("levels", {}))
    if column.kind == "boolean":
        return _select([("true", "yes"), ("false", "no")], next(iter(levels), ""), attributes), ""
    if column.kind == "category" and levels:
        if facts["unique"] <= min(MOST_OPTIONS, len(levels)):
            return _select([(level, level) for level in sorted(levels)], levels[0], attributes), ""
        offers = "".join(f"<option value='{escape(level)}'></option>" for level in levels)
        element = f"<input {attributes} list='{place}-list' value='{escape(levels[0])}' autocomplete='off'>"
        known = f"{facts['unique']:,} values in training"
        return f"{element}<datalist id='{place}-list'>{offers}</datalist>", known
    if column.kind == "date":
        return f"<input {attributes} autocomplete='off'>", f"written {column.format or '%Y-%m-%d'}"
    return f"<input {attributes} autocomplete='off'>", "text"


def _number(column: Column, quantiles: Sequence[float], attributes: str) -> tuple[str, str]:
    middle, hint = "", "no value in training"
    if quantiles:
        median = quantiles[len(quantiles) // 2]
        middle = f"{round(median) if column.dtype == 'Int64' else float(f'{median:.6g}')}"
        low, high = (round(q) if column.dtype == "Int64" else q for q in (quantiles[0], quantiles[-1]))
        hint = f"{with_unit(f'{format_value(low)} to {format_value(high)}', column.format)} in training"
    return f"<input type='number' step='any' {attributes} value='{middle}'>", hint


def _select(options: Sequence[tuple[str, str]], chosen: str, attributes: str) -> str:
    parts = [
        f"<option value='{escape(value)}'{' selected' if value == chosen else ''}>"
        f"{escape(shorten(words, 60))}</option>"
        for value, words in (*options, ("", "(missing)"))
    ]
    return f"<select {attributes}>{''.join(parts)}</select>"


def _value(column: Column, text: str, faults: list[dict[str, Any]]) -> Any:
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


def _aside(severity: str, text: str) -> str:
    sign = "<span aria-hidden='true'>!</span>"
    return f"<aside class='{severity}' role='note'>{sign}<div>{escape(text)}</div></aside>"


def _framed(model: str, body: str) -> str:
    return _document(f"Answer of {model}", f"<main aria-live='polite'>{body}</main>", "frame")


def _document(title: str, body: str, kind: str = "") -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head>"
        f'<body class="{kind}">{body}</body></html>\n'
    )
