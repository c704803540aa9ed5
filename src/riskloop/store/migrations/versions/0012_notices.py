"""Alerts go to several channels; each has its own record of what was told, and of what could not be sent."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """What was told of stays so; promotions and ends of cases of the past are not told of."""
    notices = op.create_table(
        "notices",
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("channel", sa.String(length=60), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("alert", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "channel"),
    )
    connection = op.get_bind()
    told = [(f"case {row.case_id}", row.at) for row in connection.execute(sa.text("SELECT case_id, at FROM alerts"))]
    told += [
        (f"outcomes due {datetime.fromtimestamp(row.due / 1_000_000, UTC).isoformat()}", row.at)
        for row in connection.execute(sa.text("SELECT due, at FROM late_alerts"))
    ]
    told += [
        (f"case {row.id} ended", row.closed_at)
        for row in connection.execute(sa.text("SELECT id, closed_at FROM cases WHERE closed_at IS NOT NULL"))
    ]
    told += [(f"promotion {row.seq}", row.at) for row in connection.execute(sa.text("SELECT seq, at FROM promotions"))]
    rows = [
        {"subject": subject, "channel": "log", "state": "sent", "tries": 0, "at": at, "problem": "", "alert": "{}"}
        for subject, at in told
    ]
    if rows:
        op.bulk_insert(notices, rows)
    op.drop_table("alerts")
    op.drop_table("late_alerts")
