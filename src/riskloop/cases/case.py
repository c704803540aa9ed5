"""One investigation, from its first finding to its end. `machine.py` says how it moves."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from riskloop.cases.events import NOTHING_MORE, Event
from riskloop.core.types import Diagnosis


class CaseState(StrEnum):
    """Where a case stands."""

    WATCHING = "watching"  # a first finding; not confirmed by further windows
    CONFIRMED = "confirmed"  # the policy ordered an action that is not begun yet
    WAITING = "waiting"  # for outcomes to mature
    TRAINED = "trained"  # a challenger is registered, and the gate has judged it
    NEEDS_APPROVAL = "needs_approval"
    QUARANTINED = "quarantined"  # a data fault, still in the feed
    PROMOTED = "promoted"
    REJECTED = "rejected"  # the challenger, by the gate or by a person: `Case.closed_by` says by whom
    ROLLED_BACK = "rolled_back"  # promoted, and taken back
    ENDED = "ended"  # it went away

    @classmethod
    def _missing_(cls, value: object) -> "CaseState | None":
        # Steps are never rewritten: portfolios of 0.1 call a challenger that the gate rejected "refused".
        return cls.REJECTED if value == "refused" else None


CLOSED: Final = frozenset({CaseState.PROMOTED, CaseState.REJECTED, CaseState.ROLLED_BACK, CaseState.ENDED})
BY_OUTCOMES: Final = frozenset({Diagnosis.PRIOR_SHIFT, Diagnosis.CONCEPT_DRIFT})  # outcomes show that the PD is wrong
LOOP: Final = "riskloop"  # who acts where no person does


@dataclass(frozen=True)
class Case:
    """One investigation, as it stands."""

    id: int
    opened_at: datetime
    closed_at: datetime | None
    state: CaseState
    diagnosis: Diagnosis
    window_id: int  # the first finding's window
    challenger: int | None  # the latest one
    tries: int  # challengers that went to the gate
    sentence: str  # the latest step, for a person
    champion: int | None = None  # what the findings, and the latest challenger, are held against
    learned: int = 0  # outcomes of the new world that the latest challenger had to learn from
    wait_for: int | None = None  # matured outcomes of the new world from which a waiting case is tried again
    looked: int | None = None  # outcomes at the last look whether the champion still ranks worse (`renewal.py`)
    closed_by: str | None = None
    harmed: int | None = None  # version that outcomes showed to do worse than at its training
    unresolved: bool = False  # closed, and nothing has mended that

    @property
    def is_open(self) -> bool:
        """Whether something is still done about it."""
        return self.state not in CLOSED

    @property
    def by_person(self) -> bool:
        """Whether a person closed it."""
        return self.closed_by not in (None, LOOP)


@dataclass(frozen=True, slots=True)
class CaseStep:
    """One step of a case, as it is on record."""

    at: datetime
    state: CaseState
    by: str
    sentence: str
    event: Event


class Task(StrEnum):
    """What the loop has to do after a step."""

    NOTHING = "nothing"
    QUARANTINE = "keep the window's rows out of every training"
    TRAIN = "train a challenger and ask the gate"
    FOLLOW = "follow the verdict"
    WAIT = "try again when enough outcomes have matured"
    PROMOTE = "exchange the champion"
    ASK = "ask a person"
    RELEASE = "let the rows be learned from again"
    MARK = "mark it unresolved where outcomes showed harm"
    CLEAR = "clear the mark"


@dataclass(frozen=True, slots=True)
class Move:
    """One step of a case: where it stands after it, what the loop has to do, and what its story says."""

    state: CaseState
    sentence: str
    task: Task = Task.NOTHING
    event: Event = NOTHING_MORE
    changes: Mapping[str, Any] = field(default_factory=dict)  # further fields of `Case`

    def of(self, case: Case, *, at: datetime, by: str = LOOP) -> Case:
        """The case after the step."""
        closes, closed = self.state in CLOSED, case.state in CLOSED
        moved = replace(case, state=self.state, sentence=self.sentence, **self.changes)
        if closes and closed:  # what is added to a closed case does not close it again
            return moved
        return replace(moved, closed_at=at if closes else None, closed_by=by if closes else None)


def known_harm(cases: Iterable[Case], champion: int, alike: Collection[int]) -> list[Case]:
    """The unresolved cases by which a champion is known to do worse than at its training.

    ``alike`` are the champion and those that it is a recalibration of: a recalibration mends the level of the PD and
    ranks as its parent does.
    """
    return [
        case
        for case in cases
        if case.unresolved
        and (case.harmed == champion or (case.diagnosis is Diagnosis.CONCEPT_DRIFT and case.harmed in alike))
    ]


def ended(state: CaseState) -> str:
    """How a case came to close while its harm goes on."""
    return _ENDED.get(state, "it ended without a better model")


_ENDED: Final = {
    CaseState.REJECTED: "its challenger was rejected",
    CaseState.ROLLED_BACK: "its challenger was promoted and rolled back",
    CaseState.PROMOTED: "its challenger was promoted and serves no more",
}
