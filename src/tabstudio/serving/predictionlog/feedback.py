"""Feedback: the true labels of predictions, sent later by request id."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tabstudio.serving.predictionlog.catalog import LogCatalog
from tabstudio.serving.predictionlog.privacy import cell_text
from tabstudio.serving.request_hooks import Fault, HttpError

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


def parse_feedback(
    document: object, classes: Mapping[str, Sequence[Label]], max_labels: int
) -> list[FeedbackLabel]:
    """Read the labels of a parsed body, checked by the `classes` of each served model (none: a regression).

    Raises `HttpError`: 422 with all faults by their position in the list, 413 for more than `max_labels`.
    """
    entries = document["feedback"] if isinstance(document, dict) and [*document] == ["feedback"] else None
    if not isinstance(entries, list) or not entries:
        raise HttpError(422, "INVALID_REQUEST", _FORM)
    if len(entries) > max_labels:
        raise HttpError(
            413, "TOO_MANY_ROWS", f"at most {max_labels:,} labels are taken at a time, got {len(entries):,}"
        )
    faults: list[Fault] = []
    labels = [_label(number, entry, classes, faults) for number, entry in enumerate(entries)]
    if faults:
        first = faults[0]
        raise HttpError(422, "INVALID_ROWS", f"label {first['row']}: {first['message']}", faults[:100])
    return [label for label in labels if label is not None]


def store_feedback(catalog: LogCatalog, labels: Sequence[FeedbackLabel], caller: str) -> int:
    """Store labels, durable when this returns; return the number of new ones.

    The same label sent twice is stored once; another label for the same row wins from now on, and the one
    before stays in the history.
    """
    now = time.time()
    with catalog.transaction() as database:
        before = database.total_changes
        database.executemany(
            "INSERT INTO feedback (request_id, row, model, label, at, caller) SELECT ?1, ?2, ?3, ?4, ?5, ?6 "
            "WHERE ?4 IS NOT (SELECT label FROM feedback WHERE request_id = ?1 AND row = ?2 AND model = ?3 "
            "ORDER BY id DESC LIMIT 1)",
            [(t.request_id, t.row, t.model, json.dumps(t.label), now, caller) for t in labels],
        )
        return database.total_changes - before


def feedback_history(catalog: LogCatalog, request_id: str) -> list[tuple[int, Label, float, str]]:
    """The feedback on a request, the oldest first: row, label, time in Unix seconds, caller."""
    rows = catalog.database.execute(
        "SELECT row, label, at, caller FROM feedback WHERE request_id = ? ORDER BY id", [request_id]
    )
    return [(row, json.loads(label), at, caller) for row, label, at, caller in rows]


def _label(
    number: int, entry: object, classes: Mapping[str, Sequence[Label]], faults: list[Fault]
) -> FeedbackLabel | None:
    before = len(faults)

    def wrong(column: str | None, message: str) -> None:
        faults.append({"row": number, "column": column, "message": message})

    if not isinstance(entry, dict) or not {"request_id", "label"} <= entry.keys() <= _FIELDS:
        wrong(None, _FORM)
        return None
    label = FeedbackLabel(entry["request_id"], entry["label"], entry.get("row", 0), entry.get("model", ""))
    if not isinstance(label.request_id, str) or not 0 < len(label.request_id) <= 128:
        wrong("request_id", "the id of an answered request was expected, a string of at most 128 characters")
    if type(label.row) is not int or not 0 <= label.row < 2**32:
        wrong("row", "the place of the row in its request was expected, from 0")
    if not isinstance(label.model, str) or (label.model and label.model not in classes):
        wrong("model", f"a model that is served here was expected: {', '.join(classes)}")
    elif fault := _label_fault(label.label, classes, label.model):
        wrong("label", fault)
    return label if len(faults) == before else None


def _label_fault(label: object, classes: Mapping[str, Sequence[Label]], model: str) -> str:
    """What is wrong with a label of a model, or of any that is served."""
    if not isinstance(label, Label) or (isinstance(label, float) and not math.isfinite(label)):
        return "a string, a number, true or false was expected"
    candidates = [classes[model]] if model else list(classes.values())
    if any(
        cell_text(label) in map(cell_text, labels) if labels else _is_number(label) for labels in candidates
    ):
        return ""
    known = [cell_text(known) for labels in candidates for known in labels]
    return f"one of {', '.join(known[:20])} was expected" if known else "a number was expected"


def _is_number(label: Label) -> bool:
    return isinstance(label, int | float) and not isinstance(label, bool)
