"""Bring the tables of an older tabstudio, or none at all, to this one's. No row is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from tabstudio.database.tables import HEAD, revision
from tabstudio.errors import DatabaseError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tabstudio.database.database import Database

_LOCK = 7_310_411_873
"""PostgreSQL's advisory lock that one upgrading process holds; a number that nobody else uses."""


def upgrade(database: Database) -> None:
    """Run the migrations that are missing, in one transaction; of a file with rows, a copy is kept beside it.

    Two processes may do so at once: the second waits and finds the work done.

    Raises `DatabaseError` where a newer tabstudio has been there.
    """
    with database.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        current = revision(connection)
        if current == HEAD:
            return
        config = _config(connection)
        _check_known(current, config, database.address)
        if current is not None and database.path is not None:
            _back_up(database.path, current)
        command.upgrade(config, "head")


def _config(connection: Connection) -> Config:
    config = Config()
    # alembic reads `%` in its options as the start of a name
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _check_known(current: str | None, config: Config, address: str) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise DatabaseError(
            f"{address}: a newer tabstudio made these tables (migration {current}, this one knows {HEAD}); "
            "install that version, or name another database in TABSTUDIO_DATABASE_URL"
        )


def _back_up(path: Path, current: str) -> Path:
    """Copy the file, with what other processes have written last; the writer's lock is already ours."""
    copy = path.with_name(f"{path.stem}.before-{current}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}{path.suffix}")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy
