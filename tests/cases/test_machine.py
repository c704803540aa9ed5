"""The machine is the table that docs/architecture.md draws, and nothing moves beside it."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from riskloop.cases import CLOSED, OF_VERDICT, TABLE, Case, CaseState, Signal, Task, known_harm, may, move
from riskloop.core.errors import Conflict
from riskloop.core.types import Diagnosis, Verdict

NOW = datetime(2025, 7, 1, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
LINES = {(line.state, line.signal): line for line in TABLE}


def case(state: CaseState, diagnosis: Diagnosis = Diagnosis.CONCEPT_DRIFT) -> Case:
    closed = NOW if state in CLOSED else None
    return Case(1, NOW, closed, state, diagnosis, 4, 2, 1, "The AUC fell.", champion=1)


def test_the_page_draws_this_table() -> None:
    section = PAGE.read_text(encoding="utf-8").split("## The life of a case", 1)[1].split("\n## ", 1)[0]
    drawn = [re.split(r"\s*\|\s*", row.strip("| ")) for row in section.splitlines() if row.startswith("| ")][1:]
    expected = [
        [f"`{line.state}`" if line.state else "no case", line.signal, f"`{line.next}`", line.task] for line in TABLE
    ]
    assert drawn == expected


def test_a_line_occurs_once_and_every_word_is_used() -> None:
    assert len(LINES) == len(TABLE)
    assert {line.signal for line in TABLE} == set(Signal)
    assert {line.task for line in TABLE} == set(Task)
    assert {line.next for line in TABLE} == set(CaseState)
    assert set(OF_VERDICT) == set(Verdict)


def test_every_state_is_left_or_closed_and_every_state_is_reached() -> None:
    reached: set[CaseState | None] = {None}
    for _ in CaseState:
        reached |= {line.next for line in TABLE if line.state in reached}
    assert reached == {None, *CaseState}
    for state in set(CaseState) - CLOSED:
        onward, seen = {state}, {state}
        while onward:
            onward = {line.next for line in TABLE if line.state in onward} - seen
            seen |= onward
        assert seen & CLOSED, f"a case that is {state} can never end"


@pytest.mark.parametrize(("state", "signal"), list(product([None, *CaseState], Signal)))
def test_nothing_moves_beside_the_table(state: CaseState | None, signal: Signal) -> None:
    at = None if state is None else case(state)
    line = LINES.get((state, signal))
    assert may(at, signal) is (line is not None)
    if line is None:
        with pytest.raises(Conflict, match="only a case that is") if state else pytest.raises(Conflict):
            move(at, signal, "")
        return
    step = move(at, signal, "It moved.")
    assert (step.state, step.task) == (line.next, line.task)
    if at is not None:
        after = step.of(at, at=NOW, by="ann")
        assert (after.state, after.sentence, after.is_open) == (line.next, "It moved.", line.next not in CLOSED)
        assert (after.closed_at is None) is after.is_open
        if state in CLOSED:
            assert after.closed_by == at.closed_by, "who closed it stays on record"


@pytest.mark.parametrize("harmed", [None, 1])
def test_only_a_harm_that_outcomes_showed_stays_unresolved(harmed: int | None) -> None:
    for line in TABLE:
        if line.task is Task.MARK and line.state is not None:
            before = replace(case(line.state), harmed=harmed)
            marked = move(before, line.signal, "").of(before, at=NOW)
            assert marked.unresolved is (harmed is not None)
            cleared = move(marked, Signal.CALM, "").of(marked, at=NOW)
            assert (cleared.unresolved, cleared.state) == (False, marked.state)


def test_what_a_person_cannot_order_names_what_can_be() -> None:
    with pytest.raises(Conflict, match="Case 1 is 'promoted'; only a case that is 'needs_approval' can be approved"):
        move(case(CaseState.PROMOTED), Signal.APPROVED, "")


def test_a_harm_belongs_to_the_champion_that_serves() -> None:
    concept = replace(case(CaseState.REJECTED), unresolved=True, harmed=1)
    prior = replace(case(CaseState.ROLLED_BACK, Diagnosis.PRIOR_SHIFT), unresolved=True, harmed=1)
    mended = replace(concept, unresolved=False)
    marked = [concept, prior, mended]
    assert known_harm(marked, 1, {1}) == [concept, prior]
    assert known_harm(marked, 2, {2}) == []
    assert known_harm(marked, 3, {3, 1}) == [concept], "a recalibration of version 1 ranks as it does"
