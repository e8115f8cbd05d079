"""The chain: whatever was edited, removed, inserted or cut off is found, and the rest is as it was."""

from __future__ import annotations

import csv
import json
import os
import secrets

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from tabstudio._util.clock import utc_stamp
from tabstudio.cli.app import run
from tabstudio.database import Database, database_address
from tabstudio.database.tables import history as rows
from tabstudio.database.tables import models
from tabstudio.errors import DatabaseError
from tabstudio.registry.hash_chain import START, hash_of
from tabstudio.registry.history import History
from tabstudio.registry.records import Evidence, GateResult, VersionMetric

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
STAGES = ("staging", "production", "archived")


def written(history, number=12, model="ill"):
    """A history of that many rows, as the registry would write it."""
    with history.writing(model) as chain:
        for n in range(number):
            chain.append(
                "promote",
                n % 5 + 1,
                1000 + n % 5,
                STAGES[n % 3],
                from_stage=None,
                actor="ann",
                reason=f"reason {n} – über alles",
                evidence=Evidence({"auc": VersionMetric(0.9, 0.8, 0.95)}, (GateResult("g", True, "1", "0"),)),
            )
    return history


@pytest.fixture(params=["sqlite", "postgresql"])
def history(request, tmp_path):
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres")
    with Database(database_address(url)) as database:
        yield written(History(database, "sqlite:///mlflow.db"))


def anchor(history):
    with history.reading("ill") as chain:
        return history.anchor_of(chain.head.number, chain.head.hash)


def tampered(history, *statements):
    """Change the tables as somebody with a database client would, and say which rows are found."""
    before = anchor(history)
    with history.database.writing() as connection:
        for statement in statements:
            connection.execute(statement)
    return history.verify("ill", before)


def as_it_is(history, number):
    with history.database.reading() as connection:
        return dict(connection.execute(select(rows).where(rows.c.number == number)).mappings().one())


def test_an_untouched_history_is_whole(history):
    found = history.verify("ill", anchor(history))
    assert (found.whole, found.rows) == (True, 12)
    assert found.head == as_it_is(history, 12)["hash"]
    assert history.verify("nothing yet").whole


@pytest.mark.parametrize("column", [c.name for c in rows.c if c.name not in ("model", "number")])
def test_an_edited_row_is_found_whatever_was_edited(history, column):
    value = as_it_is(history, 7)[column]
    other = (
        not value
        if isinstance(value, bool)
        else (value or 0) + 1
        if column in ("version", "created", "refers")
        else f"{value or ''}x"[-60:]
    )
    if column in ("time", "hash", "previous"):
        other = str(value)[:-1] + ("0" if str(value)[-1] != "0" else "1")
    found = tampered(history, update(rows).where(rows.c.number == 7).values({column: other}))
    assert {fault.number for fault in found.faults} <= {7, 8}
    assert found.faults


def test_an_edited_row_with_a_new_hash_is_found_by_the_next_one(history):
    forged = as_it_is(history, 7) | {"actor": "somebody else"}
    forged["hash"] = hash_of(forged)
    found = tampered(history, update(rows).where(rows.c.number == 7).values(forged))
    assert [str(fault) for fault in found.faults] == [
        "row 8: it does not follow the row before it: one of the two was inserted or replaced"
    ]


def test_a_removed_row_is_found(history):
    found = tampered(history, delete(rows).where(rows.c.number == 7))
    assert [fault.number for fault in found.faults] == [8]


def test_a_row_removed_with_the_rest_moved_up_is_found(history):
    steps = [update(rows).where(rows.c.number == n).values(number=n - 1) for n in range(8, 13)]
    found = tampered(history, delete(rows).where(rows.c.number == 7), *steps)
    assert min(fault.number for fault in found.faults) == 7


def test_an_inserted_row_is_found(history):
    forged = as_it_is(history, 12) | {"number": 13, "previous": as_it_is(history, 12)["hash"]}
    forged["hash"] = hash_of(forged)
    found = tampered(history, insert(rows).values(forged))
    assert [str(fault) for fault in found.faults] == ["row 13: the history ends here, its last row was 12"]


def test_rows_cut_off_at_the_end_are_found(history):
    found = tampered(history, delete(rows).where(rows.c.number > 10))
    assert [fault.number for fault in found.faults] == [10, 12]


