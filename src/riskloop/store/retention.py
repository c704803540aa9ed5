"""What is older than it has to be leaves the log: into the archive first, then out, and the chain goes on proving it.

One file and one transaction at a time, so that nobody waits for long and a process that is killed has done whole ones.
What is taken out was looked at: decisions that are not what was committed are not archived.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from riskloop.core.chain import decision, personal_part, rows_digest
from riskloop.core.errors import StorageError
from riskloop.core.types import to_micros
from riskloop.store import chain, counters
from riskloop.store.archive import (
    AUDIT,
    DECISIONS,
    FEATURES,
    Archive,
    Archived,
    day_of,
    encode_audit,
    encode_decisions,
    horizon,
)
from riskloop.store.audit import record
from riskloop.store.database import Database
from riskloop.store.erased import Gone, blank, is_erased
from riskloop.store.erasure import blanked
from riskloop.store.pieces import ERASED_FLAGS, Segment
from riskloop.store.segments import Segments
from riskloop.store.shadow import blank_scores
from riskloop.store.tables import archives, audit, decisions, erasures, links, segments

BATCH: Final = 10_000  # rows of a file and of a transaction, unless one commit had more
_COLUMNS: Final = tuple(decisions.c)
Names = Callable[[int], Sequence[str]]  # of a model version's features


@dataclass(frozen=True, slots=True)
class Retention:
    """What takes rows out."""

    database: Database
    segments: Segments
    archive: Archive
    names_of: Names
    by: str
    at: datetime

    def until(self, kind: str, cutoff: datetime) -> int:
        """The number up to which all rows of a kind are older than ``cutoff``."""
        with self.database.read() as connection:
            if kind == AUDIT:
                young = select(func.min(audit.c.id)).where(audit.c.at >= to_micros(cutoff))
                newest = int(connection.execute(select(func.coalesce(func.max(audit.c.id), 0))).scalar_one())
                first = connection.execute(young).scalar()
                return newest if first is None else int(first) - 1
            return _until(connection, _taken(connection, kind), to_micros(cutoff))

    def taken(self, kind: str) -> int:
        """The number up to which rows of a kind were taken out already."""
        with self.database.read() as connection:
            return _taken(connection, kind)

    def reach(self, kind: str, limit: int) -> int:
        """Up to which number `take` would come, since commits and files leave whole."""
        with self.database.read() as connection:
            reached = _taken(connection, kind)
            if kind != DECISIONS:
                return max(reached, limit)
            before = _last_link(connection)
            while True:
                segment = self.segments.following(connection, reached + 1)
                stop = limit if segment is None else min(limit, segment.first_id - 1)
                found: tuple[int, int | None] | None
                if segment is not None and segment.first_id == reached + 1:
                    found = None if segment.last_id > limit else (segment.last_id, before)
                else:
                    found = _commits(connection, kind, reached + 1, stop, before)
                if found is None:
                    return reached
                reached, before = found[0], found[1] or before

    def take(self, kind: str, limit: int) -> Iterator[Archived]:
        """Take out the rows of a kind up to a number, one file at a time, oldest first.

        Raises StorageError when the archive cannot be written, or rows are not what was committed.
        """
        step = self._audit if kind == AUDIT else self._decisions
        while True:
            done = step(kind, limit)
            if done is None:
                return
            yield done

    # ----------------------------------------------------------------------- decisions

    def _decisions(self, kind: str, limit: int) -> Archived | None:
        with self.database.read() as connection:
            first, seen = _taken(connection, kind) + 1, _last_erasure(connection)
            segment = self.segments.following(connection, first)
            if segment is not None and segment.first_id == first:
                return None if segment.last_id > limit else self._segment(kind, segment, seen)
            stop = limit if segment is None else min(limit, segment.first_id - 1)
            found = _commits(connection, kind, first, stop, _last_link(connection)) if first <= stop else None
            if found is None:
                return None
            last, link = found
            rows = _rows(connection, first, last)
            personal = _looked_at(connection, kind, rows, first, last)
        entry = self._entry(kind, first, last, last - first + 1, link)
        if self.archive.files is not None:
            path, sha256 = self.archive.files.keep(day_of(self.at), encode_decisions(rows, self.names_of))
            entry = replace(entry, path=path, sha256=sha256)
        gone = decisions.c.id.between(first, last)

        def leave(connection: Connection) -> None:
            if kind == DECISIONS:
                connection.execute(delete(decisions).where(gone))
                return
            for vector in {len(row[7]) for row in rows}:
                emptied = {"customer_id": "", "features": blank(bytes(vector)), "flags": ERASED_FLAGS}
                wide = gone & (func.length(decisions.c.features) == vector)
                connection.execute(update(decisions).where(wide).values(**emptied))

        return self._commit(entry, seen, leave, b"".join(personal) if kind == FEATURES else None)

    def _segment(self, kind: str, segment: Segment, seen: int) -> Archived:
        """A segment's file goes as it is; of its features an empty copy stays."""
        entry = self._entry(kind, segment.first_id, segment.last_id, segment.rows, None)
        self.segments.files.check(segment.path, segment.sha256)
        if self.archive.files is not None:
            self.segments.files.copy_to(self.archive.files, [segment.path])
            entry = replace(entry, path=segment.path, sha256=segment.sha256)
        written = blanked(self.segments, segment, range(segment.rows))[0] if kind == FEATURES else None

        def leave(connection: Connection) -> None:
            if written is not None:
                values = {"path": written.path, "sha256": written.sha256, "explored": written.explored}
                mine = segments.c.first_id == segment.first_id
                connection.execute(update(segments).where(mine).values(**values))
                chain.note(connection, segments, segment.first_id)

        done = self._commit(entry, seen, leave, None)
        if written is None or written.path != segment.path:
            self.segments.files.remove([segment.path])
        return done

    # ----------------------------------------------------------------------- the audit trail

    def _audit(self, kind: str, limit: int) -> Archived | None:
        with self.database.read() as connection:
            first = _taken(connection, kind) + 1
            ends = select(links.c.last_id).where(links.c.kind == audit.name, links.c.last_id.between(first, limit))
            found = list(connection.execute(ends.order_by(links.c.last_id).limit(BATCH)).scalars())
            last = next((end for end in reversed(found) if end < first + BATCH), found[0] if found else None)
            if last is None:
                return None
            inside = audit.c.id.between(first, last)
            rows = connection.execute(select(audit).where(inside).order_by(audit.c.id)).all()
        entry = self._entry(kind, first, int(last), len(rows), None)
        if self.archive.files is not None:
            path, sha256 = self.archive.files.keep(day_of(self.at), encode_audit(rows))
            entry = replace(entry, path=path, sha256=sha256)
        return self._commit(entry, None, lambda c: c.execute(delete(audit).where(inside)), None)

    # ----------------------------------------------------------------------- shared

    def _entry(self, kind: str, first: int, last: int, rows: int, link: int | None) -> Archived:
        return Archived(0, kind, first, last, rows, to_micros(self.at), self.by, None, None, link)

    def _commit(
        self, entry: Archived, seen: int | None, leave: Callable[[Connection], Any], personal: bytes | None
    ) -> Archived:
        with self.database.write() as connection:
            number = counters.take(connection, archives)  # keeps erasures out, too
            if seen is not None and _last_erasure(connection) != seen:
                raise StorageError("Somebody was erased while their decisions were archived. Nothing left; try again.")
            if _taken(connection, entry.kind) != entry.first_id - 1:
                raise StorageError("Somebody else archives at the same time. Nothing left; try again.")
            leave(connection)
            if entry.kind != AUDIT:
                blank_scores(connection, np.arange(entry.first_id, entry.last_id + 1))
            made = replace(entry, id=number)
            values = {name: getattr(made, name) for name in Archived.__slots__}
            connection.execute(insert(archives).values(**values, personal=personal))
            chain.note(connection, archives, number)
            document = {"rows": made.rows, "file": made.path}
            record(connection, at=self.at, by=self.by, action="retain", subject=made.what, document=document)
        return made


