"""Which case is worth opening again: a new world was learned, or learned in vain, from few outcomes.

No window asks for it: nothing drifts for a model of the new world, and where a first challenger was not better, the
harm may be too small to show in any one window of a small portfolio.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from riskloop.cases.case import Case, CaseState
from riskloop.core.types import Diagnosis


class Renewable(NamedTuple):
    """A closed case, and the latest try to learn its world: that one counts, promoted or rejected."""

    case: Case
    learned: int  # outcomes of the new world
    version: int
    in_vain: bool  # rejected: worth another try only if the champion is shown to rank worse still


def renewable(cases: Sequence[Case], champions: frozenset[int]) -> Iterator[Renewable]:
    """The cases, newest first, that may be opened again; ``champions`` rank like the present one.

    None while a change is being looked into.
    """
    if any(case.is_open and case.state is not CaseState.QUARANTINED for case in cases):
        return
    for case in (_promoted(cases, champions), _in_vain(cases, champions)):
        if case is not None:
            tries = [c for c in cases if c.window_id == case.window_id and c.id >= case.id]
            learned, version = max((c.learned, c.challenger or 0) for c in tries)
            yield Renewable(case, learned, version, case.state is CaseState.REJECTED)


def _promoted(cases: Sequence[Case], champions: frozenset[int]) -> Case | None:
    """The case that the champion was made for; a person may have brought it back after a rollback."""
    made = (CaseState.PROMOTED, CaseState.ROLLED_BACK)
    return next((c for c in cases if c.challenger in champions and c.state in made), None)


def _in_vain(cases: Sequence[Case], champions: frozenset[int]) -> Case | None:
    """The latest case of a new concept, if no better model than the champion was found for it.

    A concept costs AUC, so a better model is likely; of a changed mix of customers it is not. Where a person said no,
    that is the last word.
    """
    concepts = (c for c in cases if c.diagnosis is Diagnosis.CONCEPT_DRIFT and c.state is CaseState.REJECTED)
    latest = next(concepts, None)
    return latest if latest is not None and not latest.by_person and latest.champion in champions else None
