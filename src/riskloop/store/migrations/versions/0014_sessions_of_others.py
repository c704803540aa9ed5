"""A session of single sign-on keeps what its groups allowed at the login: no table of ours names the person."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Sessions of keys and users have no roles of their own."""
    op.add_column("sessions", sa.Column("role", sa.String(length=200), nullable=True))
