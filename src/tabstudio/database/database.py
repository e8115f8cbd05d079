"""Our database: transactions for readers and writers; its tables are brought up to date when it opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from tabstudio._util.error_summary import summarize_error
from tabstudio.database.address import sqlite_path
from tabstudio.database.tables import HEAD, revision
from tabstudio.errors import ConfigError, DatabaseError
from tabstudio.settings import shown

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection

SECONDS = 30
"""How long a writer waits for another one before it gives up."""
_WRITING = "tabstudio_writing"


class Database:
    """Our tables at one address of `database_address`. Opening it makes them, or brings them up to date.

    Raises `DatabaseError` where it cannot be used, or a newer tabstudio has been there.

    >>> database = Database("sqlite:///tabstudio.db")
    >>> with database.reading() as connection:
    ...     connection.exec_driver_sql("SELECT COUNT(*) FROM tabstudio_history").scalar()
    0
    """

    def __init__(self, address: str) -> None:
        self.address = shown(address)
        self.path = sqlite_path(address)
        self.engine = self._engine(address)
        try:
            self._bring_up_to_date()
        except BaseException:
            self.close()
            raise

    @property
    def identity(self) -> str:
        """What tells this database from every other: 32 hexadecimal digits."""
        with self.reading() as connection:
            return str(connection.exec_driver_sql("SELECT id FROM tabstudio_identity").scalar_one())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the tables and changes none.

        Raises `DatabaseError` where the database cannot be used.
        """
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is kept when the block ends, and undone when it raises.

        SQLite lets one writer in at a time: the next waits here. With PostgreSQL, lock the rows that matter
        (`select(...).with_for_update()`, which SQLite leaves out).

        Raises `DatabaseError` where the database cannot be used.
        """
        with (
            self._translated(),
            self.engine.connect().execution_options(**{_WRITING: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Give the connections back; `with Database(...)` does so at the end of the block."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database({self.address!r})"

    def _engine(self, address: str) -> Engine:
        try:
            url = make_url(address)
        except (ArgumentError, ValueError) as error:
            raise ConfigError(f"TABSTUDIO_DATABASE_URL: {self.address} is no address: {error}") from error
        if self.path is None:
            return create_engine(url, connect_args={"connect_timeout": 10}, pool_pre_ping=True)
        engine = create_engine(url, connect_args={"timeout": SECONDS})
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _bring_up_to_date(self) -> None:
        with self.reading() as connection:
            current = revision(connection)
        if current != HEAD:
            from tabstudio.database.migration import upgrade

            upgrade(self)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise what a driver says in many lines as one sentence."""
        try:
            yield
        except SQLAlchemyError as error:
            original = error.orig if isinstance(error, DBAPIError) else error
            raise DatabaseError(
                f"{self.address}: our tables cannot be used: {summarize_error(str(original))}"
            ) from error


def _prepare(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # we say ourselves where a transaction begins
    cursor = connection.cursor()
    # A reader does not wait for the writer; FULL: what was committed survives a power cut.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # IMMEDIATE: a transaction that will write waits now. Later it could only fail.
    writing = connection.get_execution_options().get(_WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
