"""A look at a table comes part by part, once for all, from a process of its own."""

from __future__ import annotations

import contextlib

import numpy as np
import polars as pl
import pytest

from tabstudio.errors import ConfigError, DataError, TabstudioError
from tabstudio.studio.access.roles import Actor, ForbiddenError
from tabstudio.studio.services.tables import previews as module
from tabstudio.studio.services.tables.previews import TablePreviews
from tabstudio.studio.services.tables.table_folder import TableFolder

from .loops import run

EVIL = "<img src=x onerror=alert(1)>\"'&"
ANN, VIC = Actor("ann", "editor"), Actor("vic", "viewer")


@pytest.fixture
def tables(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = np.where(x[:, 0] > 0, EVIL, "no")
    frame = pl.DataFrame({EVIL: x[:, 0], "size": x[:, 1], "town": rng.choice(["a", "b"], 300), "y": y})
    frame.with_columns(
        pl.when(pl.col("size") > 1).then(None).otherwise(pl.col("size")).alias("size")
    ).write_csv(tmp_path / "table.csv")
    return TableFolder(tmp_path, 1 << 20)


def _run(tables, act):
    async def whole():
        previews = TablePreviews(tables)
        try:
            return await act(previews)
        finally:
            await previews.close()

    return run(whole())


async def _parts(look):
    return [await look.part(name) for name in ("schema", "findings", "charts")]


def test_a_look_holds_what_the_page_shows(tables):
    async def act(previews):
        return await _parts(
            await previews.open("table.csv", "y", {"kind": {"town": "category"}, "positive": EVIL})
        )

    schema, found, charts = _run(tables, act)
    assert (schema["rows"], schema["separator"]) == (300, ",")
    first, size, town, _ = schema["columns"]
    assert (first["name"], first["kind"], first["role"]) == (EVIL, "number", "feature")
    assert size["missing"] > 0
    assert town["reason"] == "as told"
    assert town["examples"] == ["a", "b"] or town["examples"] == ["b", "a"]
    assert schema["target"]["classes"] == [EVIL, "no"]
    assert schema["target"]["positive"] == EVIL
    assert found["findings"][0]["severity"] == "danger"
    assert found["findings"][0]["columns"] == [EVIL]
    assert sum(rows for _, rows, _ in charts["classes"]) == 300
    assert charts["missing"][0][:2] == ["size", size["missing"]]
    assert charts["associations"]["names"][:2] == ["y", EVIL]
    assert charts["panels"][0]["name"] == EVIL
    heights = charts["panels"][0]["heights"]
    assert [round(sum(shares), 6) for shares in heights] == [1.0, 1.0]
    assert len(charts["panels"][0]["edges"]) == len(heights[0]) + 1


def test_a_regression_and_a_table_without_a_target_are_looked_at(tables):
    async def act(previews):
        return [await _parts(await previews.open("table.csv", target)) for target in ("size", None)]

    (_, _, regression), (schema, _, bare) = _run(tables, act)
    assert regression["target"]["name"] == "size"
    assert regression["classes"] is None
    assert regression["panels"][0]["spread"]
    assert schema["target"] is None
    assert bare["target"] is None
    assert bare["groups"] == ["all rows"]


def test_who_looks_twice_is_answered_at_once_until_the_table_changes(tables):
    async def act(previews):
        first = await previews.open("table.csv", "y")
        await first.part("charts")
        again = await previews.open("table.csv", "y")
        other = await previews.open("table.csv", "y", {"drop": ["town"]})
        (tables.folder / "table.csv").write_text("a,y\n" + "1,x\n2,z\n" * 20)
        changed = await previews.open("table.csv", "y")
        return again is first, other is first, (await changed.part("schema"))["rows"]

    assert _run(tables, act) == (True, False, 40)


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (("none.csv",), DataError, "there is no such table"),
        (("../table.csv",), DataError, "below"),
        (("table.csv", "nothing"), ConfigError, "there is no column 'nothing'"),
        (("table.csv", "y", {"drop": ["y"]}), ConfigError, "cannot be dropped"),
        (("table.csv", "y", {"kind": {"town": "number"}}), DataError, "cannot be read as a number"),
        (("table.csv", "y", {"kind": {"town": "words"}}), ConfigError, "option kind"),
        (("table.csv", "y", {"epochs": 3}), ConfigError, "does not say how a table is read"),
        (("table.csv", "y", {"epoch": 3}), ConfigError, "does not exist"),
    ],
)
def test_what_cannot_be_looked_at_is_told_as_everywhere(tables, asked, error, words):
    async def act(previews):
        await (await previews.open(*asked)).part("schema")

    with pytest.raises(error, match=words):
        _run(tables, act)


def test_a_look_that_takes_too_long_is_ended(tables, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.01)

    async def act(previews):
        await (await previews.open("table.csv")).part("schema")

    with pytest.raises(TabstudioError, match=r"took more than 0\.01 s"):
        _run(tables, act)


def test_an_upload_is_read_before_it_counts_and_known_when_it_does(tables):
    async def blocks(content):
        yield content

    async def act(previews):
        with pytest.raises(ForbiddenError, match="cannot upload a table"):
            await previews.upload(VIC, "new.csv", blocks(b"a,b\n1,2\n"))
        with contextlib.suppress(DataError):
            await previews.upload(ANN, "bad.csv", blocks(b"\x00\x01\x02"))
        await previews.upload(ANN, "new.csv", blocks(b"a,b\n" + b"1,2\n3,4\n" * 30))
        known = len(previews._previews)
        schema = await (await previews.open("new.csv")).part("schema")
        return known == len(previews._previews), schema["rows"]

    assert _run(tables, act) == (True, 60)
    assert sorted(path.name for path in tables.folder.iterdir()) == ["new.csv", "table.csv"]
