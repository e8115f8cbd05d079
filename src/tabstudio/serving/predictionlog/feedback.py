"""Labels that come later: what a prediction should have been, told by request id."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabstudio.serving.predictionlog.catalog import LogCatalog
from tabstudio.serving.predictionlog.privacy import cell_text
from tabstudio.serving.request_hooks import HttpError

Label = str | int | float | bool
_FIELDS = {"request_id", "label", "row", "model"}
_FORM = 'expected {"feedback": [{"request_id": "...", "label": ..., "row": 0, "model": "..."}, ...]}'


@dataclass(frozen=True, slots=True)
class FeedbackLabel:
    """The true label of one row of a request. An empty `model` means any that answered the request."""

    request_id: str
    label: Label
    row: int = 0
    model: str = ""


def parse_feedback(document: Any, classes: Mapping[str, Sequence[Label]], most: int) -> list[FeedbackLabel]:
    """Take a parsed body to labels. `classes` of each served model, none for a regression, bound them.

    Raises `HttpError`: 422 naming all faults by their place in the list, 413 for more than `most`.
    """
    several = document.get("feedback") if isinstance(document, dict) else None
    if not isinstance(several, list) or len(document) != 1 or not several:
        raise HttpError(422, "INVALID_REQUEST", _FORM)
    if len(several) > most:
        raise HttpError(
            413, "TOO_MANY_ROWS", f"at most {most:,} labels are taken at a time, got {len(several):,}"
        )
    faults: list[dict[str, Any]] = []
    told = [_told(place, one, classes, faults) for place, one in enumerate(several)]
    if faults:
        first = faults[0]
        raise HttpError(422, "INVALID_ROWS", f"label {first['row']}: {first['message']}", faults[:100])
    return [one for one in told if one is not None]


def store_feedback(catalogue: LogCatalog, told: Sequence[FeedbackLabel], caller: str) -> int:
    """Keep labels, durable when this returns; the number of those that say something new.

    The same label told twice is kept once; another label for the same row wins from now on, and the one
    before stays in the history.
    """
    now = time.time()
    with catalogue.transaction() as database:
        before = database.total_changes
        database.executemany(
            "INSERT INTO feedback (request_id, row, model, label, at, caller) SELECT ?1, ?2, ?3, ?4, ?5, ?6 "
            "WHERE ?4 IS NOT (SELECT label FROM feedback WHERE request_id = ?1 AND row = ?2 AND model = ?3 "
            "ORDER BY id DESC LIMIT 1)",
            [(t.request_id, t.row, t.model, json.dumps(t.label), now, caller) for t in told],
        )
        return database.total_changes - before


def feedback_history(catalogue: LogCatalog, request_id: str) -> list[tuple[int, Label, float, str]]:
    """What was told of a request, the oldest first: row, label, time in Unix seconds, caller."""
    found = catalogue.database.execute(
        "SELECT row, label, at, caller FROM feedback WHERE request_id = ? ORDER BY id", [request_id]
    )
    return [(row, json.loads(label), at, caller) for row, label, at, caller in found]


def _told(
    place: int, one: Any, classes: Mapping[str, Sequence[Label]], faults: list[dict[str, Any]]
) -> FeedbackLabel | None:
    known = len(faults)

    def wrong(column: str | None, message: str) -> None:
        faults.append({"row": place, "column": column, "message": message})

    if not isinstance(one, dict) or not {"request_id", "label"} <= one.keys() <= _FIELDS:
        wrong(None, _FORM)
        return None
    told = FeedbackLabel(one["request_id"], one["label"], one.get("row", 0), one.get("model", ""))
    if not isinstance(told.request_id, str) or not 0 < len(told.request_id) <= 128:
        wrong("request_id", "the id of an answered request was expected, a string of at most 128 characters")
    if type(told.row) is not int or not 0 <= told.row < 2**32:
        wrong("row", "the place of the row in its request was expected, from 0")
    if not isinstance(told.model, str) or (told.model and told.model not in classes):
        wrong("model", f"a model that is served here was expected: {', '.join(classes)}")
    elif fault := _misfit(told.label, classes, told.model):
        wrong("label", fault)
    return told if len(faults) == known else None


def _misfit(label: Any, classes: Mapping[str, Sequence[Label]], model: str) -> str:
    """What is wrong with a label of a model, or of any that is served."""
    if not isinstance(label, Label) or (isinstance(label, float) and not math.isfinite(label)):
        return "a string, a number, true or false was expected"
    asked = [classes[model]] if model else list(classes.values())
    if any(cell_text(label) in map(cell_text, labels) if labels else _is_number(label) for labels in asked):
        return ""
    known = [cell_text(known) for labels in asked for known in labels]
    return f"one of {', '.join(known[:20])} was expected" if known else "a number was expected"


def _is_number(label: Label) -> bool:
    return isinstance(label, int | float) and not isinstance(label, bool)
