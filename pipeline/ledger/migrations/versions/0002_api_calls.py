"""requests made to the API are counted; the attempts that ended last are found by an index"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    op.create_table(
        "api_calls",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("call", sa.String(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "call"),
    )
    op.create_index("attempts_finished", "attempts", ["finished_at"])
