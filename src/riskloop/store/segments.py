"""Segments of the log: each is one row here and one immutable file, which `segment_files` writes and reads.

A segment takes its block of ids in the transaction that registers it; a file that is not registered is not in the
log, so a run that is killed, tried again or done twice has done no harm.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from sqlalchemy import Connection, func, insert, select

from riskloop.core.errors import ArtefactError, Conflict, NotReady
from riskloop.core.span import EVERYTHING, Span
from riskloop.core.types import Ints
from riskloop.store import chain, counters
from riskloop.store.archive import DECISIONS, horizon, last_of
from riskloop.store.database import Database
from riskloop.store.pieces import HERE, Piece, PieceRequest, Reader, Segment, T, read_piece
from riskloop.store.segment_files import OLD, SegmentFiles, Written
from riskloop.store.tables import chunks, decisions, promotions, segments

_LOOKED_AT: Final = 1000  # chunks of a run, to see that it went through the API
_ROW: Final = [column for column in segments.c if column is not segments.c.profile]


class Segments:
    """Registers segments and reads them. Without a root it can say that there are some, and reads none."""

    def __init__(self, database: Database, root: str | Path | None = None, reader: Reader = HERE) -> None:
        self.database = database
        self._reader = reader
        self._files = None if root is None else SegmentFiles(root)

    @property
    def files(self) -> SegmentFiles:
        """Where the files lie."""
        if self._files is None:
            raise NotReady("The log holds segments, and their folder is not given; open the portfolio instead.")
        return self._files

    # ----------------------------------------------------------------------- writing

    def register(self, run: str, fingerprint: str, written: Sequence[Written], *, seq: int) -> list[Segment] | None:
        """Put files into the log in one transaction, in order, under the name ``run``: all of them or none.

        Done twice under one name, it is done once: the segments of the first time are returned. Returns None when the
        promotion ``seq`` is not the last one any more: another champion serves, so nothing was logged.
        Raises Conflict when the name was used for other rows.
        """
        with self.database.write() as connection:
            counters.lock(connection, decisions)
            known = _of_run(connection, run, fingerprint)
            if known:
                return known
            last = connection.execute(select(func.coalesce(func.max(promotions.c.seq), 0))).scalar_one()
            if last != seq:
                return None
            following = counters.take(connection, decisions, sum(one.rows for one in written))
            rows = []
            for number, one in enumerate(written):
                row = {name: getattr(one, name) for name in Written.__slots__}
                row |= {"first_id": following, "run": run, "number": number, "fingerprint": fingerprint}
                rows.append(row)
                following += one.rows
            connection.execute(insert(segments), rows)
            chain.note(connection, segments, *(row["first_id"] for row in rows))
            return [Segment(**{n: v for n, v in row.items() if n != "profile"}) for row in rows]

    def of_run(self, run: str, fingerprint: str) -> list[Segment]:
        """What was registered under a name, in order; Conflict when that was for other rows, or through the API."""
        with self.database.read() as connection:
            return _of_run(connection, run, fingerprint)

    def sweep(self) -> list[str]:
        """Remove files that nobody has registered for a day: they were left by runs that were killed."""
        with self.database.read() as connection:
            known = {segment.path for segment in self.within(connection)}
        left = [path for path in self.files.listed(OLD) if path not in known]
        self.files.remove(left)
        return left

    def altered(self) -> Iterator[tuple[Segment, str]]:
        """The segments whose files are missing or are not what was registered, each with a sentence; reads all."""
        with self.database.read() as connection:
            found = self.within(connection)
        for segment in found:
            try:
                self.files.check(segment.path, segment.sha256)
            except ArtefactError as error:
                yield segment, error.message

    # ----------------------------------------------------------------------- reading

    def last_id(self) -> int:
        """The id of the newest decision of the log."""
        with self.database.read() as connection:
            return last_decision(connection)

    def paths(self) -> list[str]:
        """Of every registered file that is not archived, in the order of the ids."""
        with self.database.read() as connection:
            return [segment.path for segment in self.within(connection)]

    def counts(self) -> tuple[int, int]:
        """How many files there are that are not archived, and how many decisions are in them."""
        query = select(func.count(), func.sum(segments.c.rows)).where(segments.c.first_id > last_of(DECISIONS))
        with self.database.read() as connection:
            files, rows = connection.execute(query).one()
        return int(files), int(rows or 0)

    def within(self, connection: Connection, span: Span = EVERYTHING) -> list[Segment]:
        """The segments that may hold decisions of a span, by id; not those that are archived."""
        query = select(*_ROW).where(segments.c.first_id > last_of(DECISIONS)).order_by(segments.c.first_id)
        if span.first_id is not None:
            query = query.where(segments.c.first_id + segments.c.rows > span.first_id)
        if span.last_id is not None:
            query = query.where(segments.c.first_id <= span.last_id)
        if span.start is not None:
            query = query.where(segments.c.last_time >= span.start)
        if span.end is not None:
            query = query.where(segments.c.first_time < span.end)
        return [Segment(**row._mapping) for row in connection.execute(query)]

    def following(self, connection: Connection, first_id: int) -> Segment | None:
        """The first segment that begins with an id or after it."""
        query = select(*_ROW).where(segments.c.first_id >= first_id).order_by(segments.c.first_id).limit(1)
        row = connection.execute(query).first()
        return None if row is None else Segment(**row._mapping)

    def holding(self, connection: Connection, ids: Ints) -> list[tuple[Segment, Ints]]:
        """The segments that hold some of ``ids``, ascending, each with those that it holds."""
        if not len(ids):
            return []
        found = []
        for segment in self.within(connection, Span(int(ids[0]), int(ids[-1]))):
            start, end = np.searchsorted(ids, [segment.first_id, segment.last_id + 1])
            if end > start:
                found.append((segment, ids[start:end]))
        return found

    def pieces(
        self, connection: Connection, span: Span = EVERYTHING, columns: Sequence[str] = (), *, share: float = 1.0
    ) -> Iterator[Piece]:
        """The decisions of a span, or a share of them drawn by id, segment by segment, by id."""
        found = self.each(self.within(connection, span), _itself, span, columns, share)
        return (piece for piece in found if len(piece.ids))

    def each(
        self,
        found: Sequence[Segment],
        work: Callable[[Piece], T],
        span: Span = EVERYTHING,
        columns: Sequence[str] = (),
        share: float = 1.0,
    ) -> Iterator[T]:
        """What ``work`` makes of the decisions of each segment that lie in a span, in order.

        It runs where segments are read, which may be another machine: it holds what it needs, and nothing else.
        """
        wanted = [PieceRequest(segment, span, tuple(columns), share) for segment in found]
        return self._reader.each(self.files, wanted, work) if wanted else iter(())

    def piece(self, segment: Segment, span: Span, columns: Sequence[str]) -> Piece:
        """The decisions of one segment that lie in a span; read here."""
        return read_piece(self.files, PieceRequest(segment, span, tuple(columns)))

    def picked(self, segment: Segment, ids: Ints, columns: Sequence[str]) -> Piece:
        """Some decisions of one segment; ``ids`` ascending."""
        piece = self.piece(segment, Span(int(ids[0]), int(ids[-1])), columns)
        return piece.at(ids - ids[0])

    def of_customer(
        self, connection: Connection, customer_id: str, limit: int, span: Span = EVERYTHING
    ) -> Iterator[tuple[Segment, Ints]]:
        """Where the newest decisions on one customer are, newest segment first; ids ascending, at most ``limit``."""
        import pyarrow.compute as pc

        for segment in reversed(self.within(connection, span)):
            piece = self.piece(segment, span, ["customer_id"])
            ids = piece.ids[pc.equal(piece.table["customer_id"], customer_id).to_numpy()][-limit:]
            if len(ids):
                yield piece.segment, ids
                limit -= len(ids)
            if not limit:
                return

    def profile(self, connection: Connection, segment: Segment) -> bytes | None:
        """The profile of its decisions, where one was made when they were scored."""
        query = select(segments.c.profile).where(segments.c.first_id == segment.first_id)
        found = connection.execute(query).scalar_one()
        return None if found is None else bytes(found)


def _itself(piece: Piece) -> Piece:
    return piece


def last_decision(connection: Connection) -> int:
    """The id of the newest decision, wherever it lies; 0 when there is none."""
    of_rows = select(func.coalesce(func.max(decisions.c.id), 0)).scalar_subquery()
    of_segments = select(func.coalesce(func.max(segments.c.first_id + segments.c.rows - 1), 0)).scalar_subquery()
    query = select(of_rows, of_segments, last_of(DECISIONS))
    return max(int(value) for value in connection.execute(query).one())


def refuse_scored(connection: Connection, chunk_key: str) -> None:
    """Raise Conflict when a chunk of a file is of a run whose decisions are in segments already."""
    of_chunk = re.fullmatch(r"(.+)-\d+-[0-9a-f]{32}", chunk_key)
    if of_chunk is None:
        return
    found = select(segments.c.first_id).where(segments.c.run == of_chunk[1]).limit(1)
    if connection.execute(found).first() is not None:
        raise Conflict(
            f"This file was scored under the run key '{of_chunk[1]}' without the API. Score it that way again to "
            "get the same decisions, or give another --run-key to decide again. Nothing was logged."
        )


def _of_run(connection: Connection, run: str, fingerprint: str) -> list[Segment]:
    sent = select(chunks.c.key).where(chunks.c.key.startswith(f"{run}-", autoescape=True))
    of_run = re.compile(re.escape(run) + r"-\d+-[0-9a-f]{32}").fullmatch
    if any(of_run(key) for key in connection.execute(sent.limit(_LOOKED_AT)).scalars()):
        raise Conflict(
            f"Rows were scored through the API under the run key '{run}'. Score them there again (--engine api) to get "
            "the same decisions, or give another --run-key for new decisions. Nothing was logged."
        )
    query = select(*_ROW).where(segments.c.run == run).order_by(segments.c.number)
    found = [Segment(**row._mapping) for row in connection.execute(query)]
    if found and found[0].fingerprint != fingerprint:
        raise Conflict(
            f"The run key '{run}' was used before with other rows; use a new key for new rows. Nothing was logged."
        )
    if found and found[0].first_id <= horizon(connection, DECISIONS):
        raise Conflict(
            f"The decisions of the run '{run}' are archived. Give another --run-key to decide again. "
            "Nothing was logged."
        )
    return found
