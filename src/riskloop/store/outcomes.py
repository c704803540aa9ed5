"""What happened to the customers who were decided on, and when that became known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, insert, select

from riskloop.core.errors import DataError
from riskloop.core.maturity import LATEST, Maturity
from riskloop.core.span import EVERYTHING, Span
from riskloop.core.types import Ints, from_micros, to_micros
from riskloop.store import chain, counters
from riskloop.store.database import Database
from riskloop.store.reported import counted, has_report, integers, is_reported
from riskloop.store.segments import Piece, Segments
from riskloop.store.spans import where
from riskloop.store.tables import decisions, deliveries, outcomes

T = TypeVar("T", int, str)

_CHUNK = 500  # below SQLite's oldest limit of 999 bound variables


@dataclass(frozen=True)
class Outcome:
    """One reported outcome, by decision or by customer."""

    defaulted: bool
    known_at: datetime
    decision_id: int | None = None  # wins over customer_id
    customer_id: str | None = None  # means that customer's latest decision before `known_at`
    place: str = field(default="", compare=False)  # where it stands in what was handed in: "line 3"


@dataclass(frozen=True)
class Recorded:
    """What became of the reported outcomes."""

    recorded: int
    repeated: int  # already known with the same value
    corrected: int  # a different value was known before; both are kept, the later one counts
    unmatched: tuple[str, ...]  # ids that belong to no decision; nothing was recorded for them
    complete_until: datetime | None = None  # the watermark that was handed in
    reasons: tuple[str, ...] = ()  # why, for each of the unmatched, with its place
    refused: tuple[str, ...] = ()  # rows that could not be read, with place and problem


class Report(NamedTuple):
    """One report, with what is known of the decision that it is about."""

    id: int
    decision_id: int
    defaulted: int
    probability: float
    decided: int  # microseconds
    reported: int  # microseconds: when it was handed in


class Outcomes:
    """The append-only table of outcomes."""

    def __init__(self, database: Database, segments: Segments | None = None) -> None:
        self.database = database
        self.segments = segments or Segments(database)

    def record(
        self,
        reported: Sequence[Outcome],
        recorded_at: datetime,
        *,
        by: str = "riskloop",
        complete_until: datetime | None = None,
        definition: str = "1",
    ) -> Recorded:
        """Store outcomes in one transaction. The same file handed in twice changes nothing.

        ``complete_until`` is the feed's watermark: every outcome that was final before it is reported by now.
        Raises DataError when it lies after ``recorded_at``.
        """
        if complete_until is not None and complete_until > recorded_at:
            raise DataError(
                f"The outcomes cannot be complete until {complete_until:%Y-%m-%d %H:%M} UTC: that is in the future. "
                "Nothing was recorded."
            )
        with self.database.write() as connection:
            counters.lock(connection, outcomes)
            matched, unmatched, reasons = _match(connection, self.segments, reported)
            known = _latest(connection, sorted(matched))
            rows, repeated, corrected = [], 0, 0
            for decision_id, outcome in matched.items():
                before = known.get(decision_id)
                if before == outcome.defaulted:
                    repeated += 1
                    continue
                corrected += before is not None
                rows.append(
                    {
                        "decision_id": decision_id,
                        "defaulted": int(outcome.defaulted),
                        "known_at": to_micros(outcome.known_at),
                        "recorded_at": to_micros(recorded_at),
                    }
                )
            first = counters.take(connection, outcomes, len(rows)) if rows else None
            if first is not None:
                connection.execute(insert(outcomes), [{"id": first + i, **row} for i, row in enumerate(rows)])
                chain.note(connection, outcomes, *range(first, first + len(rows)))
            made = connection.execute(
                insert(deliveries).values(
                    at=to_micros(recorded_at),
                    by=by,
                    first_id=first,
                    last_id=None if first is None else first + len(rows) - 1,
                    recorded=len(rows),
                    repeated=repeated,
                    corrected=corrected,
                    unmatched=len(unmatched),
                    complete_until=None if complete_until is None else to_micros(complete_until),
                    definition=definition,
                    examined=False,
                    held=False,
                    findings="[]",
                )
            )
            chain.note(connection, deliveries, *(made.inserted_primary_key or ()))
        return Recorded(len(rows), repeated, corrected, tuple(unmatched), complete_until, tuple(reasons))

    def last_id(self) -> int:
        """The id of the newest outcome, 0 when there is none: what was known at a moment, in one number."""
        with self.database.read() as connection:
            return _last_id(connection)

    def matured(self, start: int, known: Maturity, without: Sequence[Span] = ()) -> int:
        """How many decisions with time from ``start`` on, microseconds, have an outcome that counts; none of
        ``without``."""
        query = (
            select(func.count())
            .select_from(decisions)
            .where(decisions.c.time >= start, decisions.c.time <= known.until)
            .where(*(~where(span) for span in without))
        )
        if known.silence == "unknown":
            query = query.where(is_reported(known))
        elif not known.silent_declined:
            query = query.where(decisions.c.is_default == 0)
        with self.database.read() as connection:
            total = int(connection.execute(query).scalar_one())
            span = Span(start=start, end=known.until + 1)
            for piece in self.segments.pieces(connection, span, ["time", "declined"]):
                total += _matured(connection, piece, known, without)
        return total

    def reports(self, known: Maturity, *, after: int = 0, span: Span = EVERYTHING) -> list[Report]:
        """The reports with ids above ``after`` on decisions of a span, as far as they count, in order."""
        query = (
            select(
                outcomes.c.id,
                outcomes.c.decision_id,
                outcomes.c.defaulted,
                decisions.c.probability,
                decisions.c.time,
                outcomes.c.recorded_at,
            )
            .join(decisions, decisions.c.id == outcomes.c.decision_id)
            .where(outcomes.c.id > after, counted(known), where(span), decisions.c.time <= known.until)
            .order_by(outcomes.c.id)
        )
        new = outcomes.c.id > after, counted(known)
        with self.database.read() as connection:
            found = [Report(*row) for row in connection.execute(query)]
            for piece, rows in self._about(connection, span, new, ["time", "probability"]):
                times, probabilities = piece.column("time"), piece.column("probability")
                for number, about, defaulted, reported, place in rows.tolist():
                    if times[place] <= known.until:
                        one = float(probabilities[place]), int(times[place]), reported
                        found.append(Report(number, about, defaulted, *one))
        return sorted(found)

    def reported_for(self, after: int) -> tuple[Ints, Ints, Ints]:
        """The outcomes with an id above ``after``: their ids, decision ids and decision times in microseconds, (n,)."""
        new = outcomes.c.id > after
        query = select(outcomes.c.id, decisions.c.id, decisions.c.time).join(
            decisions, outcomes.c.decision_id == decisions.c.id
        )
        with self.database.read() as connection:
            found = [np.stack(integers(connection, query.where(new), 3), axis=1)]
            for piece, rows in self._about(connection, EVERYTHING, (new,), ["time"]):
                found.append(np.stack((rows[:, 0], rows[:, 1], piece.column("time")[rows[:, 4]]), axis=1))
        whole = np.concatenate(found)
        whole = whole[np.argsort(whole[:, 0], kind="stable")]
        return whole[:, 0], whole[:, 1], whole[:, 2]

    def _about(
        self, connection: Connection, span: Span, which: Sequence[ColumnElement[bool]], columns: Sequence[str]
    ) -> Iterator[tuple[Piece, Ints]]:
        """The segments' decisions in a span that outcomes are about, with those outcomes.

        These have a row each: id, decision, whether it defaulted, when it was handed in, and its decision's place in
        the piece; (n, 5).
        """
        query = select(outcomes.c.id, outcomes.c.decision_id, outcomes.c.defaulted, outcomes.c.recorded_at)
        for segment in self.segments.within(connection, span):
            inside = outcomes.c.decision_id.between(segment.first_id, segment.last_id)
            rows = np.stack(integers(connection, query.where(inside, *which), 4), axis=1)
            if not len(rows):
                continue
            piece = self.segments.piece(segment, span, columns)
            places = np.searchsorted(piece.ids, rows[:, 1])
            there = places < len(piece.ids)
            there[there] = piece.ids[places[there]] == rows[there, 1]
            yield piece, np.column_stack((rows, places))[there]


def _matured(connection: Connection, piece: Piece, known: Maturity, without: Sequence[Span]) -> int:
    times, chosen = piece.column("time"), np.ones(len(piece.ids), dtype=np.bool_)
    for span in without:
        chosen &= ~span.mask(times, piece.ids)
    if known.silence == "unknown":
        chosen &= has_report(connection, piece.ids, known)
    elif not known.silent_declined:
        chosen &= ~piece.column("declined")
    return int(np.count_nonzero(chosen))


def _last_id(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(outcomes.c.id), 0))).scalar_one())


def _match(
    connection: Connection, segments: Segments, reported: Sequence[Outcome]
) -> tuple[dict[int, Outcome], list[str], list[str]]:
    """Decision id to outcome, and the ids that belong to no decision with the reason for each.

    Of several reports on one decision the one that was known last wins.
    """
    customers = sorted({o.customer_id for o in reported if o.customer_id is not None})
    by_customer = _decisions_of(connection, segments, customers)
    existing = _existing(connection, segments, sorted({o.decision_id for o in reported if o.decision_id is not None}))
    matched: dict[int, Outcome] = {}
    unmatched, reasons = [], []
    for outcome in reported:
        theirs: Sequence[tuple[int, int]] = ()
        if outcome.decision_id is not None:
            found = outcome.decision_id if outcome.decision_id in existing else None
        else:
            limit, theirs = to_micros(outcome.known_at), by_customer.get(outcome.customer_id or "", ())
            earlier = [pair for pair in theirs if pair[0] <= limit]
            found = max(earlier)[1] if earlier else None
        if found is None:
            unmatched.append(str(outcome.customer_id if outcome.decision_id is None else outcome.decision_id))
            reasons.append(_reason(outcome, theirs))
        elif found not in matched or matched[found].known_at <= outcome.known_at:
            matched[found] = outcome
    return matched, unmatched, reasons


def _reason(outcome: Outcome, theirs: Sequence[tuple[int, int]]) -> str:
    """Why an outcome belongs to no decision; ``theirs`` are the customer's decisions, all after it was known."""
    place = f"{outcome.place}: " if outcome.place else ""
    if outcome.decision_id is not None:
        return f"{place}there is no decision {outcome.decision_id}"
    if not theirs:
        return f"{place}no decision on customer '{outcome.customer_id}' is on record"
    first = from_micros(min(theirs)[0])
    return (
        f"{place}the outcome of customer '{outcome.customer_id}' was known at {outcome.known_at:%Y-%m-%d %H:%M}, "
        f"before the first decision, of {first:%Y-%m-%d %H:%M}"
    )


