"""The decision log: every scored customer, committed before the answer leaves. Reading it; `appender` writes it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, func, select

from riskloop.core.errors import DataError, NotFound
from riskloop.core.exploration import EXPLORED, rate_of
from riskloop.core.maturity import Maturity
from riskloop.core.span import EVERYTHING, Span
from riskloop.core.types import Decision, DecisionFrame, Decisions, Ints, from_micros
from riskloop.store.appender import Appender, ChunkKey, Logged, repeated
from riskloop.store.database import Database
from riskloop.store.outcomes import counted
from riskloop.store.spans import where
from riskloop.store.tables import chunks, decisions, outcomes

_FRAME: Final = (
    decisions.c.id,
    decisions.c.customer_id,
    decisions.c.time,
    decisions.c.model_version,
    decisions.c.probability,
    decisions.c.features,
    decisions.c.is_default,
    decisions.c.flags,
)
DAY: Final = 86_400_000_000  # microseconds
_PART: Final = 500  # below SQLite's oldest limit of 999 bound variables


class Extent(NamedTuple):
    """How many decisions lie in a span, and from where to where."""

    rows: int
    first: int  # ids
    last: int
    earliest: int  # times in microseconds
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


class DecisionLog:
    """Reads the log, and hands out appenders for it."""

    def __init__(self, database: Database) -> None:
        self.database = database

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
        return None if row is None else repeated(chunk, *row)

    def chunk(self, first_id: int, rows: int) -> Decisions:
        """A chunk's decisions as they were logged; they share one model version and one moment."""
        query = select(decisions).where(decisions.c.id >= first_id, decisions.c.id < first_id + rows)
        with self.database.read() as connection:
            found = connection.execute(query.order_by(decisions.c.id)).all()
        frame = _frame(
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
        """One decision; NotFound when there is none of that number."""
        with self.database.read() as connection:
            row = connection.execute(select(decisions).where(decisions.c.id == decision_id)).first()
        if row is None:
            raise NotFound(f"There is no decision {decision_id} in the log.")
        return _decision(row)

    def of_customer(self, customer_id: str, limit: int = 100) -> list[Decision]:
        """The decisions on one customer, newest first."""
        query = select(decisions).where(decisions.c.customer_id == customer_id)
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(decisions.c.id.desc()).limit(limit)).all()
        return [_decision(row) for row in rows]

    def latest(self, limit: int = 20) -> list[Decision]:
        """The newest decisions, newest first."""
        with self.database.read() as connection:
            rows = connection.execute(select(decisions).order_by(decisions.c.id.desc()).limit(limit)).all()
        return [_decision(row) for row in rows]

    def count(self) -> int:
        """How many decisions are logged."""
        with self.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(decisions)).scalar_one())

    def exploration(self) -> tuple[int, int, int]:
        """(decisions declined or explored, those explored, explored ones with a known outcome); reads the whole log."""
        marked = decisions.c.flags.contains(f'"{EXPLORED}"')
        known = select(outcomes.c.decision_id)
        query = select(
            func.count().filter(marked | (decisions.c.is_default == 1)),
            func.count().filter(marked),
            func.count().filter(marked & decisions.c.id.in_(known)),
        )
        with self.database.read() as connection:
            declined, explored, learned = connection.execute(query).one()
        return int(declined), int(explored), int(learned)

    def last_id(self) -> int:
        """The id of the newest decision, 0 when there is none. Without gaps it equals `count`."""
        with self.database.read() as connection:
            return int(connection.execute(select(func.coalesce(func.max(decisions.c.id), 0))).scalar_one())

    def scored_at(self, decision_id: int) -> int | None:
        """When a decision was scored, in microseconds; None where there is none of that number."""
        query = select(decisions.c.scored_at).where(decisions.c.id == decision_id)
        with self.database.read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else int(found)

    def extent(self, span: Span = EVERYTHING) -> Extent | None:
        """What lies in the span; None when nothing does."""
        number, time = decisions.c.id, decisions.c.time
        query = select(func.count(), func.min(number), func.max(number), func.min(time), func.max(time))
        with self.database.read() as connection:
            row = connection.execute(query.where(where(span))).one()
        return Extent(*(int(value) for value in row)) if row[0] else None

    def frame(
        self,
        span: Span = EVERYTHING,
        known: Maturity | None = None,
    ) -> DecisionFrame:
        """The decisions of a span, ordered by id, with the outcomes that count by ``known``; without it all are NaN.

        Raises DataError when the rows were logged under schemas of different length.
        """
        query = select(*_FRAME).where(where(span)).order_by(decisions.c.id)
        with self.database.read() as connection:
            frame = _frame(connection.execute(query).all())
            if known is not None:
                _settle(frame, _outcomes(connection, where(span), known), known)
        return frame

    def chosen(self, ids: Sequence[int], known: Maturity) -> DecisionFrame:
        """The decisions with these ids as far as they exist, and their outcomes as in `frame`."""
        rows: list[Any] = []
        found: dict[int, float] = {}
        with self.database.read() as connection:
            for start in range(0, len(ids), _PART):
                condition = decisions.c.id.in_(ids[start : start + _PART])
                rows += connection.execute(select(*_FRAME).where(condition).order_by(decisions.c.id)).all()
                found |= _outcomes(connection, condition, known)
        frame = _frame(rows)
        _settle(frame, found, known)
        return frame

    def days(self, first: int, last: int, known: Maturity) -> tuple[Ints, Ints, Ints]:
        """Days with approved decisions whose time is in [first, last], microseconds, and what is known of them.

        Returns the day's beginning, how many were approved, and how many of these have an outcome, each (d,).
        """
        day = decisions.c.time.op("/")(DAY)
        query = (
            select(day, func.count(), func.count().filter(_reported(known)))
            .where(where(Span(start=first, end=last + 1)), decisions.c.is_default == 0)
            .group_by(day)
            .order_by(day)
        )
        with self.database.read() as connection:
            found = np.array(connection.execute(query).all(), dtype=np.int64).reshape(-1, 3)
        return found[:, 0] * DAY, found[:, 1], found[:, 2]

    def coverage(self, span: Span, known: Maturity) -> Covered:
        """Who of a span has an outcome that counts, approved and declined."""
        approved, there = decisions.c.is_default == 0, _reported(known)
        query = select(
            func.count().filter(approved),
            func.count().filter(approved, there),
            func.count().filter(~approved),
            func.count().filter(~approved, there),
        )
        with self.database.read() as connection:
            row = connection.execute(query.select_from(decisions).where(where(span))).one()
        return Covered(*(int(value) for value in row))


