"""Cases: every investigation from its first finding to its end, with every step on record.

watching ──► confirmed ──► waiting ◄──┐
    │            │            │       │ not enough evidence yet
    │            └──────► trained ────┤
    ▼                         │       │
  ended                       ├──► promoted
    ▲                         ├──► refused
quarantined (a data fault)    └──► needs_approval ──► promoted / rejected
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, insert, select, update

from riskloop.core.errors import Conflict, NotFound
from riskloop.core.types import Diagnosis, Json, from_micros, to_micros
from riskloop.store import documents
from riskloop.store.database import Database
from riskloop.store.tables import case_events, cases


class CaseState(StrEnum):
    """Where a case stands."""

    WATCHING = "watching"  # a first finding; not confirmed by further windows
    CONFIRMED = "confirmed"  # the policy ordered an action that is not begun yet
    WAITING = "waiting"  # for outcomes to mature
    TRAINED = "trained"  # a challenger is registered and has to pass the gate
    NEEDS_APPROVAL = "needs_approval"
    QUARANTINED = "quarantined"  # a data fault, still in the feed
    PROMOTED = "promoted"
    REFUSED = "refused"
    REJECTED = "rejected"
    ENDED = "ended"  # it went away


CLOSED: Final = frozenset({CaseState.PROMOTED, CaseState.REFUSED, CaseState.REJECTED, CaseState.ENDED})


@dataclass(frozen=True)
class Case:
    """One investigation."""

    id: int
    opened_at: datetime
    closed_at: datetime | None
    state: CaseState
    diagnosis: Diagnosis
    window_id: int  # the first finding's window
    challenger: int | None
    tries: int  # challengers that went to the gate
    sentence: str  # the latest step, for a person

    @property
    def is_open(self) -> bool:
        """Whether something can still happen to it."""
        return self.state not in CLOSED


@dataclass(frozen=True)
class CaseEvent:
    """One step of a case."""

    at: datetime
    state: CaseState
    by: str
    sentence: str
    document: Json


class Cases:
    """Reads cases."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def latest(self, limit: int = 100, *, only_open: bool = False) -> list[Case]:
        """The newest cases, newest first."""
        query = select(cases).order_by(cases.c.id.desc()).limit(limit)
        if only_open:
            query = query.where(cases.c.closed_at.is_(None))
        with self.database.read() as connection:
            return [read_case(row) for row in connection.execute(query)]

    def get(self, number: int) -> Case:
        """One case, or NotFound."""
        with self.database.read() as connection:
            row = connection.execute(select(cases).where(cases.c.id == number)).first()
        if row is None:
            raise NotFound(f"There is no case {number}; see `riskloop cases list`.")
        return read_case(row)

    def events(self, number: int) -> list[CaseEvent]:
        """Every step of a case, oldest first."""
        return self._events(select(case_events).where(case_events.c.case_id == number))

    def reports(self) -> list[CaseEvent]:
        """The steps of all cases in which a challenger was judged, oldest first."""
        judged = self._events(select(case_events).where(case_events.c.state == CaseState.TRAINED.value))
        return [event for event in judged if "report" in event.document]

    def _events(self, query: Select[Any]) -> list[CaseEvent]:
        with self.database.read() as connection:
            return [
                CaseEvent(from_micros(r.at), CaseState(r.state), r.by, r.sentence, json.loads(r.document))
                for r in connection.execute(query.order_by(case_events.c.id))
            ]


def open_case(
    connection: Connection, *, at: datetime, state: CaseState, diagnosis: Diagnosis, window_id: int, sentence: str
) -> Case:
    """Open a case with its first event, in the caller's transaction."""
    result = connection.execute(
        insert(cases).values(
            opened_at=to_micros(at),
            closed_at=None,
            state=state.value,
            diagnosis=diagnosis.value,
            window_id=window_id,
            challenger=None,
            tries=0,
            sentence=sentence,
        )
    )
    (number,) = result.inserted_primary_key or (0,)
    case = Case(number, at, None, state, diagnosis, window_id, None, 0, sentence)
    _event(connection, case, at, "riskloop", {})
    return case


def advance(
    connection: Connection,
    case: Case,
    state: CaseState,
    sentence: str,
    *,
    at: datetime,
    by: str = "riskloop",
    **changes: Any,
) -> Case:
    """Move a case to ``state`` with an event, in the caller's transaction.

    ``changes`` may set diagnosis, challenger, tries, and `document` for the event. Raises Conflict when somebody else
    moved the case since ``case`` was read: a worker that lost its lease, or two persons at once.
    """
    document = changes.pop("document", {})
    moved = replace(case, state=state, sentence=sentence, closed_at=at if state in CLOSED else None, **changes)
    done = connection.execute(
        update(cases)
        .where(cases.c.id == case.id, cases.c.state == case.state.value, cases.c.tries == case.tries)
        .values(
            state=moved.state.value,
            closed_at=None if moved.closed_at is None else to_micros(moved.closed_at),
            diagnosis=moved.diagnosis.value,
            challenger=moved.challenger,
            tries=moved.tries,
            sentence=sentence,
        )
    )
    if done.rowcount == 0:
        raise Conflict(f"Case {case.id} is not '{case.state.value}' any more: somebody else moved it. Look again.")
    _event(connection, moved, at, by, document)
    return moved


def _event(connection: Connection, case: Case, at: datetime, by: str, document: Any) -> None:
    connection.execute(
        insert(case_events).values(
            case_id=case.id,
            at=to_micros(at),
            state=case.state.value,
            by=by,
            sentence=case.sentence,
            document=documents.dumps(document),
        )
    )


def read_case(row: Row[Any]) -> Case:
    """A row of `cases` as a case."""
    values = dict(row._mapping)
    closed = values["closed_at"]
    return Case(
        **{
            **values,
            "opened_at": from_micros(values["opened_at"]),
            "closed_at": None if closed is None else from_micros(closed),
            "state": CaseState(values["state"]),
            "diagnosis": Diagnosis(values["diagnosis"]),
        }
    )
