"""What happened to the customers who were decided on, and when that became known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, func, insert, select

from riskloop.core.span import Span
from riskloop.core.types import to_micros
from riskloop.store import counters
from riskloop.store.database import Database
from riskloop.store.spans import where
from riskloop.store.tables import decisions, outcomes

T = TypeVar("T", int, str)

_CHUNK = 500  # below SQLite's oldest limit of 999 bound variables


@dataclass(frozen=True)
class Outcome:
    """One reported outcome, by decision or by customer."""

    defaulted: bool
    known_at: datetime
    decision_id: int | None = None  # wins over customer_id
    customer_id: str | None = None  # means that customer's latest decision before `known_at`


@dataclass(frozen=True)
class Recorded:
    """What became of the reported outcomes."""

    recorded: int
    repeated: int  # already known with the same value
    corrected: int  # a different value was known before; both are kept, the later one counts
    unmatched: tuple[str, ...]  # ids that belong to no decision; nothing was recorded for them


class Outcomes:
    """The append-only table of outcomes."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def record(self, reported: Sequence[Outcome], recorded_at: datetime) -> Recorded:
        """Store outcomes in one transaction. The same file handed in twice changes nothing."""
        with self.database.write() as connection:
            counters.lock(connection, outcomes)
            matched, unmatched = _match(connection, reported)
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
            if rows:
                first = counters.take(connection, outcomes, len(rows))
                connection.execute(insert(outcomes), [{"id": first + i, **row} for i, row in enumerate(rows)])
        return Recorded(len(rows), repeated, corrected, tuple(unmatched))

    def last_id(self) -> int:
        """The id of the newest outcome, 0 when there is none: what was known at a moment, in one number."""
        with self.database.read() as connection:
            return int(connection.execute(select(func.coalesce(func.max(outcomes.c.id), 0))).scalar_one())

    def matured(self, start: int, until: int, without: Sequence[Span] = ()) -> int:
        """How many decisions with time in [start, until], microseconds, have a known outcome; none of ``without``."""
        query = (
            select(func.count(func.distinct(outcomes.c.decision_id)))
            .join(decisions, decisions.c.id == outcomes.c.decision_id)
            .where(decisions.c.time >= start, decisions.c.time <= until)
            .where(*(~where(span) for span in without))
        )
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one())


def _match(connection: Connection, reported: Sequence[Outcome]) -> tuple[dict[int, Outcome], list[str]]:
    """Decision id to outcome; of several reports on one decision the one that was known last wins."""
    by_customer = _decisions_of(connection, sorted({o.customer_id for o in reported if o.customer_id is not None}))
    existing = _existing(connection, sorted({o.decision_id for o in reported if o.decision_id is not None}))
    matched: dict[int, Outcome] = {}
    unmatched = []
    for outcome in reported:
        if outcome.decision_id is not None:
            found = outcome.decision_id if outcome.decision_id in existing else None
        else:
            limit = to_micros(outcome.known_at)
            earlier = [pair for pair in by_customer.get(outcome.customer_id or "", ()) if pair[0] <= limit]
            found = max(earlier)[1] if earlier else None
        if found is None:
            unmatched.append(str(outcome.customer_id if outcome.decision_id is None else outcome.decision_id))
        elif found not in matched or matched[found].known_at <= outcome.known_at:
            matched[found] = outcome
    return matched, unmatched


def _decisions_of(connection: Connection, customers: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for part in _parts(customers):
        query = select(decisions.c.customer_id, decisions.c.time, decisions.c.id)
        for customer, time, number in connection.execute(query.where(decisions.c.customer_id.in_(part))):
            found.setdefault(customer, []).append((time, number))
    return found


def _existing(connection: Connection, ids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for part in _parts(ids):
        found.update(connection.execute(select(decisions.c.id).where(decisions.c.id.in_(part))).scalars())
    return found


def _latest(connection: Connection, ids: Sequence[int]) -> dict[int, bool]:
    known: dict[int, bool] = {}
    for part in _parts(ids):
        last = select(func.max(outcomes.c.id)).where(outcomes.c.decision_id.in_(part)).group_by(outcomes.c.decision_id)
        query = select(outcomes.c.decision_id, outcomes.c.defaulted).where(outcomes.c.id.in_(last))
        known.update({number: bool(value) for number, value in connection.execute(query)})
    return known


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
