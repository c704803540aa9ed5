"""What people say about a case: a comment, who takes care of it, that it was seen."""

from datetime import datetime

from riskloop.cases import people
from riskloop.cases.people import CaseNote
from riskloop.store.case_notes import say
from riskloop.store.cases import Cases


def comment(cases: Cases, number: int, text: str, *, by: str, now: datetime) -> CaseNote:
    """Keep a remark on a case. DataError for an empty one."""
    return say(cases, number, lambda case, _care, _since: people.comment(case, text, by=by, at=now))


def assign(cases: Cases, number: int, person: str | None, text: str, *, by: str, now: datetime) -> CaseNote:
    """Give a case to a person, or to nobody. Conflict where that changes nothing, or nothing is left to do."""
    return say(cases, number, lambda case, care, _since: people.assign(case, care, person, text, by=by, at=now))


def acknowledge(cases: Cases, number: int, text: str, *, by: str, now: datetime) -> CaseNote:
    """Keep that a case was seen. Conflict where it asks for nothing, or was seen before."""
    return say(cases, number, lambda case, care, since: people.acknowledge(case, care, since, text, by=by, at=now))
