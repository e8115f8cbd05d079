import sqlite3
import subprocess
import sys
import threading
from contextlib import ExitStack, closing

import pytest
from sqlalchemy import inspect, select

from tabstudio.database import Database, database_address
from tabstudio.database.tables import HEAD, METADATA, VERSION_TABLE, models
from tabstudio.errors import ConfigError, DatabaseError

ROW = {"name": "ill", "registry": "here", "head": 0, "hash": "", "mirrored": 0, "seen": 0}


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    """Of a database without our tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tabstudio.db"
    return database_address(request.getfixturevalue("postgres"))


@pytest.fixture
def opened():
    """Opens databases, and closes them when the test ends."""
    with ExitStack() as stack:
        yield lambda address: stack.enter_context(Database(address))


def names(database):
    with database.reading() as connection:
        return set(connection.execute(select(models.c.name)).scalars())


def test_the_migrations_make_the_tables_that_the_code_uses(address, opened):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with opened(address).reading() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        found = compare_metadata(context, METADATA)
        assert [change for change in found if "tabstudio" in str(change)] == []
        indexes = {index["name"] for index in inspect(connection).get_indexes("tabstudio_history")}
        assert indexes == {index.name for index in METADATA.tables["tabstudio_history"].indexes}


def test_the_newest_migration_is_written_down():
    from alembic.script import ScriptDirectory

    from tabstudio.database.migration import _config

    assert ScriptDirectory.from_config(_config(None)).get_current_head() == HEAD


def test_what_raises_is_undone_and_the_rest_is_kept(address, opened):
    database = opened(address)
    with database.writing() as connection:
        connection.execute(models.insert().values(ROW))
    with pytest.raises(DatabaseError, match=r"(?i)unique"), database.writing() as connection:
        connection.execute(models.insert(), [ROW | {"name": "other"}, ROW])
    assert names(database) == {"ill"}
    database.close()
    assert names(opened(address)) == {"ill"}


def test_a_database_keeps_its_identity(address, opened):
    first = opened(address)
    assert len(first.identity) == 32
    assert opened(address).identity == first.identity


def test_writers_wait_for_one_another(address, opened):
    database = opened(address)
    with database.writing() as connection:
        connection.execute(models.insert().values(ROW))

    def count():
        for _ in range(10):
            with database.writing() as connection:
                row = connection.execute(select(models.c.seen).with_for_update()).scalar_one()
                connection.execute(models.update().values(seen=row + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as connection:
        assert connection.execute(select(models.c.seen)).scalar_one() == 40


def test_two_processes_may_open_a_new_database_at_once(address):
    code = f"from tabstudio.database import Database; print(Database({address!r}).identity)"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    identities = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(identities) == 1


def test_tables_of_a_newer_tabstudio_are_left_alone(address, opened):
    database = opened(address)
    with database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(DatabaseError, match=r"a newer tabstudio made these tables \(migration 9999"):
        Database(address)


def test_an_upgrade_keeps_every_row_and_a_copy_of_the_file(tmp_path, monkeypatch, opened):
    """Migration 0001, then one that adds a column: the way that every later one takes."""
    import shutil

    from tabstudio.database import database as opening
    from tabstudio.database import migration

    path = tmp_path / "tabstudio.db"
    database = opened(f"sqlite:///{path}")
    with database.writing() as connection:
        connection.execute(models.insert(), [ROW | {"name": f"model {n}"} for n in range(1000)])
    database.close()
    scripts = shutil.copytree(
        migration.Path(migration.__file__).parent / "migrations", tmp_path / "migrations"
    )
    (scripts / "versions" / "next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision = 'next'\n"
        f"down_revision = '{HEAD}'\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('tabstudio_models') as batch:\n"
        "        batch.add_column(sa.Column('owner', sa.Text(), nullable=False, server_default='nobody'))\n"
    )
    config = migration._config

    def with_next(connection):
        made = config(connection)
        made.set_main_option("script_location", str(scripts))
        return made

    monkeypatch.setattr(migration, "_config", with_next)
    monkeypatch.setattr(migration, "HEAD", "next")
    monkeypatch.setattr(opening, "HEAD", "next")
    upgraded = opened(f"sqlite:///{path}")
    with upgraded.reading() as connection:
        owners = connection.exec_driver_sql("SELECT owner, COUNT(*) FROM tabstudio_models GROUP BY 1").all()
        assert owners == [("nobody", 1000)]
        assert opening.revision(connection) == "next"
    (copy,) = tmp_path.glob(f"tabstudio.before-{HEAD}-*.db")
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute("SELECT COUNT(*) FROM tabstudio_models").fetchone() == (1000,)
        assert "owner" not in [row[1] for row in old.execute("PRAGMA table_info(tabstudio_models)")]


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch, opened):
    from tabstudio.database import migration

    def fail(config, target):
        config.attributes["connection"].exec_driver_sql("CREATE TABLE half_done (x INTEGER)")
        raise RuntimeError("power cut")

    monkeypatch.setattr(migration.command, "upgrade", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        Database(f"sqlite:///{tmp_path}/tabstudio.db")
    monkeypatch.undo()
    with opened(f"sqlite:///{tmp_path}/tabstudio.db").reading() as connection:
        assert not inspect(connection).has_table("half_done")


def test_an_address_is_where_mlflow_keeps_its_file(tmp_path, monkeypatch):
    assert database_address() == f"sqlite:///{tmp_path}/tabstudio.db"
    assert database_address(None, "http://127.0.0.1:5000") == f"sqlite:///{tmp_path}/tabstudio.db"
    assert database_address(None, "sqlite:////data/mlflow.db") == "sqlite:////data/tabstudio.db"
    assert database_address("sqlite:///own.db", "sqlite:////data/mlflow.db") == f"sqlite:///{tmp_path}/own.db"
    monkeypatch.setenv("TABSTUDIO_DATABASE_URL", "postgres://ann:secret@db/models")
    assert database_address() == "postgresql+psycopg://ann:secret@db/models"


@pytest.mark.parametrize(
    "url", ["mysql://user:secret@host/db", "tabstudio.db", "sqlite://", "sqlite:///:memory:"]
)
def test_another_kind_of_database_is_refused_without_telling_the_password(url):
    with pytest.raises(
        ConfigError, match=r"expected sqlite:///path/tabstudio\.db or postgresql://"
    ) as caught:
        database_address(url)
    assert "secret" not in str(caught.value)


def test_mlflows_own_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is MLflow's own file"):
        database_address("sqlite:///mlflow.db", f"sqlite:///{tmp_path}/mlflow.db")


def test_a_database_that_cannot_be_used_is_told_in_one_line(tmp_path):
    (tmp_path / "letter.db").write_text("Dear Ann, this is no database at all, it is a letter." * 20)
    unreachable = database_address("postgresql://ann:secret@127.0.0.1:1/models")
    for address, words in [
        (f"sqlite:///{tmp_path}/letter.db", "the file is not an SQLite database"),
        (f"sqlite:///{tmp_path}/nowhere/tabstudio.db", "does its folder exist"),
        (unreachable, "connection refused"),
    ]:
        with pytest.raises(DatabaseError, match=words) as caught:
            Database(address)
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
