"""What people said about cases: comments, assignments, acknowledgements. Written once and never changed."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, insert, select

from riskloop.cases import Case, CaseStep
from riskloop.cases.people import Care, CaseNote, NoteKind, asks_since, care_of
from riskloop.core.types import Json, from_micros, to_micros
from riskloop.store import audit, chain
from riskloop.store.cases import Cases
from riskloop.store.database import Database
from riskloop.store.tables import case_notes
from riskloop.store.tables import cases as case_rows

Say = Callable[[Case, Care, datetime | None], CaseNote]  # of a case, its care, and since when it asks


def say(cases: Cases, number: int, what: Say) -> CaseNote:
    """Keep what a person says about a case, with the audit event of it, in one transaction.

    ``what`` makes the note of how the case stands now, or refuses; it is asked under a lock of the case, so that of two
    who do the same at once one is told. Raises NotFound for an unknown case.
    """
    case = cases.get(number)
    since = asks_since(case, cases.steps(number))
    with cases.database.write() as connection:
        connection.execute(select(case_rows.c.id).where(case_rows.c.id == number).with_for_update())
        notes = list(map(_note, connection.execute(_of(number, number))))
        note = what(case, care_of(notes, since), since)
        _add(connection, note)
    return note


def _add(connection: Connection, note: CaseNote) -> None:
    values = {"case_id": note.case_id, "at": to_micros(note.at), "by": note.by[:200], "kind": note.kind.value}
    made = connection.execute(insert(case_notes).values(**values, person=note.person, text=note.text))
    chain.note(connection, case_notes, *(made.inserted_primary_key or ()))
    document: Json = {"text": note.text, **({"to": note.person} if note.kind is NoteKind.ASSIGNMENT else {})}
    subject = f"case {note.case_id}"
    audit.record(connection, at=note.at, by=note.by, action=note.kind.value, subject=subject, document=document)


def notes_of(database: Database, numbers: Collection[int]) -> dict[int, list[CaseNote]]:
    """The notes of cases, oldest first, by case; also those of cases whose numbers lie between."""
    found: dict[int, list[CaseNote]] = defaultdict(list)
    if not numbers:
        return found
    with database.read() as connection:
        for row in connection.execute(_of(min(numbers), max(numbers))):
            found[row.case_id].append(_note(row))
    return found


class Attention(NamedTuple):
    """What people said about a case, and what that comes to."""

    notes: Sequence[CaseNote]  # oldest first
    since: datetime | None  # the case asks people to look at it
    care: Care


def attention(cases: Cases, case: Case, steps: Sequence[CaseStep]) -> Attention:
    """What is on record of people's care for one case, of which ``steps`` are all."""
    notes, since = notes_of(cases.database, [case.id]).get(case.id, []), asks_since(case, steps)
    return Attention(notes, since, care_of(notes, since))


def cares(cases: Cases, found: Sequence[Case]) -> dict[int, Care]:
    """Who takes care of each of some cases."""
    notes = notes_of(cases.database, [case.id for case in found])
    seen = {number for number, said in notes.items() if any(n.kind is NoteKind.ACKNOWLEDGEMENT for n in said)}
    since = {case.id: asks_since(case, cases.steps(case.id)) for case in found if case.id in seen}
    return {case.id: care_of(notes.get(case.id, ()), since.get(case.id)) for case in found}


def _of(first: int, last: int) -> Select[Any]:
    return select(case_notes).where(case_notes.c.case_id.between(first, last)).order_by(case_notes.c.id)


def _note(row: Row[Any]) -> CaseNote:
    return CaseNote(row.case_id, from_micros(row.at), row.by, NoteKind(row.kind), row.text, row.person)