def test_a_cut_that_hides_itself_is_found_by_what_mlflow_was_told(history):
    last = as_it_is(history, 10)
    found = tampered(
        history,
        delete(rows).where(rows.c.number > 10),
        update(models).values(head=10, hash=last["hash"], mirrored=10),
    )
    assert ["MLflow was told of row 12" in fault.problem for fault in found.faults] == [True]


def test_a_rewritten_history_is_found_by_what_mlflow_was_told(history):
    previous, statements = START, []
    for number in range(1, 13):
        row = as_it_is(history, number) | {"actor": "somebody else", "previous": previous}
        previous = row["hash"] = hash_of(row)
        statements.append(update(rows).where(rows.c.number == number).values(row))
    found = tampered(history, *statements, update(models).values(hash=previous))
    assert ["row 12" in fault.problem for fault in found.faults] == [True]


def test_a_row_that_stands_already_is_not_written_over(history):
    forged = as_it_is(history, 12) | {"number": 13}
    tampered(history, insert(rows).values(forged))
    with pytest.raises(DatabaseError):
        written(history, 1)


def test_an_interrupted_writer_leaves_nothing(history):
    def interrupted():
        with history.writing("ill") as chain:
            chain.append("archive", 1, 1000, None, from_stage="staging", actor="ann", reason="x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert history.verify("ill", anchor(history)).rows == 12


def test_time_never_runs_backwards(history, monkeypatch):
    from datetime import UTC, datetime

    from tabstudio.registry import hash_chain as chains

    monkeypatch.setattr(chains, "utc_now", lambda: utc_stamp(datetime(2001, 1, 1, tzinfo=UTC)))
    written(history, 1)
    with history.reading("ill") as chain:
        assert chain.row(13).time == chain.row(12).time
        assert chain.number_at(chain.row(13).time) == 13


moves = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([*STAGES, None])), max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=moves)
def test_the_state_at_every_row_is_what_the_rows_before_say(tmp_path, moves):
    """Against the plain way: go through all rows, and keep the stage of each version."""
    with Database(f"sqlite:///{tmp_path}/{secrets.token_hex(8)}.db") as database:
        history = History(database, "here")
        with history.writing("ill") as chain:
            for version, stage in moves:
                chain.append("promote", version, 1, stage, from_stage=None, actor="a", reason="r")
                chain.append("note", version, 1, "production", from_stage=None, actor="a", reason="r")
        known: dict[int, str | None] = {}
        with history.reading("ill") as chain:
            for number, (version, stage) in enumerate(moves, start=1):
                known[version] = stage
                until = 2 * number
                for name in STAGES:
                    found = {row.version for row in chain.members(name, until=until, limit=10)}
                    assert found == {v for v, s in known.items() if s == name}
            assert {v: row.to_stage for v, row in chain.stages(range(1, 7)).items()} == known


def test_an_export_holds_everything(place):
    with place.open() as registry:
        registry.promote("ill", 1, "production", reason='a "quoted", reason')
        registry.promote("ill", 2, "production", reason="second")
        rows = list(registry.export("ill"))
    for name in ("history.json", "history.csv"):
        assert run_with(place, "history", "ill", "--export", name) == 0
    assert json.loads((place.folder / "history.json").read_text()) == [row.to_json() for row in rows]
    with (place.folder / "history.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["reason"] for row in read] == [row.reason for row in rows]
    assert [json.loads(row["evidence"]) for row in read] == [row.evidence.to_json() for row in rows]
    assert [row["hash"] for row in read] == [row.hash for row in rows]


def test_rows_that_mlflow_knew_and_that_are_gone_are_noted_for_good(place):
    with place.open() as registry:
        for version in (1, 2, 3):
            registry.promote("ill", version, "staging", reason="newer")
        with registry.database.writing() as connection:
            connection.execute(delete(rows).where(rows.c.number > 3))
            last = connection.execute(select(rows.c.hash).where(rows.c.number == 3)).scalar_one()
            connection.execute(update(models).values(head=3, hash=last, mirrored=3))
        kinds = [row.kind for row in registry.history("ill")]
        assert "lost" in kinds
        assert "row 5" in next(row.reason for row in registry.history("ill") if row.kind == "lost")
        assert not registry.verify("ill").whole
        registry.promote("ill", 4, "staging", reason="go on")
        assert "found then" in registry.verify("ill").faults[0].problem


def run_with(place, *words):
    os.environ["TABSTUDIO_DATABASE_URL"] = place.database_url or ""
    try:
        return run(list(words))
    finally:
        del os.environ["TABSTUDIO_DATABASE_URL"]
