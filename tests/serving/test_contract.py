"""What fits is read, what does not is named; the quick way and the careful one are of one mind."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabstudio.model.predictor import Model
from tabstudio.serving import strict_json
from tabstudio.serving.contract import Contract
from tabstudio.serving.request_hooks import HttpError

MOST = 50
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def outcome(read: Any) -> Any:
    """Rows, or status and code of the refusal."""
    try:
        return read().raw
    except HttpError as refused:
        return refused.status, refused.code


def careful(contract: Contract, body: bytes) -> Any:
    """Read a body without any short cut."""
    document = strict_json.parse(body)
    if not isinstance(document, dict) or set(document) != {"rows"} or not isinstance(document["rows"], list):
        raise HttpError(422, "INVALID_REQUEST", "")
    return contract.take(document["rows"], MOST)


def test_both_ways_read_the_same_from_any_body(model: Model, rows: list[dict[str, Any]]) -> None:
    contract = Contract(model.schema, model.encoder)
    names = [*contract.names, "more", "a:b"]
    change = st.tuples(st.sampled_from(names), ANY)
    mangled = st.tuples(st.integers(0, 399), st.lists(change, max_size=3), st.sampled_from([None, *names]))

    @settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(mangled, max_size=3), st.booleans(), st.integers(0, 60), st.sampled_from(_TWISTS))
    def check(parts: list[Any], ascii_only: bool, cut: int, twist: Any) -> None:
        made = []
        for place, changes, dropped in parts:
            row = rows[place] | dict(changes)
            row.pop(dropped, None)
            made.append(row)
        text = json.dumps({"rows": made}, ensure_ascii=ascii_only, allow_nan=True)
        body = twist(text).encode("utf-8", "surrogatepass")
        body = body[:-cut] if cut > 55 else body
        assert outcome(lambda: contract.read(body, MOST)) == outcome(lambda: careful(contract, body))

    check()


_TWISTS = [
    lambda text: text,
    lambda text: text.replace('"age": ', '"age": 1, "age": ', 1),
    lambda text: text.replace('{"rows"', '{"rows": [], "rows"', 1),
    lambda text: text.replace('{"rows"', '{"more": 1, "rows"', 1),
    lambda text: text.replace('"age"', '"\\u0061ge"', 1),
    lambda text: text.replace('"weight: kg"', '"weight\\u003a kg"', 1),
    lambda text: re.sub(r"\d+", "1e999", text, count=1),
    lambda text: re.sub(r"\d+", "9" * 400, text, count=1),
    lambda text: text.replace(" ", "\n\t ").replace(":", " :"),
    lambda text: "\ufeff" + text,
    lambda text: text + " ",
    lambda text: text + "x",
]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b'{"rows": [{"age": NaN}]}', "invalid character"),
        (b'{"rows": [{"age": Infinity}]}', "invalid character"),
        (b'{"rows": [{"age": 1e999}]}', "out of range"),
        (b'{"rows": [{"age": ' + b"9" * 400 + b"}]}", "out of range|beyond the range"),
        (b'{"rows": [{"age": 1, "age": 2}]}', "'age' stands twice"),
        (b'{"rows": [], "rows": []}', "'rows' stands twice"),
        (b'{"rows": [{"city": "\xff"}]}', "not UTF-8"),
        (b'{"rows": [{"city": "\\ud800"}]}', "surrogate|truncated"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"rows": ' + b'{"a": ' * 2000 + b"1" + b"}" * 2001, "nested too deeply"),
        (b"\xef\xbb\xbf{}", "invalid character"),
        (b'{"rows": [{"age": 01}]}', "invalid number"),
        (b"\x00", "invalid character"),
    ],
)
def test_what_is_no_strict_json_is_refused(model: Model, body: bytes, said: str) -> None:
    with pytest.raises(HttpError, match=f"strict JSON, but .*({said})") as caught:
        Contract(model.schema, model.encoder).read(body, MOST)
    assert (caught.value.status, caught.value.code) == (400, "MALFORMED_JSON")


def test_all_faults_are_named_at_once(model: Model, rows: list[dict[str, Any]]) -> None:
    contract = Contract(model.schema, model.encoder)
    bad = [
        {**rows[0], "age": "old", "smoker": 1},
        rows[1],
        {**rows[2], "city": 3, "seen": 20140101},
        "no row",
        {name: value for name, value in rows[4].items() if name != "weight: kg"},
    ]
    with pytest.raises(HttpError) as caught:
        contract.read(json.dumps({"rows": bad}).encode(), MOST)
    refused = caught.value
    assert (refused.status, refused.code) == (422, "INVALID_ROWS")
    assert [(f["row"], f["column"]) for f in refused.faults] == [
        (0, "age"),
        (0, "smoker"),
        (2, "city"),
        (2, "seen"),
        (3, None),
        (4, "weight: kg"),
    ]
    assert refused.faults[0]["message"] == "a number or null was expected, got 'old'"
    assert (
        refused.message == "row 0, column 'age': a number or null was expected, got 'old' (and 5 more faults)"
    )


def test_dates_are_read_as_training_wrote_them(model: Model, rows: list[dict[str, Any]]) -> None:
    contract = Contract(model.schema, model.encoder)
    bad = [{**rows[0], "seen": "2014-01-31"}, {**rows[0], "seen": "31.02.2014"}, {**rows[0], "seen": ""}]
    with pytest.raises(HttpError) as caught:
        contract.read(json.dumps({"rows": bad}).encode(), MOST)
    assert [f["row"] for f in caught.value.faults] == [0, 1]
    assert (
        "a date written %d.%m.%Y or null was expected, got '2014-01-31'" in caught.value.faults[0]["message"]
    )


@pytest.mark.parametrize(("count", "status"), [(0, 422), (MOST, 200), (MOST + 1, 413)])
def test_the_number_of_rows_is_bounded(
    model: Model, rows: list[dict[str, Any]], count: int, status: int
) -> None:
    contract = Contract(model.schema, model.encoder)
    found = outcome(lambda: contract.read(json.dumps({"rows": rows[:count]}).encode(), MOST))
    assert (found[0] if status != 200 else 200) == status
