"""Which closed cases are worth another challenger."""

from dataclasses import replace
from datetime import UTC, datetime

from riskloop.cases import Case, CaseState
from riskloop.cases.renewal import renewable
from riskloop.core.types import Diagnosis

JULY = datetime(2025, 7, 1, tzinfo=UTC)
MADE = Case(3, JULY, JULY, CaseState.PROMOTED, Diagnosis.CONCEPT_DRIFT, 4, 2, 1, "It serves.", champion=1, learned=500)
VAIN = replace(MADE, id=4, state=CaseState.REJECTED, challenger=3, learned=800, closed_by="riskloop")


def found(*cases: Case, champions: frozenset[int]) -> list[tuple[int, int, int, bool]]:
    newest_first = sorted(cases, key=lambda case: -case.id)
    return [(r.case.id, r.learned, r.version, r.in_vain) for r in renewable(newest_first, champions)]


def test_the_case_that_the_champion_was_made_for() -> None:
    assert found(MADE, champions=frozenset({2})) == [(3, 500, 2, False)]
    assert found(MADE, champions=frozenset({1})) == []


def test_the_latest_try_counts_whether_it_was_promoted_or_not() -> None:
    assert found(MADE, VAIN, champions=frozenset({2})) == [(3, 800, 3, False)]
    assert found(VAIN, champions=frozenset({1})) == [(4, 800, 3, True)]


def test_a_champion_that_a_person_brought_back_is_made_again_too() -> None:
    assert found(replace(MADE, state=CaseState.ROLLED_BACK), champions=frozenset({2})) == [(3, 500, 2, False)]


def test_a_person_has_the_last_word_and_a_mix_costs_no_auc() -> None:
    assert found(replace(VAIN, closed_by="a.validator"), champions=frozenset({1})) == []
    assert found(replace(VAIN, diagnosis=Diagnosis.COVARIATE_SHIFT), champions=frozenset({1})) == []


def test_one_open_case_is_enough_and_a_fault_is_another_matter() -> None:
    open_one = replace(MADE, id=9, state=CaseState.WAITING, closed_at=None, window_id=8, challenger=None)
    fault = replace(open_one, state=CaseState.QUARANTINED, diagnosis=Diagnosis.DATA_FAULT)
    assert found(MADE, open_one, champions=frozenset({2})) == []
    assert found(MADE, fault, champions=frozenset({2})) == [(3, 500, 2, False)]
