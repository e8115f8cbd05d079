"""What the studio keeps: people, their sessions and tokens, and the training processes it started."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tabstudio_jobs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("diary", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("machine", sa.String(256), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("born", sa.Double(), nullable=False),
        sa.Column("started", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tabstudio_jobs"),
    )
    op.create_index("ix_tabstudio_jobs_started", "tabstudio_jobs", ["started"])
    op.create_table(
        "tabstudio_users",
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tabstudio_users"),
    )
    op.create_table(
        "tabstudio_sessions",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("user", sa.String(256), nullable=False),
        sa.Column("expires", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_tabstudio_sessions"),
        sa.ForeignKeyConstraint(
            ["user"], ["tabstudio_users.name"], name="fk_tabstudio_sessions_user_tabstudio_users"
        ),
    )
    op.create_index("ix_tabstudio_sessions_user", "tabstudio_sessions", ["user"])
    op.create_table(
        "tabstudio_access_tokens",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("user", sa.String(256), nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.Column("expires", sa.String(27)),
        sa.PrimaryKeyConstraint("hash", name="pk_tabstudio_access_tokens"),
        sa.ForeignKeyConstraint(
            ["user"], ["tabstudio_users.name"], name="fk_tabstudio_access_tokens_user_tabstudio_users"
        ),
    )
    op.create_index("ix_tabstudio_access_tokens_user", "tabstudio_access_tokens", ["user"])
