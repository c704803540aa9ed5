"""Counts of the log's decisions by hour, so that nobody counts the log to say how far the outcome feed is complete."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """The worker's next cycle counts what is on record."""
    numbers = ("approved", "reported", "declined", "explored", "learned")
    op.create_table(
        "tallies",
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in numbers),
        sa.PrimaryKeyConstraint("hour"),
    )
    op.create_table(
        "tallied",
        sa.Column("decisions", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("outcomes", sa.BigInteger(), nullable=False),
        sa.Column("archived", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("decisions"),
    )
