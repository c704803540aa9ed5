"""Somebody is told once of each outcome file that is late."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """By the moment at which the file was due."""
    op.create_table(
        "late_alerts",
        sa.Column("due", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("due"),
    )
