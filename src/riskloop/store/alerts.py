"""Which cases and which late outcome files somebody was told of."""

from datetime import datetime

from sqlalchemy import Connection, insert, select

from riskloop.core.types import to_micros
from riskloop.store.database import Database
from riskloop.store.tables import alerts, late_alerts


def told(database: Database) -> frozenset[int]:
    """The numbers of those cases."""
    with database.read() as connection:
        return frozenset(connection.execute(select(alerts.c.case_id)).scalars())


def remember_alert(connection: Connection, case_id: int, channel: str, at: datetime) -> None:
    """Keep that somebody was told, in the caller's transaction."""
    connection.execute(insert(alerts).values(case_id=case_id, channel=channel, at=to_micros(at)))


def told_late(database: Database, due: datetime) -> bool:
    """Whether somebody was told of the outcome file that was due then."""
    with database.read() as connection:
        query = select(late_alerts.c.due).where(late_alerts.c.due == to_micros(due))
        return connection.execute(query).first() is not None


def remember_late(connection: Connection, due: datetime, channel: str, at: datetime) -> None:
    """Keep that somebody was told of a late file, in the caller's transaction."""
    connection.execute(insert(late_alerts).values(due=to_micros(due), channel=channel, at=to_micros(at)))
