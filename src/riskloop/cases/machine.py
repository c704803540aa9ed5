"""The life of a case as a table: (state, signal) -> next state and what to do. docs/architecture.md draws it.

A signal is what a window, the gate, a person or the time says, in one word; `windows.py` and the loop find the word.
What the table does not name changes nothing; an order of a person that it does not name is refused.
"""

from enum import StrEnum
from typing import Any, Final, NamedTuple

from riskloop.cases.case import Case, CaseState, Move, Task
from riskloop.cases.events import NOTHING_MORE, Event
from riskloop.core.errors import Conflict
from riskloop.core.types import Verdict

S = CaseState


class Signal(StrEnum):
    """What can happen to a case."""

    FAULT = "a window holds a data fault"
    SOUND = "a window holds no data fault"
    CHANGED = "a window differs, and the policy waits"
    ORDERED = "a window differs, and the policy acts"
    CALM = "later windows are stable"
    OPEN_AGAIN = "the outcomes that it rests on are open again"
    GROWN = "the outcomes of a new world have multiplied"
    TOO_FEW = "too few outcomes have matured"
    JUDGED = "a challenger is trained and judged"
    BETTER = "the gate: promote"
    NOT_BETTER = "the gate: keep"
    UNDECIDED = "the gate: insufficient evidence"
    OUTSIDE = "the gate: needs approval"
    OVERTAKEN = "the champion changed meanwhile"
    APPROVED = "a person approves"
    REJECTED = "a person rejects"
    RELEASED = "a person releases the rows"
    FIXED = "a person says that the source is fixed"
    TAKEN_BACK = "its promotion is rolled back"


class Rule(NamedTuple):
    """One line of the table."""

    state: CaseState | None  # None: no such case is open
    signal: Signal
    next: CaseState
    task: Task = Task.NOTHING


TABLE: Final = (
    Rule(None, Signal.FAULT, S.QUARANTINED, Task.QUARANTINE),
    Rule(None, Signal.CHANGED, S.WATCHING),
    Rule(None, Signal.ORDERED, S.CONFIRMED, Task.TRAIN),
    Rule(None, Signal.GROWN, S.CONFIRMED, Task.TRAIN),
    Rule(S.QUARANTINED, Signal.FAULT, S.QUARANTINED, Task.QUARANTINE),
    Rule(S.QUARANTINED, Signal.SOUND, S.ENDED),
    Rule(S.QUARANTINED, Signal.RELEASED, S.ENDED, Task.RELEASE),
    Rule(S.QUARANTINED, Signal.FIXED, S.ENDED),
    Rule(S.ENDED, Signal.RELEASED, S.ENDED, Task.RELEASE),
    Rule(S.WATCHING, Signal.CHANGED, S.WATCHING),
    Rule(S.WATCHING, Signal.ORDERED, S.CONFIRMED, Task.TRAIN),
    Rule(S.WATCHING, Signal.CALM, S.ENDED),
    Rule(S.WATCHING, Signal.OPEN_AGAIN, S.ENDED),
    Rule(S.CONFIRMED, Signal.CHANGED, S.CONFIRMED, Task.TRAIN),
    Rule(S.CONFIRMED, Signal.ORDERED, S.CONFIRMED, Task.TRAIN),
    Rule(S.CONFIRMED, Signal.TOO_FEW, S.WAITING, Task.WAIT),
    Rule(S.CONFIRMED, Signal.JUDGED, S.TRAINED, Task.FOLLOW),
    Rule(S.CONFIRMED, Signal.OPEN_AGAIN, S.ENDED),
    Rule(S.WAITING, Signal.CHANGED, S.WAITING, Task.WAIT),
    Rule(S.WAITING, Signal.ORDERED, S.WAITING, Task.WAIT),
    Rule(S.WAITING, Signal.TOO_FEW, S.WAITING, Task.WAIT),
    Rule(S.WAITING, Signal.JUDGED, S.TRAINED, Task.FOLLOW),
    Rule(S.WAITING, Signal.OPEN_AGAIN, S.ENDED),
    Rule(S.TRAINED, Signal.BETTER, S.PROMOTED, Task.PROMOTE),
    Rule(S.TRAINED, Signal.NOT_BETTER, S.REJECTED, Task.MARK),
    Rule(S.TRAINED, Signal.UNDECIDED, S.WAITING, Task.WAIT),
    Rule(S.TRAINED, Signal.OUTSIDE, S.NEEDS_APPROVAL, Task.ASK),
    Rule(S.TRAINED, Signal.OVERTAKEN, S.WAITING, Task.WAIT),
    Rule(S.NEEDS_APPROVAL, Signal.APPROVED, S.PROMOTED, Task.PROMOTE),
    Rule(S.NEEDS_APPROVAL, Signal.REJECTED, S.REJECTED, Task.MARK),
    Rule(S.NEEDS_APPROVAL, Signal.OVERTAKEN, S.WAITING, Task.WAIT),
    Rule(S.NEEDS_APPROVAL, Signal.OPEN_AGAIN, S.ENDED),
    Rule(S.PROMOTED, Signal.TAKEN_BACK, S.ROLLED_BACK, Task.MARK),
    Rule(S.REJECTED, Signal.CALM, S.REJECTED, Task.CLEAR),
    Rule(S.ROLLED_BACK, Signal.CALM, S.ROLLED_BACK, Task.CLEAR),
)
_RULES: Final = {(line.state, line.signal): line for line in TABLE}
OF_VERDICT: Final = {
    Verdict.PROMOTE: Signal.BETTER,
    Verdict.KEEP: Signal.NOT_BETTER,
    Verdict.INSUFFICIENT_EVIDENCE: Signal.UNDECIDED,
    Verdict.NEEDS_APPROVAL: Signal.OUTSIDE,
}


_ORDERED: Final = {
    Signal.APPROVED: "approved",
    Signal.REJECTED: "rejected",
    Signal.RELEASED: "released",
    Signal.FIXED: "closed",
}


def may(case: Case | None, signal: Signal) -> bool:
    """Whether the signal changes anything about a case; of a person's order: whether it can be given now."""
    return (None if case is None else case.state, signal) in _RULES


def move(case: Case | None, signal: Signal, sentence: str, event: Event = NOTHING_MORE, **changes: Any) -> Move:
    """The step that a signal makes a case take; ``changes`` are further fields of `Case`.

    Raises Conflict when the table does not know the signal in this state, which says what a person may do instead.
    """
    line = _RULES.get((None if case is None else case.state, signal))
    if line is None:
        raise Conflict(_impossible(case, signal))
    if line.task is Task.MARK and case is not None:
        changes["unresolved"] = case.harmed is not None
    if line.task is Task.CLEAR:
        changes["unresolved"] = False
    return Move(line.next, sentence, line.task, event, changes)


def _impossible(case: Case | None, signal: Signal) -> str:
    states = " or ".join(f"'{line.state}'" for line in TABLE if line.signal is signal and line.state is not None)
    named = "No case is open" if case is None else f"Case {case.id} is '{case.state}'"
    deed = f"be {_ORDERED[signal]}" if signal in _ORDERED else f"follow this: {signal.value}"
    return f"{named}; only a case that is {states} can {deed}."
