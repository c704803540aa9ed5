"""Outcomes come in deliveries, with a watermark; windows know with which outcomes they were judged."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """What was recorded at one moment was one delivery; judged windows were judged with what is there."""
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=True),
        sa.Column("last_id", sa.BigInteger(), nullable=True),
        sa.Column("recorded", sa.Integer(), nullable=False),
        sa.Column("repeated", sa.Integer(), nullable=False),
        sa.Column("corrected", sa.Integer(), nullable=False),
        sa.Column("unmatched", sa.Integer(), nullable=False),
        sa.Column("complete_until", sa.BigInteger(), nullable=True),
        sa.Column("definition", sa.String(length=60), nullable=False),
        sa.Column("examined", sa.Boolean(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=True),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.add_column("windows", sa.Column("judged_with", sa.BigInteger(), nullable=True))
    yes = "TRUE" if op.get_bind().dialect.name == "postgresql" else "1"
    no = "FALSE" if op.get_bind().dialect.name == "postgresql" else "0"
    op.execute(
        'INSERT INTO deliveries (at, "by", first_id, last_id, recorded, repeated, corrected, unmatched, definition, '
        "examined, held, findings) "
        f"SELECT recorded_at, 'riskloop', MIN(id), MAX(id), COUNT(*), 0, 0, 0, '1', {yes}, {no}, '[]' "
        "FROM outcomes GROUP BY recorded_at ORDER BY MIN(id)"
    )
    op.execute(
        "UPDATE windows SET judged_with = (SELECT COALESCE(MAX(id), 0) FROM outcomes) WHERE matured_at IS NOT NULL"
    )