def _taken(connection: Connection, kind: str) -> int:
    # Features that left with their decision are gone, too.
    return horizon(connection, *((FEATURES, DECISIONS) if kind == FEATURES else (kind,)))


def _until(connection: Connection, taken: int, cutoff: int) -> int:
    young = or_(decisions.c.time >= cutoff, decisions.c.scored_at >= cutoff)
    # In the order of the ids the first young one comes soon: what is older was taken out before.
    one = select(decisions.c.id).where(decisions.c.id > taken, young).order_by(decisions.c.id).limit(1)
    late = or_(segments.c.last_time >= cutoff, segments.c.scored_at >= cutoff)
    file = select(segments.c.first_id).where(segments.c.first_id > taken, late).order_by(segments.c.first_id).limit(1)
    found = [number for query in (one, file) if (number := connection.execute(query).scalar()) is not None]
    return min(found) - 1 if found else counters.last(connection, decisions)


def _last_erasure(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(erasures.c.id), 0))).scalar_one())


def _last_link(connection: Connection) -> int:
    """The last link whose decisions are all archived."""
    return int(connection.execute(select(func.coalesce(func.max(archives.c.link), 0))).scalar_one())


def _commits(connection: Connection, kind: str, first: int, stop: int, before: int) -> tuple[int, int | None] | None:
    """Where the next file ends, behind the link ``before``, and with which link.

    Decisions leave by whole commits, so that each link stays provable by one place.
    """
    if kind == FEATURES:
        return min(stop, first + BATCH - 1), None
    query = select(links.c.number, links.c.last_id).where(links.c.kind == decisions.name, links.c.number > before)
    found = None
    with connection.execute(query.order_by(links.c.number).execution_options(yield_per=1000)) as ends:
        for number, last in ends:
            if last > stop or (found is not None and last >= first + BATCH):
                break
            found = int(last), int(number)
    return found


