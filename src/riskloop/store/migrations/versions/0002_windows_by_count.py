"""A window says whether it is a fixed number of decisions, whatever the settings are today."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Windows by count are those that are named by their number."""
    op.add_column("windows", sa.Column("counted", sa.Boolean(), nullable=False, server_default=sa.false()))
    windows = sa.table("windows", sa.column("counted", sa.Boolean()), sa.column("name", sa.String()))
    op.execute(windows.update().where(windows.c.name.like("#%")).values(counted=True))
