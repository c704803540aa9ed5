"""What was erased, who registered a model, and the audit trail by person and by action."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Nothing was erased before."""
    op.create_table(
        "erasures",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("personal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("erasures_decision", "erasures", ["decision_id"])
    op.add_column("models", sa.Column("registered_by", sa.String(length=200), nullable=True))
    op.create_index("audit_by", "audit", ["by", "id"])
    op.create_index("audit_action", "audit", ["action", "id"])
