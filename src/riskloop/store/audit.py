"""Who did what, and when: an append-only list, written in the transaction of the deed itself."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from riskloop.core.types import Json, from_micros, iso, to_micros
from riskloop.store import chain
from riskloop.store.database import SETTINGS, Database
from riskloop.store.tables import audit

SETTINGS_ACTION: Final = "settings"


@dataclass(frozen=True)
class AuditEvent:
    """One deed."""

    at: datetime
    by: str
    action: str
    subject: str
    document: Json


def record(connection: Connection, *, at: datetime, by: str, action: str, subject: str, document: Json) -> None:
    """Write the event in the caller's transaction: the deed and its record happen together or not at all.

    The fingerprint of the settings that were in force goes along, where the writer has any.
    """
    stamp = connection.info.get(SETTINGS)
    if stamp is not None:
        document = {**document, "settings": stamp}
    values = {"at": to_micros(at), "by": by[:200], "action": action, "subject": subject[:200]}
    made = connection.execute(insert(audit).values(**values, document=json.dumps(document)))
    chain.note(connection, audit, *(made.inserted_primary_key or ()))


def write(database: Database, *, by: str, action: str, subject: str, document: Json | None = None) -> None:
    """Record a deed that changes nothing else, such as a read. StorageError when that is impossible: then no deed."""
    with database.write() as connection:
        at = from_micros(database.now(connection))
        record(connection, at=at, by=by, action=action, subject=subject, document=document or {})


def record_settings(database: Database, fingerprint: str, settings: Json, by: str) -> None:
    """Record what riskloop.toml says, when there is a record and it was another one when it was recorded last."""
    query = select(audit.c.document).where(audit.c.action == SETTINGS_ACTION).order_by(audit.c.id.desc()).limit(1)
    with database.read() as connection:
        found = connection.execute(query).scalar()
        if found is None and chain.head(connection) is None:
            return  # nothing is on record yet: the database may still become the place of a backup
    before = {} if found is None else json.loads(found)
    if before.get("fingerprint") == fingerprint:
        return
    old = before.get("values", {})
    names = sorted({*old, *settings})
    changed = {name: [old.get(name), settings.get(name)] for name in names if old.get(name) != settings.get(name)}
    document = {"fingerprint": fingerprint, "changed": changed if found is not None else {}, "values": settings}
    write(database, by=by, action=SETTINGS_ACTION, subject="riskloop.toml", document=document)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is looked for; everything that is None is not asked for."""

    by: str | None = None
    action: str | None = None
    subject: str | None = None  # its beginning
    since: datetime | None = None
    until: datetime | None = None  # exclusive
    before: int | None = None  # number of an event: only those that came earlier


def search(database: Database, wanted: AuditFilter, limit: int = 100) -> list[tuple[int, AuditEvent]]:
    """Events with their numbers, newest first."""
    conditions = {
        "by": None if wanted.by is None else audit.c.by == wanted.by,
        "action": None if wanted.action is None else audit.c.action == wanted.action,
        "subject": None if wanted.subject is None else audit.c.subject.startswith(wanted.subject, autoescape=True),
        "since": None if wanted.since is None else audit.c.at >= to_micros(wanted.since),
        "until": None if wanted.until is None else audit.c.at < to_micros(wanted.until),
        "before": None if wanted.before is None else audit.c.id < wanted.before,
    }
    query = select(audit).where(*(one for one in conditions.values() if one is not None))
    with database.read() as connection:
        rows = connection.execute(query.order_by(audit.c.id.desc()).limit(limit)).all()
    return [(int(row.id), _event(row)) for row in rows]


def actions(database: Database) -> list[str]:
    """Every action that is on record."""
    with database.read() as connection:
        return list(connection.execute(select(audit.c.action).distinct().order_by(audit.c.action)).scalars())


def subjects(database: Database, action: str) -> list[str]:
    """What an action was done to, each once."""
    query = select(audit.c.subject).where(audit.c.action == action).distinct().order_by(audit.c.subject)
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def as_csv(events: Iterable[AuditEvent]) -> str:
    """Events as CSV; a text that a spreadsheet would take for a formula gets an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("at", "by", "action", "subject", "document"))
    for event in events:
        told = (event.by, event.action, event.subject, json.dumps(event.document, sort_keys=True))
        writer.writerow((iso(event.at), *(f"'{text}" if text[:1] in "=+-@" else text for text in told)))
    return out.getvalue()


def _event(row: Row[Any]) -> AuditEvent:
    return AuditEvent(from_micros(row.at), row.by, row.action, row.subject, json.loads(row.document))


def latest(database: Database, limit: int = 100) -> list[AuditEvent]:
    """The newest events, newest first: for people. The loop keeps what it has to know in tables of its own."""
    with database.read() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.id.desc()).limit(limit)).all()
    return [_event(row) for row in rows]
