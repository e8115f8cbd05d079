"""Every table of ours. A change here needs a migration beside it, in `migrations/versions`; a test compares.

Names begin with `tabstudio_`, so that the tables may stand in one PostgreSQL database with MLflow's.
Times are UTC in ISO 8601 with six digits, `2026-03-01T12:00:00.000000Z`: they sort as text, read the same in
every database, and are exactly what was hashed.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    text,
)

VERSION_TABLE = "tabstudio_migrations"
HEAD = "0003"
"""The newest migration. Written down here so that an up-to-date database opens without alembic."""

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

identity = Table(
    "tabstudio_identity",
    METADATA,
    Column("id", String(32), primary_key=True),  # made once, tells this database from every other
)

models = Table(
    "tabstudio_models",
    METADATA,
    Column("name", String(256), primary_key=True),
    Column("registry", Text, nullable=False),  # the MLflow registry, its password masked
    Column("head", Integer, nullable=False),  # number of the newest row of its history; 0: none
    Column("hash", String(64), nullable=False),  # hash of that row
    Column("mirrored", Integer, nullable=False),  # up to this number MLflow has been told
    Column("seen", BigInteger, nullable=False),  # newest change in MLflow looked at, ms of its clock
)
"""One row per registered model: the end of its chain, and what MLflow knows of it. It is also the lock."""

history = Table(
    "tabstudio_history",
    METADATA,
    Column("model", String(256), ForeignKey("tabstudio_models.name"), primary_key=True),
    Column("number", Integer, primary_key=True),  # 1, 2, 3, ... without a gap, per model
    Column("kind", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),  # when MLflow made the version, ms: its identity
    Column("from_stage", String(64)),
    Column("to_stage", String(64)),
    Column("actor", String(256), nullable=False),
    Column("time", String(27), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # canonical JSON
    Column("forced", Boolean, nullable=False),
    Column("refers", Integer),  # the row that this one belongs to
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index(None, "model", "time", "number"),
    Index(None, "model", "version", "number"),
    Index(None, "model", "to_stage", "number"),
)
"""What happened to the versions of each model, append-only: each row holds the hash of the row before it."""

deliveries = Table(
    "tabstudio_deliveries",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("url", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created", String(27), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", String(27)),  # when it is tried next; empty: delivered, or given up
    Column("delivered", String(27)),
    Column("error", Text, nullable=False),  # what the last attempt met
    Index(None, "due"),
)
"""Webhooks on their way: written in the transaction of what they tell, so none is lost."""

deployments = Table(
    "tabstudio_deployments",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("words", Text, nullable=False),  # what follows `tabstudio serve`, as a JSON list
    Column("folder", Text, nullable=False),  # where it was started
    Column("log", Text, nullable=False),  # the file that its output goes to
    Column("machine", String(256), nullable=False),
    Column("wanted", Boolean, nullable=False),  # whether it should run
    Column("pid", Integer, nullable=False),  # of the service, or of who is starting it; 0: none
    Column("born", Double, nullable=False),  # when that process began, Unix seconds: a pid may be reused
    Column("url", Text, nullable=False),  # where it answers; empty until it does
    Column("changed", String(27), nullable=False),
)
"""Services that were started by name."""

jobs = Table(
    "tabstudio_jobs",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),  # train, sweep
    Column("title", Text, nullable=False),
    Column("options", Text, nullable=False),  # what it was told, as JSON
    Column("folder", Text, nullable=False),  # where it works
    Column("diary", Text, nullable=False),  # the file that its progress goes to, one JSON object a line
    Column("actor", String(256), nullable=False),
    Column("machine", String(256), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("born", Double, nullable=False),  # when that process began, Unix seconds: a pid may be reused
    Column("started", String(27), nullable=False),
    Index(None, "started"),
)
"""Training processes that were started from the studio; how far each is stands in its diary."""

users = Table(
    "tabstudio_users",
    METADATA,
    Column("name", String(256), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password", Text, nullable=False),  # an argon2 hash; empty: no login by password
    Column("created", String(27), nullable=False),
)
"""People who may use a studio that others can reach."""

sessions = Table(
    "tabstudio_sessions",
    METADATA,
    Column("hash", String(64), primary_key=True),  # SHA-256 of what the browser holds
    Column("user", String(256), ForeignKey("tabstudio_users.name"), nullable=False),
    Column("expires", String(27), nullable=False),
    Index(None, "user"),
)
"""Browsers that are logged in."""

access_tokens = Table(
    "tabstudio_access_tokens",
    METADATA,
    Column("hash", String(64), primary_key=True),  # SHA-256 of the token
    Column("name", String(256), nullable=False),  # what it is for
    Column("user", String(256), ForeignKey("tabstudio_users.name"), nullable=False),
    Column("created", String(27), nullable=False),
    Column("expires", String(27)),  # empty: never
    Index(None, "user"),
)
"""What a program shows in place of a password; it may do what its user may."""


def revision(connection: Connection) -> str | None:
    """Return the newest migration that the database has seen; None for a database without our tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    number = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - our own name
    return None if number is None else str(number)
