"""What people say about a case: who cares for it, since when it asks, what may be said in which state."""

from datetime import UTC, datetime, timedelta

import pytest

from riskloop.cases import Case, CaseState, CaseStep
from riskloop.cases.events import NOTHING_MORE
from riskloop.cases.people import (
    QUIET,
    Care,
    CaseNote,
    NoteKind,
    acknowledge,
    asks_since,
    assign,
    care_of,
    comment,
)
from riskloop.core.errors import Conflict, DataError
from riskloop.core.types import Diagnosis

START = datetime(2025, 5, 1, tzinfo=UTC)
OPEN = [state for state in CaseState if state not in {"promoted", "rejected", "rolled_back", "ended"}]


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def case_in(state: CaseState, *, unresolved: bool = False) -> Case:
    return Case(3, START, None, state, Diagnosis.CONCEPT_DRIFT, 1, None, 0, "So it is.", unresolved=unresolved)


def steps(*states: CaseState) -> list[CaseStep]:
    return [CaseStep(day(i), state, "riskloop", "So it is.", NOTHING_MORE) for i, state in enumerate(states)]


def note(kind: NoteKind, at: int, person: str | None = None, by: str = "ann") -> CaseNote:
    return CaseNote(3, day(at), by, kind, "", person)


S = CaseState


@pytest.mark.parametrize(
    ("taken", "since"),
    [
        ([S.WATCHING], None),
        ([S.QUARANTINED], 0),
        ([S.QUARANTINED, S.QUARANTINED], 0),
        ([S.WATCHING, S.CONFIRMED, S.WAITING], 1),
        ([S.CONFIRMED, S.TRAINED, S.NEEDS_APPROVAL], 2),
        ([S.CONFIRMED, S.NEEDS_APPROVAL, S.WAITING, S.TRAINED, S.NEEDS_APPROVAL], 4),
        ([S.CONFIRMED, S.TRAINED, S.REJECTED], None),
        ([S.QUARANTINED, S.ENDED], None),
    ],
)
def test_a_case_asks_since_its_first_confirmed_step_and_anew_when_a_person_must_decide(
    taken: list[CaseState], since: int | None
) -> None:
    assert asks_since(case_in(taken[-1]), steps(*taken)) == (None if since is None else day(since))


def test_care_is_what_the_notes_come_to() -> None:
    said = [
        note(NoteKind.ASSIGNMENT, 1, "bea"),
        note(NoteKind.ACKNOWLEDGEMENT, 2, by="bea"),
        note(NoteKind.COMMENT, 3),
        note(NoteKind.ASSIGNMENT, 4, "cy"),
    ]
    assert care_of(said, START) == Care("cy", "bea", day(2))
    assert care_of(said, day(3)) == Care("cy"), "the case has asked for something new since"
    assert care_of(said, None).acknowledged_by == "bea", "it is over: who had seen it is still told"
    assert care_of([*said, note(NoteKind.ASSIGNMENT, 5, None)], START).assigned_to is None
    assert care_of([], START) == Care()


@pytest.mark.parametrize("state", CaseState)
def test_what_may_be_said_in_each_state(state: CaseState) -> None:
    one = case_in(state)
    since = asks_since(one, steps(state))
    assert comment(one, " It is the branch. ", by="ann", at=START).text == "It is the branch."
    if state in OPEN:
        assert assign(one, Care(), " bea ", "", by="ann", at=START).person == "bea"
    else:
        with pytest.raises(Conflict, match="nobody has to care for it"):
            assign(one, Care(), "bea", "", by="ann", at=START)
        assert assign(one, Care("bea"), None, "", by="ann", at=START).person is None, "it can be taken away"
    assert assign(case_in(state, unresolved=True), Care(), "bea", "", by="ann", at=START).person == "bea"
    if state in OPEN and state not in QUIET:
        assert acknowledge(one, Care(), since, "", by="ann", at=START).kind is NoteKind.ACKNOWLEDGEMENT
        with pytest.raises(Conflict, match="acknowledged by bea already"):
            acknowledge(one, Care(acknowledged_by="bea"), since, "", by="ann", at=START)
    else:
        with pytest.raises(Conflict, match="nothing to acknowledge"):
            acknowledge(one, Care(), since, "", by="ann", at=START)


@pytest.mark.parametrize(("person", "now"), [("bea", "bea"), (None, None), (" bea ", "bea")])
def test_an_assignment_that_changes_nothing_is_refused(person: str | None, now: str | None) -> None:
    with pytest.raises(Conflict, match="already"):
        assign(case_in(S.CONFIRMED), Care(now), person, "", by="ann", at=START)


def test_empty_and_endless_texts_are_refused() -> None:
    one = case_in(S.CONFIRMED)
    for text in ("", "  \n"):
        with pytest.raises(DataError, match="needs a text"):
            comment(one, text, by="ann", at=START)
    with pytest.raises(DataError, match="2,000 characters"):
        comment(one, "x" * 2001, by="ann", at=START)
    for person in ("", " ", "x" * 101):
        with pytest.raises(DataError, match="Name the person"):
            assign(one, Care(), person, "", by="ann", at=START)
