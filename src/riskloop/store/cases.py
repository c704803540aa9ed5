"""Cases on record: where each stands, and every step that it took."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from riskloop.cases import Case, CaseState, CaseStep, Move, events
from riskloop.cases.case import LOOP
from riskloop.core.errors import Conflict, NotFound
from riskloop.core.types import Diagnosis, from_micros, to_micros
from riskloop.store import chain
from riskloop.store.database import Database
from riskloop.store.tables import case_events, cases


class Cases:
    """Reads cases."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def latest(self, limit: int = 100, *, only_open: bool = False) -> list[Case]:
        """The newest cases, newest first."""
        query = select(cases).order_by(cases.c.id.desc()).limit(limit)
        if only_open:
            query = query.where(cases.c.closed_at.is_(None))
        return self._cases(query)

    def unresolved(self) -> list[Case]:
        """Closed cases whose harm nothing has mended, newest first, whichever champion they are about."""
        return self._cases(select(cases).where(cases.c.unresolved).order_by(cases.c.id.desc()))

    def of_challenger(self, version: int) -> list[Case]:
        """The cases whose latest challenger a version is, newest first."""
        return self._cases(select(cases).where(cases.c.challenger == version).order_by(cases.c.id.desc()))

    def get(self, number: int) -> Case:
        """One case, or NotFound."""
        found = self._cases(select(cases).where(cases.c.id == number))
        if not found:
            raise NotFound(f"There is no case {number}; see `riskloop cases list`.")
        return found[0]

    def steps(self, number: int) -> list[CaseStep]:
        """Every step of a case, oldest first."""
        query = select(case_events).where(case_events.c.case_id == number).order_by(case_events.c.id)
        with self.database.read() as connection:
            return [_step(row) for row in connection.execute(query)]

    def judged(self, number: int) -> events.Judged | None:
        """What the gate said of a case's latest challenger; None before it said anything."""
        said = (step.event for step in reversed(self.steps(number)))
        return next((event for event in said if isinstance(event, events.Judged)), None)

    def _cases(self, query: Select[Any]) -> list[Case]:
        with self.database.read() as connection:
            return [read_case(row) for row in connection.execute(query)]


def open_case(
    connection: Connection, move: Move, *, at: datetime, diagnosis: Diagnosis, window_id: int, champion: int | None
) -> Case:
    """Open a case with its first step, in the caller's transaction."""
    new = Case(0, at, None, move.state, diagnosis, window_id, None, 0, move.sentence, champion=champion)
    new = move.of(new, at=at)
    result = connection.execute(insert(cases).values(opened_at=to_micros(at), window_id=window_id, **_values(new)))
    (number,) = result.inserted_primary_key or (0,)
    chain.note(connection, cases, number)
    case = replace(new, id=number)
    _write_step(connection, case, move, at, LOOP)
    return case


def move_case(connection: Connection, case: Case, move: Move, *, at: datetime, by: str = LOOP) -> Case:
    """Let a case take a step, in the caller's transaction.

    Raises Conflict when somebody else moved it since ``case`` was read: a worker that lost its lease, or two persons
    at once.
    """
    moved = move.of(case, at=at, by=by)
    done = connection.execute(
        update(cases)
        .where(cases.c.id == case.id, cases.c.state == case.state.value, cases.c.tries == case.tries)
        .values(**_values(moved))
    )
    if done.rowcount == 0:
        raise Conflict(f"Case {case.id} is not '{case.state.value}' any more: somebody else moved it. Look again.")
    chain.note(connection, cases, case.id)
    _write_step(connection, moved, move, at, by)
    return moved


def remember_look(connection: Connection, case: Case, known: int) -> None:
    """Keep with how many outcomes it was last asked whether the champion of a rejected challenger ranks worse."""
    connection.execute(update(cases).where(cases.c.id == case.id).values(looked=known))
    chain.note(connection, cases, case.id)


def _write_step(connection: Connection, case: Case, move: Move, at: datetime, by: str) -> None:
    made = connection.execute(
        insert(case_events).values(
            case_id=case.id,
            at=to_micros(at),
            state=move.state.value,
            by=by,
            sentence=move.sentence,
            document=events.dumps(move.event),
        )
    )
    chain.note(connection, case_events, *(made.inserted_primary_key or ()))


def _step(row: Row[Any]) -> CaseStep:
    return CaseStep(from_micros(row.at), CaseState(row.state), row.by, row.sentence, events.loads(row.document))


def _values(case: Case) -> dict[str, Any]:
    """What of a case may change."""
    return {
        "closed_at": None if case.closed_at is None else to_micros(case.closed_at),
        "state": case.state.value,
        "diagnosis": case.diagnosis.value,
        "challenger": case.challenger,
        "tries": case.tries,
        "sentence": case.sentence,
        "champion": case.champion,
        "learned": case.learned,
        "wait_for": case.wait_for,
        "looked": case.looked,
        "closed_by": case.closed_by,
        "harmed": case.harmed,
        "unresolved": case.unresolved,
    }


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
