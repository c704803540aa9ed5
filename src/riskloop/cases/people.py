"""What people say about a case and who takes care of it: beside the machine, which none of this moves. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from riskloop.cases.case import Case, CaseState, CaseStep
from riskloop.core.errors import Conflict, DataError

# Never more than a first finding: nobody is told of it, and nobody is asked for anything.
QUIET: Final = frozenset({CaseState.WATCHING, CaseState.ENDED})
LONGEST: Final = 2000  # characters of a note
NAME: Final = 100  # characters of a person's name


class NoteKind(StrEnum):
    """What a person did about a case."""

    COMMENT = "comment"
    ASSIGNMENT = "assign"  # to a person, or to nobody any more
    ACKNOWLEDGEMENT = "acknowledge"  # seen: nobody has to be told again


@dataclass(frozen=True, slots=True)
class CaseNote:
    """One thing that a person said, as it is on record."""

    case_id: int
    at: datetime
    by: str
    kind: NoteKind
    text: str  # may be empty where the kind says enough
    person: str | None = None  # of an assignment: to whom; None: to nobody


@dataclass(frozen=True, slots=True)
class Care:
    """Who takes care of a case, as it stands."""

    assigned_to: str | None = None
    acknowledged_by: str | None = None  # None again when the case asks for something new
    acknowledged_at: datetime | None = None


def asks_since(case: Case, steps: Iterable[CaseStep]) -> datetime | None:
    """Since when people are asked to look at an open case; None while it is only watched, and when it is over.

    A challenger that waits for a person asks anew.
    """
    if not case.is_open or case.state in QUIET:
        return None
    loud = [step for step in steps if step.state not in QUIET]
    asked = [step.at for step in loud if step.state is CaseState.NEEDS_APPROVAL]
    return max(asked, default=loud[0].at if loud else case.opened_at)


def care_of(notes: Iterable[CaseNote], since: datetime | None) -> Care:
    """What the notes of a case, oldest first, come to. ``since`` is from :func:`asks_since`; an older acknowledgement
    was about something else. Of a case that asks for nothing the last one is told."""
    person: str | None = None
    seen: CaseNote | None = None
    for note in notes:
        if note.kind is NoteKind.ASSIGNMENT:
            person = note.person
        elif note.kind is NoteKind.ACKNOWLEDGEMENT and (since is None or note.at >= since):
            seen = note
    return Care(person) if seen is None else Care(person, seen.by, seen.at)


def comment(case: Case, text: str, *, by: str, at: datetime) -> CaseNote:
    """A remark on a case, open or closed. DataError for an empty one."""
    if not text.strip():
        raise DataError(f"A comment on case {case.id} needs a text. Nothing was done.")
    return CaseNote(case.id, at, by, NoteKind.COMMENT, _checked(text))


def assign(case: Case, care: Care, person: str | None, text: str, *, by: str, at: datetime) -> CaseNote:
    """A case goes to a person, or to nobody any more. Conflict where that changes nothing or nothing is left to do."""
    person = person if person is None else person.strip()
    if person == "" or (person is not None and len(person) > NAME):
        raise DataError(f"Name the person to whom case {case.id} goes, in at most {NAME} characters.")
    if not case.is_open and not case.unresolved and person is not None:
        raise Conflict(
            f"Case {case.id} is '{case.state}' and nothing about it is unresolved: nobody has to care for it."
        )
    if person == care.assigned_to:
        raise Conflict(f"Case {case.id} is assigned to {person or 'nobody'} already.")
    return CaseNote(case.id, at, by, NoteKind.ASSIGNMENT, _checked(text), person)


def acknowledge(case: Case, care: Care, since: datetime | None, text: str, *, by: str, at: datetime) -> CaseNote:
    """Somebody has seen what a case asks for. Conflict where it asks for nothing, or somebody has seen it before."""
    if since is None:
        raise Conflict(
            f"Case {case.id} is '{case.state}': it asks nobody for anything, so there is nothing to acknowledge."
        )
    if care.acknowledged_by is not None:
        raise Conflict(f"Case {case.id} was acknowledged by {care.acknowledged_by} already.")
    return CaseNote(case.id, at, by, NoteKind.ACKNOWLEDGEMENT, _checked(text))


def _checked(text: str) -> str:
    text = text.strip()
    if len(text) > LONGEST:
        raise DataError(f"A note has at most {LONGEST:,} characters; this one has {len(text):,}. Nothing was done.")
    return text
