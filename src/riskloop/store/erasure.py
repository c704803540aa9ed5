"""Erasing a person: who a decision was about and what it was made on go, the decision and its proof stay.

The digest of what was erased stays, too. Nobody can read anything out of it; somebody who has all of it from elsewhere,
every feature to the last bit, could confirm that it was the same.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, insert, select, update

from riskloop.core.chain import personal_part
from riskloop.core.errors import NotFound
from riskloop.core.span import Span
from riskloop.core.types import Decisions, Floats, Ints, from_micros, to_micros
from riskloop.store import chain
from riskloop.store.audit import record
from riskloop.store.database import Database
from riskloop.store.erased import ERASED_FLAGS, blank
from riskloop.store.frames import WHOLE, features_of
from riskloop.store.segments import Piece, Segment, Segments
from riskloop.store.tables import decisions, erasures, segments


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased."""

    decisions: tuple[int, ...]  # their ids
    files: int  # segments that were written anew


def erase_customer(
    database: Database, stored: Segments, customer_id: str, *, by: str, reason: str, at: datetime
) -> Erased:
    """Erase every decision on a customer, in the table and in segments; the audit trail does not name the customer.

    Segments are written anew, and their former files removed. Done again it finds nothing: NotFound.
    """
    if not customer_id:
        raise NotFound("Name a customer to erase.")
    old_files: list[str] = []
    with database.write() as connection:
        gone = _erase_rows(connection, customer_id)
        for segment, ids in list(stored.of_customer(connection, customer_id, limit=2**62)):
            gone += _erase_in(connection, stored, segment, ids)
            old_files.append(segment.path)
        if not gone:
            raise NotFound("There is no decision on that customer.")
        values = {"at": to_micros(at), "by": by, "reason": reason}
        connection.execute(insert(erasures), [{"decision_id": n, "personal": p, **values} for n, p in gone])
        numbers = [number for number, _ in gone]
        made = select(erasures.c.id).where(erasures.c.at == values["at"], erasures.c.by == by)
        chain.note(connection, erasures, *connection.execute(made).scalars())
        document = {"decisions": numbers[:100], "count": len(numbers), "reason": reason}
        record(connection, at=at, by=by, action="erase", subject="customer", document=document)
    if old_files:
        stored.files.remove(old_files)
    return Erased(tuple(sorted(numbers)), len(old_files))


def erasure_of(database: Database, decision_id: int) -> str | None:
    """Why a decision is erased, in a sentence; None where it is not."""
    query = select(erasures).where(erasures.c.decision_id == decision_id)
    with database.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        return None
    return (
        f"Decision {decision_id} was erased on {from_micros(row.at):%Y-%m-%d} by {row.by} ({row.reason}): who it was "
        "about and what it was made on are gone. That it was made, its probability and its proof stay on record."
    )


def _erase_rows(connection: Connection, customer_id: str) -> list[tuple[int, bytes]]:
    chosen = select(decisions.c.id, decisions.c.customer_id, decisions.c.features, decisions.c.flags)
    rows = connection.execute(chosen.where(decisions.c.customer_id == customer_id)).all()
    for row in rows:
        values = {"customer_id": "", "features": blank(row.features), "flags": ERASED_FLAGS}
        connection.execute(update(decisions).where(decisions.c.id == row.id).values(**values))
    return [(int(row.id), personal_part(row.customer_id, bytes(row.features), row.flags)) for row in rows]


def _erase_in(connection: Connection, stored: Segments, segment: Segment, ids: Ints) -> list[tuple[int, bytes]]:
    """Write a segment anew without what is personal in some of its decisions."""
    piece = stored.piece(segment, Span(segment.first_id, segment.last_id), WHOLE)
    matrix, where = features_of(piece).copy(), (ids - segment.first_id).tolist()
    customers, flags = piece.table["customer_id"].to_pylist(), piece.table["flags"].to_pylist()
    gone = []
    for row in where:
        content = matrix[row].astype("<f8").tobytes()
        gone.append((segment.first_id + row, personal_part(customers[row], content, flags[row])))
        customers[row], flags[row], matrix[row] = "", ERASED_FLAGS, np.nan
    written = stored.files.write(_as_decisions(piece, customers, flags, matrix), _names(piece))
    values = {"path": written.path, "sha256": written.sha256, "explored": written.explored}
    connection.execute(update(segments).where(segments.c.first_id == segment.first_id).values(**values))
    chain.note(connection, segments, segment.first_id)
    return gone


def _as_decisions(piece: Piece, customers: list[str], flags: list[str | None], matrix: Floats) -> Decisions:
    return Decisions(
        customer_ids=customers,
        times=piece.column("time").tolist(),
        scored_at=piece.segment.scored_at,
        model_version=piece.segment.model_version,
        probabilities=piece.column("probability"),
        defaults=piece.column("declined"),
        features=np.ascontiguousarray(matrix),
        flags=flags,
    )


def _names(piece: Piece) -> list[str]:
    return [field.name for field in piece.table.schema.field("features").type]
