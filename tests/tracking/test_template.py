"""A new database is copied from an empty one that MLflow made, and is MLflow's in every respect."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tabstudio.tracking import sqlite_template

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def client(name):
    from mlflow import MlflowClient

    uri = f"sqlite:///{Path.cwd() / name}"
    return sqlite_template.opened(uri, lambda: MlflowClient(uri, uri))


def schema_of(path):
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_the_first_database_becomes_the_template_of_the_next():
    client("first.db")
    assert sqlite_template.template_file().exists()
    second = client("second.db")
    assert schema_of("first.db") == schema_of("second.db")
    default = second.get_experiment("0")
    assert default.name == "Default"
    run = second.create_run(second.create_experiment("mine"))
    second.log_metric(run.info.run_id, "loss", 0.5)
    assert second.get_run(run.info.run_id).data.metrics == {"loss": 0.5}


def test_the_template_holds_no_experiment_of_another_place():
    client("first.db")
    with closing(sqlite3.connect(sqlite_template.template_file())) as database:
        assert database.execute("SELECT COUNT(*) FROM experiments").fetchone() == (0,)


def test_a_database_that_exists_is_never_touched():
    kept = client("first.db")
    kept.create_experiment("mine")
    assert client("first.db").get_experiment_by_name("mine") is not None


def test_a_damaged_template_is_not_used_but_replaced():
    client("first.db")
    sqlite_template.template_file().write_bytes(b"SQLite format 3\x00" + b"junk" * 2000)
    assert client("second.db").get_experiment("0").name == "Default"
    tables = {
        name for name, _ in schema_of("first.db")
    }  # their order of constraints changes from time to time
    assert {name for name, _ in schema_of(sqlite_template.template_file())} == tables


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path, capsys):
    (tmp_path / "cache").write_text("a file in the way")
    assert client("first.db").get_experiment("0") is not None
    assert "no template of the database is kept" in capsys.readouterr().out


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:5000", "sqlite://", "sqlite:///:memory:", "postgresql://h/d"]
)
def test_other_stores_have_no_file(uri):
    assert sqlite_template.sqlite_file(uri) is None
