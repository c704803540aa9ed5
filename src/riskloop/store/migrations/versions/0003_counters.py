"""Counters for consecutive numbers, and room for all four roles of a key."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Start each counter at the last number that was given."""
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    for name, column in (("decisions", "id"), ("models", "version"), ("outcomes", "id")):
        last: sa.Select[tuple[int]] = sa.select(sa.func.coalesce(sa.func.max(sa.column(column)), 0)).select_from(
            sa.table(name)
        )
        op.execute(
            sa.insert(counters).from_select(["name", "value"], sa.select(sa.literal(name), last.scalar_subquery()))
        )
    with op.batch_alter_table("keys") as keys:
        keys.alter_column("role", existing_type=sa.String(length=20), type_=sa.String(length=200), nullable=False)