def _rows(connection: Connection, first: int, last: int) -> list[tuple[Any, ...]]:
    query = select(*_COLUMNS).where(decisions.c.id.between(first, last)).order_by(decisions.c.id)
    rows = [tuple(row) for row in connection.execute(query)]
    if len(rows) != last - first + 1:
        raise StorageError(
            f"Of the decisions {first:,} to {last:,} only {len(rows):,} are on record, so none was taken out. Run "
            "`riskloop verify`."
        )
    return rows


def _looked_at(
    connection: Connection, kind: str, rows: Sequence[tuple[Any, ...]], first: int, last: int
) -> list[bytes]:
    """The digest of each row's personal part; whole commits are held against their links."""
    gone = Gone(connection)
    personal = [
        (gone.personal(row[0]) if is_erased(row[8]) else None) or personal_part(row[1], row[7], row[8]) for row in rows
    ]
    if kind == FEATURES:
        return personal
    query = select(links.c.number, links.c.first_id, links.c.last_id, links.c.digest)
    later = links.c.kind == decisions.name, links.c.number > _last_link(connection)
    query = query.where(*later).order_by(links.c.number)
    with connection.execute(query.execution_options(yield_per=1000)) as found:
        for number, start, end, digest in found:
            if end > last:
                break
            part = range(start - first, end - first + 1)
            records = [_record(rows[i], personal[i]) for i in part]
            if rows_digest(records) != bytes(digest):
                raise StorageError(
                    f"The decisions {start:,} to {end:,} are not what was committed (link {number}), so none was taken "
                    "out. Run `riskloop verify`."
                )
    return personal


def _record(row: tuple[Any, ...], personal: bytes) -> bytes:
    _, _, time, scored_at, version, probability, declined, _, _ = row
    return decision(time, scored_at, version, probability, declined, personal)
