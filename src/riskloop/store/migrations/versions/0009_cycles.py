"""The last cycle of the loop: who serves can tell that nobody watches any more."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """One row that every cycle updates; of an older portfolio no cycle is known."""
    cycles = op.create_table(
        "cycles",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("given_up", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.bulk_insert(cycles, [{"name": "loop", "finished_at": None, "failures": 0, "problem": None, "given_up": False}])