def _decisions_of(
    connection: Connection, segments: Segments, customers: Sequence[str]
) -> dict[str, list[tuple[int, int]]]:
    """The times and ids of the decisions on customers."""
    found: dict[str, list[tuple[int, int]]] = {}
    for part in _parts(customers):
        query = select(decisions.c.customer_id, decisions.c.time, decisions.c.id)
        for customer, time, number in connection.execute(query.where(decisions.c.customer_id.in_(part))):
            found.setdefault(customer, []).append((time, number))
    for customer, time, number in segments.on_customers(connection, customers):
        found.setdefault(customer, []).append((time, number))
    return found


def _existing(connection: Connection, segments: Segments, ids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for _, held in segments.holding(connection, np.array(ids, dtype=np.int64)):
        found.update(held.tolist())
    for part in _parts([number for number in ids if number not in found]):
        found.update(connection.execute(select(decisions.c.id).where(decisions.c.id.in_(part))).scalars())
    return found


def _latest(connection: Connection, ids: Sequence[int]) -> dict[int, bool]:
    known: dict[int, bool] = {}
    held = select(deliveries.c.first_id, deliveries.c.last_id).where(deliveries.c.held)
    # What is in quarantine is not known: the same value in another file has to be recorded.
    spans = [(first, last) for first, last in connection.execute(held) if first is not None]
    sound = counted(Maturity(LATEST, held=tuple(spans)))
    for part in _parts(ids):
        of_part = outcomes.c.decision_id.in_(part)
        last = select(func.max(outcomes.c.id)).where(of_part, sound).group_by(outcomes.c.decision_id)
        query = select(outcomes.c.decision_id, outcomes.c.defaulted).where(outcomes.c.id.in_(last))
        known.update({number: bool(value) for number, value in connection.execute(query)})
    return known


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
