"""The decision log: every scored customer, committed before the answer leaves. Reading it; `appender` writes it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import Connection, Row, func, select

from riskloop.core.errors import Conflict, NotFound
from riskloop.core.maturity import LATEST, Maturity
from riskloop.core.sampling import drawn, spread
from riskloop.core.schema import Schema
from riskloop.core.span import EVERYTHING, Span
from riskloop.core.types import Bools, Decision, DecisionFrame, Decisions, Ints, from_micros
from riskloop.store import tallies
from riskloop.store.appender import Appender, ChunkKey, Logged, repeated
from riskloop.store.archive import DECISIONS, FEATURES, Archive, covering, entries, horizon, last_of
from riskloop.store.coding import Coding, SchemaOf
from riskloop.store.database import Database
from riskloop.store.erased import is_erased
from riskloop.store.erasure import erasure_of
from riskloop.store.frames import (
    BARE,
    BARE_OF_SEGMENT,
    FRAME,
    WHOLE,
    decision_of,
    decisions_of,
    frame_of_piece,
    frame_of_rows,
    joined,
    latest,
    settle,
)
from riskloop.store.listing import DecisionPage, Place, Sought, happened, page
from riskloop.store.pieces import ERASED, Piece, Segment, present
from riskloop.store.reported import BY_DECISION, counted, has_report, is_reported, reported_on
from riskloop.store.segments import Segments, last_decision, refuse_scored
from riskloop.store.spans import where
from riskloop.store.tables import chunks, decisions, outcomes, segments

DAY: Final = 86_400_000_000  # microseconds
ANY: Final = Maturity(LATEST)
SOME: Final = 10_000  # decisions that stand for all of a window where a share is said
_ROWS: Final = 10_000  # looked at together
_PART: Final = 500  # below SQLite's oldest limit of 999 bound variables


class Extent(NamedTuple):
    """How many decisions lie in a span, and from where to where."""

    rows: int
    first: int  # ids
    last: int
    earliest: int  # times in microseconds
    latest: int


class Times(NamedTuple):
    """From where to where decisions are dated, in microseconds."""

    earliest: int
    latest: int


class Covered(NamedTuple):
    """How many decisions of a span were approved and declined, and how many of them have an outcome."""

    approved: int
    approved_known: int
    declined: int
    declined_known: int

    @property
    def known(self) -> int:
        """Decisions with an outcome."""
        return self.approved_known + self.declined_known


class Stored(NamedTuple):
    """A profile that was made when decisions were scored."""

    first_id: int
    last_id: int
    model_version: int
    profile: bytes


class DecisionLog:
    """Reads the log, and hands out appenders for it. Rows of the table and decisions in segments are one log.

    What retention took out is not in it: `get` alone looks into the archive, too.
    """

    def __init__(
        self,
        database: Database,
        segments: Segments | None = None,
        archive: Archive | None = None,
        schema_of: SchemaOf | None = None,
    ) -> None:
        self.database = database
        self.schema_of = schema_of
        self.segments = segments or Segments(database)
        self.archive = archive or Archive(None)

    def appender(self, *, waits: bool = True, checkpoints: bool = True) -> Appender:
        """A connection of its own for appending; see :class:`Appender`."""
        return self.database.appender(waits=waits, checkpoints=checkpoints)

    def append(self, group: Decisions, chunk: ChunkKey | None = None) -> Logged:
        """Log one group of decisions durably; StorageError when that is impossible now."""
        appender = self.appender()
        try:
            logged = appender.append([group], chunk)
        finally:
            appender.close()
        if logged is None:
            raise appender.busy()
        return logged[0]

    def find_chunk(self, chunk: ChunkKey) -> Logged | None:
        """Where a chunk was logged, None when it was not; Conflict when its key belongs to other rows."""
        query = select(chunks.c.fingerprint, chunks.c.first_id, chunks.c.rows).where(chunks.c.key == chunk.key)
        with self.database.read() as connection:
            row = connection.execute(query).first()
            if row is None:
                refuse_scored(connection, chunk.key)
        return None if row is None else repeated(chunk, *row)

    def chunk(self, first_id: int, rows: int) -> Decisions:
        """A chunk's decisions as they were logged; they share one model version and one moment.

        Raises Conflict when retention took out what they were made on.
        """
        if first_id <= self.horizon():
            raise Conflict("The decisions on these rows are archived. Use a new idempotency key to decide again.")
        query = select(decisions).where(decisions.c.id >= first_id, decisions.c.id < first_id + rows)
        with self.database.read() as connection:
            found = connection.execute(query.order_by(decisions.c.id)).all()
        frame = frame_of_rows(
            [
                (r.id, r.customer_id, r.time, r.model_version, r.probability, r.features, r.is_default, r.flags)
                for r in found
            ]
        )
        return Decisions(
            customer_ids=frame.customer_ids,
            times=frame.times.tolist(),
            scored_at=int(found[0].scored_at),
            model_version=int(found[0].model_version),
            probabilities=frame.probabilities,
            defaults=np.array([r.is_default for r in found], dtype=np.bool_),
            features=frame.features,
            flags=[r.flags for r in found],
        )

    def get(self, decision_id: int) -> Decision:
        """One decision, from the archive where retention took it out and its file is there.

        NotFound when there is none of that number, or when it was erased or archived elsewhere: then it says so.
        """
        with self.database.read() as connection:
            row = connection.execute(select(decisions).where(decisions.c.id == decision_id)).first()
            found = [] if row is None else [decision_of(row)]
            for piece in self.segments.pieces(connection, Span(decision_id, decision_id), WHOLE) if not found else ():
                found += decisions_of(piece)
            taken = covering(connection, decision_id)
        if found and found[0].flags.get(ERASED) is not True:
            return found[0]
        for entry in taken:
            if self.archive.is_there(entry) and (kept := self.archive.decision(entry, decision_id)) is not None:
                return kept
        raise NotFound(erasure_of(self.database, decision_id) or self._not_here(decision_id))

    def _not_here(self, decision_id: int) -> str:
        with self.database.read() as connection:
            taken = [entry for entry in covering(connection, decision_id) if entry.kind == DECISIONS]
        if not taken:
            return f"There is no decision {decision_id} in the log."
        entry, when = taken[0], f"{from_micros(taken[0].at):%Y-%m-%d}"
        where = (
            "kept nowhere"
            if entry.path is None
            else f"put into {self.archive.place(entry)}, which is not there now; put it back to read it"
        )
        return (
            f"Decision {decision_id} is older than [retention] decisions; on {when} it left the log with the decisions "
            f"{entry.first_id:,} to {entry.last_id:,} and was {where}. Their links stay on record."
        )

    def where_archived(self, decision_id: int) -> str | None:
        """The file in which a decision lies that left the log; None where it did not."""
        with self.database.read() as connection:
            taken = covering(connection, decision_id)
        return next((self.archive.place(entry) for entry in taken if entry.path is not None), None)

    def horizon(self) -> int:
        """Up to this id retention took out what decisions were made on, or all of them; 0: nothing."""
        with self.database.read() as connection:
            return horizon(connection, DECISIONS, FEATURES)

    def of_customer(self, customer_id: str, limit: int = 100) -> list[Decision]:
        """The decisions on one customer, newest first. Looks through the customers of every segment."""
        query = select(decisions).where(decisions.c.customer_id == customer_id)
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(decisions.c.id.desc()).limit(limit)).all()
            found = [decision_of(row) for row in rows]
            for segment, ids in self.segments.of_customer(connection, customer_id, limit):
                found += decisions_of(self.segments.picked(segment, ids, WHOLE))
        return sorted(found, key=lambda decision: -decision.decision_id)[:limit]

    def latest(self, limit: int = 20) -> list[Decision]:
        """The newest decisions, newest first."""
        with self.database.read() as connection:
            newest = Span(first_id=last_decision(connection) - limit + 1)
            query = select(decisions).where(where(newest))
            found = [decision_of(row) for row in connection.execute(query)]
            for piece in self.segments.pieces(connection, newest, WHOLE):
                found += decisions_of(piece)
        return sorted(found, key=lambda decision: -decision.decision_id)

    def page(self, wanted: Sought, after: Place | None, size: int) -> DecisionPage:
        """The ``size`` newest decisions that are looked for, after a place in the list."""
        with self.database.read() as connection:
            return page(connection, self.segments, wanted, after, size)

    def happened(self, ids: Sequence[int]) -> dict[int, bool]:
        """The latest outcome of each of these decisions that has one: whether it defaulted."""
        with self.database.read() as connection:
            return happened(connection, ids)

    def count(self) -> int:
        """How many decisions were logged, those that retention took out among them."""
        with self.database.read() as connection:
            rows = connection.execute(select(func.count()).select_from(decisions)).scalar_one()
            in_files = sum(segment.rows for segment in self.segments.within(connection))
            return int(rows) + in_files + sum(entry.rows for entry in entries(connection, DECISIONS))

    def exploration(self, known: Maturity = ANY) -> tuple[int, int, int]:
        """(decisions declined or explored, those explored, explored ones with an outcome that is not in quarantine)."""
        with self.database.read() as connection:
            total = tallies.by_hour(connection, self.segments, EVERYTHING, known)[:, 1:].sum(axis=0)
        _, _, declined, explored, learned = total.tolist()
        return declined + explored, explored, learned

    def last_id(self) -> int:
        """The id of the newest decision, 0 when there is none. Without gaps it equals `count`."""
        with self.database.read() as connection:
            return last_decision(connection)

    def scored_at(self, decision_id: int) -> int | None:
        """When a decision was scored, in microseconds; None where there is none of that number."""
        query = select(decisions.c.scored_at).where(decisions.c.id == decision_id)
        with self.database.read() as connection:
            found = connection.execute(query).scalar()
            if found is not None:
                return int(found)
            inside = self.segments.within(connection, Span(decision_id, decision_id))
        return inside[0].scored_at if inside else None

    def next_time(self, start: int) -> int | None:
        """No decision is dated between ``start`` and this, in microseconds; None where none is dated later."""
        query = select(func.min(decisions.c.time)).where(decisions.c.time >= start)
        with self.database.read() as connection:
            found = [int(row[0]) for row in connection.execute(query) if row[0] is not None]
            found += (max(s.first_time, start) for s in self.segments.within(connection, Span(start=start)))
        return min(found, default=None)

    def holds(self, span: Span) -> bool:
        """Whether anything lies in the span; as quick for millions as for one."""
        query = select(decisions.c.id).where(where(span)).limit(1)
        with self.database.read() as connection:
            if connection.execute(query).first() is not None:
                return True
            return any(self._extent(s, span) is not None for s in self.segments.within(connection, span))

    def times(self) -> Times | None:
        """The first and the last time of a decision; None where there is none. As quick for millions as for one."""
        there = segments.c.first_id > last_of(DECISIONS)
        each = (  # each by itself is one look into an index
            select(func.min(decisions.c.time)),
            select(func.min(segments.c.first_time)).where(there),
            select(func.max(decisions.c.time)),
            select(func.max(segments.c.last_time)).where(there),
        )
        with self.database.read() as connection:
            row = connection.execute(select(*(query.scalar_subquery() for query in each))).one()
        first, last = ([int(time) for time in pair if time is not None] for pair in (row[:2], row[2:]))
        return Times(min(first), max(last)) if first else None

    def extent(self, span: Span = EVERYTHING) -> Extent | None:
        """What lies in the span; None when nothing does."""
        number, time = decisions.c.id, decisions.c.time
        query = select(func.count(), func.min(number), func.max(number), func.min(time), func.max(time))
        with self.database.read() as connection:
            row = connection.execute(query.where(where(span))).one()
            found = [Extent(*(int(value) for value in row))] if row[0] else []
            found += (e for s in self.segments.within(connection, span) if (e := self._extent(s, span)) is not None)
        if not found:
            return None
        rows, first, last, earliest, latest = zip(*found, strict=True)
        return Extent(sum(rows), min(first), max(last), min(earliest), max(latest))

    def _extent(self, segment: Segment, span: Span) -> Extent | None:
        if segment.lies_in(span):
            return Extent(segment.rows, segment.first_id, segment.last_id, segment.first_time, segment.last_time)
        piece = self.segments.piece(segment, span, ["time"])
        times = piece.column("time")
        if not len(times):
            return None
        return Extent(len(times), int(piece.ids[0]), int(piece.ids[-1]), int(times.min()), int(times.max()))

    def frame(
        self,
        span: Span = EVERYTHING,
        known: Maturity | None = None,
        share: float = 1.0,
        schema: Schema | None = None,
        *,
        bare: bool = False,
    ) -> DecisionFrame:
        """The decisions of a span, ordered by id, with the outcomes that count by ``known``; without it all are NaN.

        With a ``schema`` every row is as that one codes it, and those are left out that lack an input of its model.

        A ``share`` below 1 is a random one, drawn by the ids alone: the same decisions whoever asks, and whenever.
        ``bare`` ones come without customers and features, which are most of what has to be read.

        Erased ones are left out, here and in `chosen`: nothing is learned from them or judged by them.
        Raises DataError when the rows were logged under schemas of different length.
        """
        query = select(*(BARE if bare else FRAME)).where(where(span)).order_by(decisions.c.id)
        columns, coding = BARE_OF_SEGMENT if bare else WHOLE, self.coding(schema)
        with self.database.read() as connection:
            frames = [frame_of_rows(_present(connection.execute(query), share), coding)]
            if known is not None:
                settle(frames[0], latest(_outcomes(connection, where(span), known), frames[0].ids), known)
            for piece in map(present, self.segments.pieces(connection, span, columns, share=share)):
                frames.append(frame_of_piece(piece, coding))
                if known is not None:
                    settle(frames[-1], reported_on(connection, frames[-1].ids, known), known)
        return joined(frames)

    def coding(self, schema: Schema | None) -> Coding | None:
        """How decisions of any version are read as one ``schema`` has them; None: as they were logged."""
        return None if schema is None or self.schema_of is None else Coding(schema, self.schema_of)

    def chosen(
        self, ids: Sequence[int] | Ints, known: Maturity, *, bare: bool = False, schema: Schema | None = None
    ) -> DecisionFrame:
        """The decisions with these ids as far as they exist, and their outcomes and coding as in `frame`.

        ``bare`` ones come without customers and features, which are most of what has to be read.
        """
        rows: list[Any] = []
        found: dict[int, float] = {}
        wanted, coding = np.unique(np.asarray(ids, dtype=np.int64)), self.coding(schema)
        with self.database.read() as connection:
            held = self.segments.holding(connection, wanted)
            others = np.setdiff1d(wanted, np.concatenate([part for _, part in held])) if held else wanted
            for start in range(0, len(others), _PART):
                condition = decisions.c.id.in_(others[start : start + _PART].tolist())
                query = select(*(BARE if bare else FRAME)).where(condition).order_by(decisions.c.id)
                rows += _present(connection.execute(query))
                found |= _outcomes(connection, condition, known)
            frames = [frame_of_rows(rows, coding)]
            settle(frames[0], latest(found, frames[0].ids), known)
            for segment, part in held:
                piece = present(self.segments.picked(segment, part, BARE_OF_SEGMENT if bare else WHOLE))
                frames.append(frame_of_piece(piece, coding))
                settle(frames[-1], reported_on(connection, frames[-1].ids, known), known)
        return joined(frames)

    def some(self, span: Span, first_id: int, last_id: int, known: Maturity, most: int = SOME) -> DecisionFrame:
        """At most ``most`` decisions of a span, evenly spread over the ids that it lies within, as `chosen` bare."""
        frame = self.chosen(spread(first_id, last_id, most), known, bare=True)
        return frame.take(np.flatnonzero(span.mask(frame.times, frame.ids)))

    def profiles(
        self,
        span: Span,
        usable: Callable[[Stored], bool] = lambda _: True,
        make: Callable[[Piece], bytes] | None = None,
        schema: Schema | None = None,
    ) -> list[Stored]:
        """The profiles of segments that lie wholly in the span: none of their rows has to be read for one.

        Those that are not ``usable`` are left out, or made anew by ``make``, where segments are read, as long as the
        ``schema`` codes their rows alike.
        """
        with self.database.read() as connection:
            whole = [segment for segment in self.segments.within(connection, span) if segment.lies_in(span)]
            made = [(segment, self.segments.profile(connection, segment)) for segment in whole]
        found = [stored for one, bytes_ in made if bytes_ is not None and usable(stored := _stored(one, bytes_))]
        if make is not None:
            there = {stored.first_id for stored in found}
            coding = self.coding(schema)
            others = [
                segment
                for segment in whole
                if segment.first_id not in there and (coding is None or coding.alike(segment.model_version))
            ]
            new = self.segments.each(others, make, columns=WHOLE)
            found += [_stored(segment, profile) for segment, profile in zip(others, new, strict=True)]
        return sorted(found)

    def by_version(self, span: Span) -> dict[int, int]:
        """How many decisions of a span each version made."""
        query = select(decisions.c.model_version, func.count()).where(where(span)).group_by(decisions.c.model_version)
        with self.database.read() as connection:
            found = Counter({row.model_version: int(row[1]) for row in connection.execute(query)})
            for piece in self.segments.pieces(connection, span):
                found[piece.segment.model_version] += len(piece.ids)
        return dict(found)

    def days(self, first: int, last: int, known: Maturity) -> tuple[Ints, Ints, Ints]:
        """Days with approved decisions whose time is in [first, last], microseconds, and what is known of them.

        Returns the day's beginning, how many were approved, and how many of these have an outcome, each (d,).
        """
        with self.database.read() as connection:
            found = tallies.by_hour(connection, self.segments, Span(start=first, end=last + 1), known)
        dated, which = np.unique(found[:, 0] * tallies.HOUR // DAY, return_inverse=True)
        sums = np.zeros((len(dated), 2), dtype=np.int64)
        np.add.at(sums, which, found[:, 1:3])
        there = sums[:, 0] > 0
        return dated[there] * DAY, sums[there, 0], sums[there, 1]

    def decided(self, span: Span, known: Maturity) -> tuple[int, int]:
        """How many decisions of a span approve and decline; of a span by time as quick for many as for few."""
        timed = span.first_id is None and span.last_id is None
        with self.database.read() as connection:
            found = (tallies.by_hour if timed else tallies.count)(connection, self.segments, span, known)
        return int(found[:, 1].sum()), int(found[:, 3].sum())

    def keep_tallies(self, known: Maturity) -> None:
        """Count on what `days` and `exploration` go by; for the worker. See `tallies`."""
        tallies.keep(self.database, self.segments, known)

    def coverage(self, span: Span, known: Maturity) -> Covered:
        """Who of a span has an outcome that counts, approved and declined."""
        approved, there = decisions.c.is_default == 0, is_reported(known)
        query = select(
            func.count().filter(approved),
            func.count().filter(approved, there),
            func.count().filter(~approved),
            func.count().filter(~approved, there),
        )
        with self.database.read() as connection:
            total = np.array(connection.execute(query.select_from(decisions).where(where(span))).one(), dtype=np.int64)
            for _, yes, has in self._reported(connection, span, known):
                total += [np.count_nonzero(which) for which in (yes, yes & has, ~yes, ~yes & has)]
        return Covered(*total.tolist())

    def _reported(self, connection: Connection, span: Span, known: Maturity) -> Iterator[tuple[Ints, Bools, Bools]]:
        """Of the segments' decisions in a span the time, whether they were approved, and whether they are reported."""
        for piece in self.segments.pieces(connection, span, ["time", "declined"]):
            yield piece.column("time"), ~piece.column("declined"), has_report(connection, piece.ids, known)


def _stored(segment: Segment, profile: bytes) -> Stored:
    return Stored(segment.first_id, segment.last_id, segment.model_version, profile)


def _present(rows: Iterable[Row[Any]], share: float = 1.0) -> list[Row[Any]]:
    """Rows of `FRAME` that are not erased, or a share of them drawn by id."""
    found = (row for row in rows if row[-1] is None or not is_erased(row[-1]))
    if share >= 1.0:
        return list(found)
    kept: list[Row[Any]] = []
    while part := list(islice(found, _ROWS)):
        chosen = drawn(np.array([row[0] for row in part]), share)
        kept += (part[place] for place in np.flatnonzero(chosen).tolist())
    return kept


def _outcomes(connection: Connection, condition: Any, known: Maturity) -> dict[int, float]:
    """The latest outcome of rows of the table, by decision."""
    query = (
        select(outcomes.c.decision_id, outcomes.c.defaulted)
        .join(decisions, decisions.c.id == outcomes.c.decision_id)
        .where(condition, decisions.c.time <= known.until, counted(known))
        .order_by(*BY_DECISION)
    )
    return {number: float(value) for number, value in connection.execute(query)}
