"""Whatever comes in, no path fails: it is answered, or refused with a documented status in the one shape."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Asking
from .test_app import v2

DOCUMENTED = {200, 400, 413, 415, 422}
Rows = list[dict[str, Any]]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from([1e308, -1e308, 5e-324, "\ud800", "\0", "NaN", "1e999", "12,5", "2014-01-31", " "]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def bodies(rows: Rows) -> list[tuple[str, Any]]:
    """A fitting body for every path and form."""
    names, values = list(rows[0]), [list(row.values()) for row in rows]
    return [
        ("/v1/models/ills/predict", {"rows": rows}),
        ("/invocations", {"dataframe_split": {"columns": names, "data": values, "index": [0, 1]}}),
        ("/invocations", {"dataframe_records": rows}),
        ("/invocations", {"instances": rows}),
        ("/invocations", {"inputs": {name: [row[name] for row in rows] for name in names}}),
        ("/v2/models/ills/infer", v2(rows, id="x", outputs=[{"name": "prediction"}])),
    ]


def spots(document: Any) -> list[tuple[Any, Any]]:
    """Every place in a document where something else could stand."""
    inside = document.items() if isinstance(document, dict) else enumerate(document)
    found = []
    for key, value in inside:
        found.append((document, key))
        if isinstance(value, dict | list):
            found += spots(value)
    return found


def test_documents_with_anything_in_them(asking: Asking, rows: Rows) -> None:
    @settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.integers(0, 5), st.lists(st.tuples(st.integers(0, 10_000), VALUES), min_size=1, max_size=3))
    def check(which: int, changes: list[tuple[int, Any]]) -> None:
        path, document = json.loads(json.dumps(bodies(rows[3:5])[which]))
        for place, value in changes:
            places = spots(document)
            holder, key = places[place % len(places)]
            holder[key] = value
        body = json.dumps(document, ensure_ascii=bool(changes[0][0] % 2)).encode("utf-8", "surrogatepass")
        verify(asking, path, body, {"content-type": "application/json"})

    check()


def test_bytes_of_any_kind(asking: Asking, rows: Rows) -> None:
    seeds = [(path, json.dumps(document).encode()) for path, document in bodies(rows[3:5])]
    seeds.append(("/invocations", ",".join(rows[0]).encode() + b"\n1,2,true,Rome,x,01.01.2014,,hello\n"))

    @settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(
        st.integers(0, len(seeds) - 1),
        st.integers(0, 3000),
        st.integers(0, 40),
        st.binary(max_size=12),
        st.sampled_from(
            ["application/json", "application/json; charset=latin-1", "text/csv", "text/plain", ""]
        ),
        st.none() | st.integers(-1, 3000),
    )
    def check(which: int, start: int, length: int, new: bytes, kind: str, head: int | None) -> None:
        path, body = seeds[which]
        body = body[:start] + new + body[start + length :]
        headers = {"content-type": kind} if kind else {}
        if head is not None:
            headers["inference-header-content-length"] = str(head)
        verify(asking, path, body, headers)

    check()


def verify(asking: Asking, path: str, body: bytes, headers: dict[str, str]) -> None:
    answer = asking.post(path, content=body, headers=headers)
    assert answer.status_code in DOCUMENTED, answer.text
    said = answer.json()
    if answer.status_code != 200:
        assert set(said) == {"error", "error_code", "faults", "request_id"}
        return
    for prediction in said.get("predictions", []):
        found = prediction.get("probabilities", prediction)
        assert all(value is not None for value in found.values())
