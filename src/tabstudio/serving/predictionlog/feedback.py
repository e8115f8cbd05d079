"""Labels that come later: what a prediction should have been, told by request id."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tabstudio.serving.predictionlog.catalogue import Catalogue

Label = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Told:
    """The true label of one row of a request. An empty `model` means any that answered the request."""

    request_id: str
    label: Label
    row: int = 0
    model: str = ""


def store(catalogue: Catalogue, told: Sequence[Told], caller: str) -> int:
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


def history(catalogue: Catalogue, request_id: str) -> list[tuple[int, Label, float, str]]:
    """What was told of a request, the oldest first: row, label, time in Unix seconds, caller."""
    found = catalogue.database.execute(
        "SELECT row, label, at, caller FROM feedback WHERE request_id = ? ORDER BY id", [request_id]
    )
    return [(row, json.loads(label), at, caller) for row, label, at, caller in found]
