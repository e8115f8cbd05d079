"""The form page: made from the schema, harmless whatever a table's words are, and read back strictly."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from html.parser import HTMLParser
from urllib.parse import urlencode

import polars as pl
import pytest

from tabstudio.model.profile import profile
from tabstudio.serving.prediction_form import (
    PredictionForm,
    answer_headers,
    answer_page,
    error_page,
    index_page,
    page_headers,
)
from tabstudio.serving.request_hooks import HttpError
from tabstudio.table.schema import Column, Schema, Target

EVIL = "\"'><script>alert(1)</script>&"
SCHEMA = Schema(
    (
        Column("age", "number", dtype="Int64"),
        Column("weight", "number", dtype="Float64"),
        Column("smoker", "boolean", dtype="Boolean"),
        Column(EVIL, "category"),
        Column("street", "category"),
        Column("born", "date", dtype="Date", format="%d.%m.%Y"),
        Column("note", "text"),
        Column("empty", "number", dtype="Float64"),
        Column("ill", "category", "target"),
    ),
    Target("ill", "binary", (EVIL, "no"), "no"),
)
ROWS = pl.DataFrame(
    {
        "age": [20, 30, 41] * 20,
        "weight": [50.5, 70.25, 90.125] * 20,
        "smoker": [True, True, False] * 20,
        EVIL: [EVIL, EVIL, "x"] * 20,
        "street": [f"street {n}" for n in range(60)],
        "born": pl.Series(["2001-02-03"] * 60).str.to_date(),
        "note": ["some words"] * 60,
        "empty": pl.Series([None] * 60, dtype=pl.Float64),
    }
)
FORM = PredictionForm(EVIL, "3", SCHEMA, profile(ROWS, SCHEMA))


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def named(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def sent(**fields):
    return FORM.rows(urlencode(fields).encode())


def test_each_feature_has_a_control_of_its_kind_with_a_typical_value():
    page = Elements(FORM.page())
    inputs = {field["name"]: field for field in page.named("input")}
    assert [select["name"] for select in page.named("select")] == ["smoker", EVIL]
    assert list(inputs) == ["age", "weight", "street", "born", "note", "empty"]
    assert (inputs["age"]["value"], inputs["weight"]["value"]) == ("30", "70.25")
    assert inputs["empty"]["value"] == ""
    chosen = [option["value"] for option in page.named("option") if "selected" in option]
    assert chosen == ["true", EVIL]
    assert len(page.named("datalist")) == 1
    labelled = {label["for"] for label in page.named("label")}
    assert labelled == {field["id"] for field in [*page.named("input"), *page.named("select")]}


def test_the_page_says_what_training_saw():
    text = FORM.page()
    assert "20 to 41 in training" in text
    assert "50.5 to 90.12 in training" in text
    assert "60 values in training" in text
    assert "written %d.%m.%Y" in text


PAGES = {
    "form": FORM.page(),
    "answer": answer_page(
        {
            "model": EVIL, "version": EVIL, "request_id": "r-1", "threshold": 0.25,
            "predictions": [{
                "label": EVIL, "probabilities": {EVIL: 0.875, "no": 0.125},
                "warnings": [{"column": EVIL, "code": "unseen_category", "message": f"{EVIL} is new"}],
            }],
        }
    ),
    "refusal": error_page(
        EVIL, HttpError(422, "X", EVIL, [{"row": 0, "column": EVIL, "message": EVIL}])
    ),
    "message": error_page(EVIL, HttpError(503, "X", EVIL)),
    "index": index_page([EVIL, "b"]),
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_no_word_of_a_table_becomes_markup(name):
    page = Elements(PAGES[name])
    tags = {tag for tag, _ in page.found}
    assert not tags & {"script", "img", "link", "object", "embed"}
    assert not [key for _, attributes in page.found for key in attributes if key.startswith("on")]
    assert "<script" not in PAGES[name]


@pytest.mark.parametrize("name", PAGES)
def test_no_page_asks_another_server(name):
    text = re.sub(r"<style>.*?</style>", "", PAGES[name], flags=re.DOTALL)
    assert not re.findall(r"https?:|//\w|url\(", text)
    for _, attributes in Elements(text).found:
        for key in ("href", "action", "src"):
            assert attributes.get(key, "/").startswith("/")


@pytest.mark.parametrize("headers", [page_headers(), answer_headers()])
def test_the_policy_allows_our_style_and_nothing_else(headers):
    rules = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    (style,) = re.findall(r"<style>(.*?)</style>", PAGES["form"], re.DOTALL)
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    assert rules["style-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["base-uri"] == "'none'"
    assert "script-src" not in rules
    assert headers["cache-control"] == "no-store"


def test_an_answer_shows_label_shares_and_warnings():
    page = PAGES["answer"]
    assert page.count("87.5%") == 1
    assert "is new" in page
    assert "0.25" in page
    assert [meter["value"] for meter in Elements(page).named("meter")] == ["0.875000", "0.125000"]


def test_a_value_is_shown_for_a_regression():
    page = answer_page(
        {
            "model": "m",
            "version": "1",
            "request_id": "r",
            "threshold": None,
            "predictions": [{"value": 1234.5}],
        }
    )
    assert "1,234.5" in page
    assert "threshold" not in page


def test_fields_come_back_as_values_and_empty_ones_as_missing():
    row = sent(
        age="31", weight=" 7.5e1 ", smoker="false", street="a & b=c", born="03.02.2001", note="ü", x="1"
    )
    assert row == {
        "age": 31.0, "weight": 75.0, "smoker": False, EVIL: None, "street": "a & b=c", "born": "03.02.2001",
        "note": "ü", "empty": None,
    }  # fmt: skip


def test_every_field_that_cannot_be_read_is_named():
    with pytest.raises(HttpError) as refused:
        sent(age="old", weight="nan", smoker="perhaps", empty="1e999")
    assert [fault["column"] for fault in refused.value.faults] == ["age", "weight", "smoker", "empty"]
    assert refused.value.status == 422


@pytest.mark.parametrize("body", [b"\xff\xfe", b"&".join(b"a=1" for _ in range(20_000))])
def test_a_body_that_is_no_form_is_refused(body):
    with pytest.raises(HttpError) as refused:
        FORM.rows(body)
    assert refused.value.status == 400