def _reported(known: Maturity) -> ColumnElement[bool]:
    """Whether a decision has a report that is not in quarantine, however early it came."""
    return select(outcomes.c.id).where(outcomes.c.decision_id == decisions.c.id, counted(known)).exists()


def _decision(row: Row[Any]) -> Decision:
    return Decision(
        decision_id=row.id,
        customer_id=row.customer_id,
        time=from_micros(row.time),
        scored_at=from_micros(row.scored_at),
        model_version=row.model_version,
        probability=row.probability,
        default=bool(row.is_default),
        features=np.frombuffer(row.features, dtype="<f8").astype(np.float64),
        flags=json.loads(row.flags) if row.flags else {},
    )


def _frame(rows: Sequence[Row[Any] | tuple[Any, ...]]) -> DecisionFrame:
    columns = zip(*rows, strict=True) if rows else ((),) * 8
    ids, customers, times, versions, probabilities, features, defaults, flags = columns
    if len({len(vector) for vector in features}) > 1:
        raise DataError(
            "These decisions were logged under schemas with different numbers of features and cannot be one frame; "
            "choose a narrower range."
        )
    matrix = np.frombuffer(b"".join(features), dtype="<f8").astype(np.float64)
    # Most rows have no flag, and of those that have one few are explored: only these are parsed.
    rates = [rate_of(json.loads(text)) if text is not None and EXPLORED in text else 0.0 for text in flags]
    exploration = np.array(rates, dtype=np.float64)
    return DecisionFrame(
        ids=np.array(ids, dtype=np.int64),
        customer_ids=customers,
        times=np.array(times, dtype=np.int64),
        model_versions=np.array(versions, dtype=np.int64),
        probabilities=np.array(probabilities, dtype=np.float64),
        features=matrix.reshape(len(ids), -1) if ids else np.empty((0, 0)),
        outcomes=np.full(len(ids), np.nan),
        declined=np.array(defaults, dtype=np.bool_) | (exploration > 0.0),
        exploration=exploration,
    )


def _settle(frame: DecisionFrame, found: Mapping[int, float], known: Maturity) -> None:
    """Fill in the outcomes that count; the frame is not handed out yet, so its array may be written."""
    reported = np.array([found.get(number, np.nan) for number in frame.ids.tolist()], dtype=np.float64)
    approved_at_random = np.zeros(len(frame)) if frame.exploration is None else frame.exploration
    declined = np.zeros(len(frame), dtype=np.bool_) if frame.declined is None else frame.declined
    frame.outcomes[:] = known.settle(reported, frame.times, declined & (approved_at_random == 0.0))


def _outcomes(connection: Connection, condition: ColumnElement[bool], known: Maturity) -> dict[int, float]:
    """The latest outcome by decision."""
    query = (
        select(outcomes.c.decision_id, outcomes.c.defaulted)
        .join(decisions, decisions.c.id == outcomes.c.decision_id)
        .where(condition, decisions.c.time <= known.until, counted(known))
        .order_by(outcomes.c.id)
    )
    return {number: float(value) for number, value in connection.execute(query)}
