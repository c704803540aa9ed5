"""Notes of people on cases, on every database: kept with one audit event each, and covered by the chain."""

from datetime import UTC, datetime
from threading import Thread

import pytest

from riskloop.cases import CaseState, Move
from riskloop.cases.people import acknowledge, assign, comment
from riskloop.core.errors import Conflict, NotFound
from riskloop.core.types import Diagnosis
from riskloop.store import audit
from riskloop.store.case_notes import attention, cares, notes_of, say
from riskloop.store.cases import Cases, open_case
from riskloop.store.database import Database

MAY = datetime(2025, 5, 1, tzinfo=UTC)


@pytest.fixture
def cases(database: Database) -> Cases:
    """Two cases, both quarantined."""
    with database.write() as connection:
        for _ in range(2):
            move = Move(CaseState.QUARANTINED, "Units changed.")
            open_case(connection, move, at=MAY, diagnosis=Diagnosis.DATA_FAULT, window_id=1, champion=1)
    return Cases(database)


def acknowledged(cases: Cases, number: int, by: str) -> None:
    say(cases, number, lambda case, care, since: acknowledge(case, care, since, "", by=by, at=MAY))


def test_each_deed_is_one_note_and_one_audit_event(cases: Cases) -> None:
    say(cases, 1, lambda case, _care, _since: comment(case, "The branch <b>did</b> it.", by="ann", at=MAY))
    say(cases, 1, lambda case, care, _since: assign(case, care, "bea", "she knows", by="ann", at=MAY))
    acknowledged(cases, 1, "bea")
    found = attention(cases, cases.get(1), cases.steps(1))
    assert [(note.by, note.kind.value, note.person, note.text) for note in found.notes] == [
        ("ann", "comment", None, "The branch <b>did</b> it."),
        ("ann", "assign", "bea", "she knows"),
        ("bea", "acknowledge", None, ""),
    ]
    assert (found.care.assigned_to, found.care.acknowledged_by, found.care.acknowledged_at) == ("bea", "bea", MAY)
    told = [(e.by, e.action, e.subject) for e in reversed(audit.latest(cases.database))]
    assert told == [("ann", "comment", "case 1"), ("ann", "assign", "case 1"), ("bea", "acknowledge", "case 1")]
    assert cares(cases, cases.latest())[2].assigned_to is None
    assert notes_of(cases.database, [2]) == {}
    assert notes_of(cases.database, []) == {}
    assert [step.state for step in cases.steps(1)] == [CaseState.QUARANTINED], "no note moves a case"


def test_what_is_refused_leaves_nothing(cases: Cases) -> None:
    acknowledged(cases, 1, "ann")
    with pytest.raises(Conflict):
        acknowledged(cases, 1, "bea")
    with pytest.raises(NotFound):
        acknowledged(cases, 3, "bea")
    assert len(audit.latest(cases.database)) == 1


def test_of_two_who_acknowledge_at_once_one_is_told(cases: Cases) -> None:
    refused: list[str] = []

    def try_it(by: str) -> None:
        try:
            acknowledged(cases, 2, by)
        except Conflict:
            refused.append(by)

    threads = [Thread(target=try_it, args=(f"person {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert len(notes_of(cases.database, [2])[2]) == 1
