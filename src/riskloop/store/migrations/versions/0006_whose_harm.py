"""A case says which version outcomes showed to do worse: a renewal opens one without any harm."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

HARM = ("prior_shift", "concept_drift")


def upgrade() -> None:
    """The harm is the champion's, unless the champion was made by an earlier case of the same window."""
    op.add_column("cases", sa.Column("harmed", sa.Integer(), nullable=True))
    names = ("id", "window_id", "diagnosis", "challenger", "champion", "harmed", "unresolved")
    cases = sa.table("cases", *(sa.column(name) for name in names))
    connection = op.get_bind()
    known = connection.execute(sa.select(cases).order_by(cases.c.id)).all()
    for case in known:
        renews = any(
            earlier.window_id == case.window_id and earlier.challenger == case.champion
            for earlier in known
            if earlier.id < case.id
        )
        harmed = case.champion if case.diagnosis in HARM and not renews else None
        values = {"harmed": harmed, "unresolved": bool(case.unresolved) and harmed is not None}
        connection.execute(sa.update(cases).where(cases.c.id == case.id).values(**values))
