"""Who did what, and when: an append-only list, written in the transaction of the deed itself."""

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from riskloop.core.types import Json, from_micros, to_micros
from riskloop.store import chain
from riskloop.store.database import Database
from riskloop.store.tables import audit


@dataclass(frozen=True)
class AuditEvent:
    """One deed."""

    at: datetime
    by: str
    action: str
    subject: str
    document: Json


def record(connection: Connection, *, at: datetime, by: str, action: str, subject: str, document: Json) -> None:
    """Write the event in the caller's transaction: the deed and its record happen together or not at all."""
    made = connection.execute(
        insert(audit).values(at=to_micros(at), by=by, action=action, subject=subject, document=json.dumps(document))
    )
    chain.note(connection, audit, *(made.inserted_primary_key or ()))


def latest(database: Database, limit: int = 100) -> list[AuditEvent]:
    """The newest events, newest first: for people. The loop keeps what it has to know in tables of its own."""
    with database.read() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.id.desc()).limit(limit)).all()
    return [AuditEvent(from_micros(r.at), r.by, r.action, r.subject, json.loads(r.document)) for r in rows]
