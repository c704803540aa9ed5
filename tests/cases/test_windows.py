"""What a window does to the cases. The rows are the table; each names the rule that it shows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from riskloop.cases import Case
from riskloop.cases import CaseState as S
from riskloop.cases.windows import Known, Seen, steps
from riskloop.core.types import Diagnosis as Why

JULY = datetime(2025, 7, 1, tzinfo=UTC)
NOTHING = Known(cases=(), closings=(), again=3, calm=0, enough=3)


def seen(
    diagnosis: Why, *, number: int = 5, acts: bool = False, final: bool = False, case_id: int | None = None
) -> Seen:
    return Seen(number, f"2025-{number:02d}", 1, diagnosis, "The AUC fell.", acts, final, case_id)


def case(state: S, diagnosis: Why, window: int = 4, number: int = 7, **more: object) -> Case:
    closed = None if state in (S.WATCHING, S.CONFIRMED, S.WAITING, S.TRAINED, S.QUARANTINED) else JULY
    made = Case(number, JULY, closed, state, diagnosis, window, None, 0, "It began.", champion=1)
    return replace(made, **more)  # type: ignore[arg-type]


def moved(window: Seen, *cases: Case, **known: object) -> list[tuple[int | None, S | None, bool]]:
    """(case, its next state, whether the window joins it) of every step."""
    found = steps(window, replace(NOTHING, cases=cases, **known))  # type: ignore[arg-type]
    return [(s.case.id if s.case else None, s.move.state if s.move else None, s.joins) for s in found]


FAULT, WATCHED = case(S.QUARANTINED, Why.DATA_FAULT), case(S.WATCHING, Why.COVARIATE_SHIFT)
CONCEPT = case(S.WATCHING, Why.CONCEPT_DRIFT, harmed=1)
WAITING = case(S.WAITING, Why.PRIOR_SHIFT)
REJECTED = case(S.REJECTED, Why.CONCEPT_DRIFT, closed_by="riskloop", unresolved=True, harmed=1)


@pytest.mark.parametrize(
    ("window", "cases", "expected"),
    [
        (seen(Why.NOT_ENOUGH_DATA, acts=True), [FAULT, WATCHED], []),
        (seen(Why.STABLE), [], []),
        (seen(Why.COVARIATE_SHIFT), [], [(None, S.WATCHING, True)]),
        (seen(Why.COVARIATE_SHIFT, acts=True), [], [(None, S.CONFIRMED, True)]),
        (seen(Why.STABLE, acts=True), [], [(None, S.CONFIRMED, True)]),  # scheduled
        (seen(Why.DATA_FAULT), [WATCHED], [(None, S.QUARANTINED, True)]),
        (seen(Why.DATA_FAULT), [FAULT], [(7, S.QUARANTINED, True)]),
        (seen(Why.DATA_FAULT, number=4), [FAULT], [(7, None, True)]),
        (seen(Why.DATA_FAULT, final=True, case_id=7), [FAULT], []),
        (seen(Why.STABLE), [FAULT], [(7, S.ENDED, False)]),
        (seen(Why.STABLE, final=True), [FAULT], []),  # final outcomes say nothing about the feed of today
        (seen(Why.COVARIATE_SHIFT), [FAULT], [(7, S.ENDED, False), (None, S.WATCHING, True)]),
        (seen(Why.COVARIATE_SHIFT), [WATCHED], [(7, None, True)]),
        (seen(Why.COVARIATE_SHIFT, acts=True), [WATCHED], [(7, S.CONFIRMED, True)]),
        (seen(Why.CONCEPT_DRIFT), [WATCHED], [(7, S.WATCHING, True)]),  # a stronger diagnosis is a step
        (seen(Why.COVARIATE_SHIFT), [WAITING], [(7, None, True)]),
        (seen(Why.CONCEPT_DRIFT, acts=True), [WAITING], [(7, S.WAITING, True)]),
        (seen(Why.STABLE), [WAITING], []),
        (seen(Why.CONCEPT_DRIFT, acts=True), [case(S.TRAINED, Why.PRIOR_SHIFT)], []),
        (seen(Why.STABLE), [WATCHED], [(7, S.ENDED, False)]),
        (seen(Why.STABLE, number=4), [WATCHED], []),  # not a later one
        (seen(Why.STABLE), [CONCEPT], []),  # without outcomes it says nothing about them
        (seen(Why.STABLE, final=True), [CONCEPT], [(7, S.ENDED, False)]),
    ],
)
def test_a_window_moves(window: Seen, cases: list[Case], expected: list[tuple[int | None, S | None, bool]]) -> None:
    assert moved(window, *cases) == expected


@pytest.mark.parametrize(
    ("diagnosis", "later", "champion", "opens"),
    [
        (Why.CONCEPT_DRIFT, 2, 1, False),
        (Why.CONCEPT_DRIFT, 3, 1, True),  # long enough ago
        (Why.CONCEPT_DRIFT, 2, 9, True),  # another champion was compared
        (Why.PRIOR_SHIFT, 2, 1, False),  # says less than what was looked into
    ],
)
def test_what_was_looked_into_is_left_alone_for_a_while(diagnosis: Why, later: int, champion: int, opens: bool) -> None:
    closings = [JULY + timedelta(days=1)] * later
    found = moved(seen(diagnosis), replace(REJECTED, champion=champion), closings=closings)
    assert bool(found) is opens
    weaker = replace(REJECTED, diagnosis=Why.COVARIATE_SHIFT)
    assert moved(seen(Why.CONCEPT_DRIFT), weaker, closings=closings) == [(None, S.WATCHING, True)]


@pytest.mark.parametrize(
    ("window", "calm", "clears"),
    [
        (seen(Why.STABLE, final=True), 3, True),
        (seen(Why.STABLE, final=True), 2, False),
        (seen(Why.STABLE), 3, False),  # without outcomes
        (seen(Why.STABLE, final=True, number=4), 3, False),  # the window that opened it
        (replace(seen(Why.STABLE, final=True), champion=2), 3, False),  # another model
    ],
)
def test_a_harm_is_over_after_enough_stable_windows_of_that_champion(window: Seen, calm: int, clears: bool) -> None:
    found = steps(window, replace(NOTHING, cases=[REJECTED], calm=calm))
    assert len(found) == clears
    if clears:
        (step,) = found
        assert step.move is not None
        assert step.move.changes == {"unresolved": False}


@pytest.mark.parametrize("state", [S.WATCHING, S.CONFIRMED, S.WAITING])
@pytest.mark.parametrize("why", [Why.COVARIATE_SHIFT, Why.PRIOR_SHIFT, Why.CONCEPT_DRIFT])
def test_the_harm_is_that_of_the_champion_which_a_window_was_compared_with(state: S, why: Why) -> None:
    """A renewal opens a case without harm; what windows of the new champion show then is its own."""
    harmed = None if why is Why.COVARIATE_SHIFT else 1
    (opened,) = steps(seen(why), NOTHING)
    assert opened.move is not None
    assert opened.move.changes.get("harmed") == harmed
    renewed = case(state, Why.CONCEPT_DRIFT)
    (step,) = steps(seen(why, final=True), replace(NOTHING, cases=[renewed]))
    after = renewed if step.move is None else step.move.of(renewed, at=JULY)
    assert (after.harmed, after.state, after.diagnosis) == (harmed, state, Why.CONCEPT_DRIFT)
