"""Which cases somebody was told of."""

from datetime import datetime

from sqlalchemy import Connection, insert, select

from riskloop.core.types import to_micros
from riskloop.store.database import Database
from riskloop.store.tables import alerts


def told(database: Database) -> frozenset[int]:
    """The numbers of those cases."""
    with database.read() as connection:
        return frozenset(connection.execute(select(alerts.c.case_id)).scalars())


def remember_alert(connection: Connection, case_id: int, channel: str, at: datetime) -> None:
    """Keep that somebody was told, in the caller's transaction."""
    connection.execute(insert(alerts).values(case_id=case_id, channel=channel, at=to_micros(at)))
