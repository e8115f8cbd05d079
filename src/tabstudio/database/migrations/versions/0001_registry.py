"""The registry: history, the models it is of, webhooks on their way."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables, and the identity of this database."""
    identity = op.create_table(
        "tabstudio_identity",
        sa.Column("id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tabstudio_identity"),
    )
    op.bulk_insert(identity, [{"id": secrets.token_hex(16)}])
    _models()
    _history()
    _deliveries()


def _models() -> None:
    op.create_table(
        "tabstudio_models",
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("registry", sa.Text(), nullable=False),
        sa.Column("head", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("mirrored", sa.Integer(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tabstudio_models"),
    )


def _history() -> None:
    op.create_table(
        "tabstudio_history",
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("from_stage", sa.String(64)),
        sa.Column("to_stage", sa.String(64)),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("time", sa.String(27), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("refers", sa.Integer()),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["tabstudio_models.name"], name="fk_tabstudio_history_model"),
        sa.PrimaryKeyConstraint("model", "number", name="pk_tabstudio_history"),
    )
    for column in ("time", "version", "to_stage"):
        op.create_index(
            f"ix_tabstudio_history_model_{column}_number", "tabstudio_history", ["model", column, "number"]
        )


def _deliveries() -> None:
    op.create_table(
        "tabstudio_deliveries",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due", sa.String(27)),
        sa.Column("delivered", sa.String(27)),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tabstudio_deliveries"),
    )
    op.create_index("ix_tabstudio_deliveries_due", "tabstudio_deliveries", ["due"])
