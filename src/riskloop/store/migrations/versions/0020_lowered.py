"""A watermark that was set too high goes back, for a reason."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """None went back before."""
    op.add_column("deliveries", sa.Column("reason", sa.Text(), nullable=True))
