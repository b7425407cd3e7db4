"""recurring groups of holders and the days' category sets, with the answers that they were read from"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    op.add_column("holders", sa.Column("category_id", sa.String(), nullable=True))
    op.create_table(
        "kept_answers",
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("archived_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
    )
    op.create_table(
        "category_lists",
        sa.Column("content_id", sa.String(), nullable=False),
        sa.Column("category_set", sa.String(), nullable=False),
        sa.Column("incoming", sa.JSON(), nullable=False),
        sa.Column("outgoing", sa.JSON(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["path"], ["kept_answers.path"]),
        sa.PrimaryKeyConstraint("content_id"),
    )
    op.create_index("ix_category_lists_category_set", "category_lists", ["category_set"])
    op.create_table(
        "category_days",
        sa.Column("category_set", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("content_id", sa.String(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["content_id"], ["category_lists.content_id"]),
        sa.PrimaryKeyConstraint("category_set", "day"),
    )
    op.create_table(
        "recurrence",
        sa.Column("account_holder_id", sa.String(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("history_at", sa.DateTime(), nullable=False),
        sa.Column("due_since", sa.DateTime(), nullable=True),
        sa.Column("refreshed_at", sa.DateTime(), nullable=True),
        sa.Column("path", sa.String(), nullable=True),
        sa.Column("group_count", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("not_before", sa.DateTime(), nullable=True),
        sa.Column("claim_expires_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["path"], ["kept_answers.path"]),
        sa.PrimaryKeyConstraint("account_holder_id"),
    )
    op.create_index("ix_recurrence_due_since", "recurrence", ["due_since"])
    op.create_table(
        "recurrence_seen",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(), nullable=True),
        sa.CheckConstraint("id = 1"),
        sa.PrimaryKeyConstraint("id"),
    )
