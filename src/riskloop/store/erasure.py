"""Erasing a person: who a decision was about and what it was made on go, the decision and its proof stay.

The digest of what was erased stays, too. Nobody can read anything out of it; somebody who has all of it from elsewhere,
every feature to the last bit, could confirm that it was the same. By it an erasure is done again where an older state
of the log comes back: a *tombstone* is a decision's id and that digest, and names nobody.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
from sqlalchemy import Connection, func, insert, select, update

from riskloop.core.chain import personal_part
from riskloop.core.errors import NotFound
from riskloop.core.span import Span
from riskloop.core.types import Decisions, Floats, Ints, from_micros, to_micros
from riskloop.store import chain, counters
from riskloop.store.archive import DECISIONS, FEATURES, Archive, covering, entries
from riskloop.store.audit import record
from riskloop.store.database import Database
from riskloop.store.erased import blank
from riskloop.store.frames import WHOLE
from riskloop.store.pieces import ERASED_FLAGS, Piece, Segment
from riskloop.store.segment_files import Written
from riskloop.store.segments import Segments
from riskloop.store.shadow import blank_scores
from riskloop.store.tables import archives, decisions, erasures, segments

_PART: Final = 500  # below SQLite's oldest limit of 999 bound variables
Personal = list[tuple[int, bytes]]  # decisions' ids, and the digests of their personal parts


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One erasure, as it is kept outside of the database; it names nobody."""

    at: datetime
    by: str
    reason: str
    gone: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased."""

    decisions: tuple[int, ...]  # their ids
    files: int  # segments and archive files that were written anew
    away: tuple[str, ...] = ()  # archive files that could not be looked at


@dataclass(slots=True)
class _Work:
    """What one erasure has done so far, in one transaction."""

    connection: Connection
    stored: Segments
    archive: Archive
    gone: Personal = field(default_factory=list)
    old_segments: list[str] = field(default_factory=list)
    old_archives: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)

    def rows(self, chosen: Sequence[int]) -> None:
        """Rows of the table."""
        columns = (decisions.c.id, decisions.c.customer_id, decisions.c.features, decisions.c.flags)
        for start in range(0, len(chosen), _PART):
            query = select(*columns).where(decisions.c.id.in_(chosen[start : start + _PART]))
            for row in self.connection.execute(query).all():
                values = {"customer_id": "", "features": blank(row.features), "flags": ERASED_FLAGS}
                self.connection.execute(update(decisions).where(decisions.c.id == row.id).values(**values))
                self.gone.append((int(row.id), personal_part(row.customer_id, bytes(row.features), row.flags)))

    def segment(self, segment: Segment, ids: Ints) -> None:
        """Some decisions of a segment, which is written anew."""
        written, gone = blanked(self.stored, segment, (ids - segment.first_id).tolist())
        values = {"path": written.path, "sha256": written.sha256, "explored": written.explored}
        mine = segments.c.first_id == segment.first_id
        self.connection.execute(update(segments).where(mine).values(**values))
        chain.note(self.connection, segments, segment.first_id)
        self.gone += gone
        self.old_segments.append(segment.path)

    def archives(self, customer_id: str | None, wanted: dict[int, bytes] | None) -> None:
        """What is in the archive, of a customer or by tombstones; each file that holds some is written anew."""
        for entry in entries(self.connection, DECISIONS, FEATURES):
            if entry.path is None:
                continue
            if not self.archive.is_there(entry):
                self.away.append(f"{self.archive.place(entry)} (decisions {entry.first_id:,} to {entry.last_id:,})")
                continue
            if customer_id is not None:
                rows = self.archive.places_of(entry, customer_id)
            else:
                rows = [n - entry.first_id for n in wanted or () if entry.first_id <= n <= entry.last_id]
            made, gone = self.archive.without(entry, lambda n, p: wanted is None or wanted.get(n) == p, rows)
            if gone:
                values = {"path": made.path, "sha256": made.sha256}
                self.connection.execute(update(archives).where(archives.c.id == entry.id).values(**values))
                chain.note(self.connection, archives, entry.id)
                self.gone += gone
                self.old_archives.append(entry.path)

    def remember(self, at: datetime, by: str, reason: str) -> Tombstone:
        """Put the tombstones on record."""
        self.gone = sorted(dict(self.gone).items())
        values = {"at": to_micros(at), "by": by, "reason": reason}
        newest = select(func.coalesce(func.max(erasures.c.id), 0))
        before = self.connection.execute(newest).scalar_one()  # one erasure at a time: `counters.lock`
        self.connection.execute(insert(erasures), [{"decision_id": n, "personal": p, **values} for n, p in self.gone])
        made = select(erasures.c.id).where(erasures.c.id > before)
        chain.note(self.connection, erasures, *self.connection.execute(made).scalars())
        numbers = [number for number, _ in self.gone]
        blank_scores(self.connection, np.array(numbers, dtype=np.int64))
        document = {"decisions": numbers[:100], "count": len(numbers), "reason": reason}
        record(self.connection, at=at, by=by, action="erase", subject="customer", document=document)
        return Tombstone(at, by, reason, tuple(self.gone))

    def clean_up(self) -> None:
        """After the commit: former files go."""
        if self.old_segments:
            self.stored.files.remove(self.old_segments)
        if self.old_archives and self.archive.files is not None:
            self.archive.files.remove(self.old_archives)


def erase_customer(
    database: Database,
    stored: Segments,
    archive: Archive,
    customer_id: str,
    *,
    by: str,
    reason: str,
    at: datetime,
    keep: Callable[[Tombstone], None] = lambda _tombstone: None,
) -> Erased:
    """Erase every decision on a customer, in the table, in segments and in the archive.

    The audit trail does not name the customer. Files are written anew, and their former ones removed. ``keep`` gets
    the tombstone before anything is committed; when it raises, nothing is erased. Done again: NotFound.
    """
    if not customer_id:
        raise NotFound("Name a customer to erase.")
    with database.write() as connection:
        counters.lock(connection, archives)  # nobody archives a copy meanwhile
        work = _Work(connection, stored, archive)
        mine = select(decisions.c.id).where(decisions.c.customer_id == customer_id)
        work.rows(list(connection.execute(mine).scalars()))
        for segment, ids in list(stored.of_customer(connection, customer_id, limit=2**62)):
            work.segment(segment, ids)
        work.archives(customer_id, None)
        if not work.gone:
            away = f" Not looked at, because it is not there: {', '.join(work.away)}." if work.away else ""
            raise NotFound(f"There is no decision on that customer.{away}")
        keep(work.remember(at, by, reason))
    work.clean_up()
    files = len(work.old_segments) + len(work.old_archives)
    return Erased(tuple(number for number, _ in work.gone), files, tuple(work.away))


def erase_again(database: Database, stored: Segments, archive: Archive, tombstones: Sequence[Tombstone]) -> list[int]:
    """Erase what an older state of the log has brought back; returns the decisions that were.

    Only a decision whose personal part has the very digest of its tombstone is touched, each by who erased it then.
    """
    done: list[int] = []
    for tombstone in tombstones:
        with database.write() as connection:
            counters.lock(connection, archives)
            work = _Work(connection, stored, archive)
            known = set(connection.execute(select(erasures.c.decision_id)).scalars())
            wanted = {number: personal for number, personal in tombstone.gone if number not in known}
            numbers = np.array(sorted(wanted), dtype=np.int64)
            work.rows(_as_erased(connection, wanted))
            for segment, ids in stored.holding(connection, numbers):
                same = dict(_personal(stored, segment, ids))
                back = ids[[same[number] == wanted[number] for number in ids.tolist()]]
                if len(back):
                    work.segment(segment, back)
            work.archives(None, wanted)
            if work.gone:
                work.remember(tombstone.at, tombstone.by, tombstone.reason)
        work.clean_up()
        done += [number for number, _ in work.gone]
    return sorted(done)


def erasure_of(database: Database, decision_id: int) -> str | None:
    """Why the personal part of a decision is gone, in a sentence; None where it is not."""
    query = select(erasures).where(erasures.c.decision_id == decision_id)
    with database.read() as connection:
        row = connection.execute(query).first()
        taken = [entry for entry in covering(connection, decision_id) if entry.kind == FEATURES]
    gone = "who it was about and what it was made on are gone. That it was made, its probability and its proof stay"
    if row is not None:
        when = f"{from_micros(row.at):%Y-%m-%d} by {row.by} ({row.reason})"
        return f"Decision {decision_id} was erased on {when}: {gone} on record."
    if taken:
        when = f"{from_micros(taken[0].at):%Y-%m-%d}"
        return f"Decision {decision_id} is older than [retention] features; on {when} it was emptied: {gone} on record."
    return None


def blanked(stored: Segments, segment: Segment, rows: Iterable[int]) -> tuple[Written, Personal]:
    """A segment's file written anew without what is personal in some of its rows, and the digests of that by id."""
    piece = stored.piece(segment, Span(segment.first_id, segment.last_id), WHOLE)
    matrix, names = piece.features.copy(), [field.name for field in piece.table.schema.field("features").type]
    customers, flags = piece.table["customer_id"].to_pylist(), piece.table["flags"].to_pylist()
    gone = []
    for row in rows:
        gone.append((segment.first_id + row, _digest(customers[row], matrix[row], flags[row])))
        customers[row], flags[row], matrix[row] = "", ERASED_FLAGS, np.nan
    return stored.files.write(_as_decisions(piece, customers, flags, matrix), names), gone


def _as_erased(connection: Connection, wanted: dict[int, bytes]) -> list[int]:
    """Which rows of the table have the personal part that was erased."""
    columns = (decisions.c.id, decisions.c.customer_id, decisions.c.features, decisions.c.flags)
    numbers, found = sorted(wanted), []
    for start in range(0, len(numbers), _PART):
        query = select(*columns).where(decisions.c.id.in_(numbers[start : start + _PART]))
        for row in connection.execute(query):
            if personal_part(row.customer_id, bytes(row.features), row.flags) == wanted[row.id]:
                found.append(int(row.id))
    return found


def _personal(stored: Segments, segment: Segment, ids: Ints) -> Personal:
    piece = stored.picked(segment, ids, WHOLE)
    matrix = piece.features
    customers, flags = piece.table["customer_id"].to_pylist(), piece.table["flags"].to_pylist()
    return [(n, _digest(customers[i], matrix[i], flags[i])) for i, n in enumerate(ids.tolist())]


def _digest(customer: str, features: Floats, flags: str | None) -> bytes:
    return personal_part(customer, features.astype("<f8").tobytes(), flags)


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
