"""A world that changes among the approved: what the features say beside the score."""

import json
from dataclasses import asdict, replace
from functools import lru_cache

import numpy as np
import pytest

from riskloop.core.types import Finding, Floats, Severity
from riskloop.monitor.residual import Bases, Directions, Past, bases_of, residual_finding
from riskloop.simulation import SCENARIOS
from riskloop.simulation.embedded import World

from .conftest import USUAL, Month, history, month
from .test_selection import usual_scores

ALARM = 50.0
RECESSION = SCENARIOS["recession"].world or pytest.fail("no world")


@lru_cache(maxsize=1)
def bases() -> Bases:
    rows = history()
    odds = np.log(rows.scores / (1.0 - rows.scores))
    alike = [abs(np.corrcoef(column, odds)[0, 1]) if column.std() else 0.0 for column in rows.features.T]
    return bases_of(rows.features, np.array(alike))


def past(again: float = 0.0) -> Past:
    rows = history()
    return Past(bases(), rows.scores, rows.outcomes, rows.scores, again=again)


def told(
    window: Month,
    approved: float = 1.0,
    before: list[Finding] | None = None,
    *,
    drifted: bool = False,
    again: float = 0.0,
) -> Finding:
    scores = usual_scores(window)
    outcomes = np.where(scores > np.quantile(scores, approved), np.nan, window.outcomes)
    return residual_finding(past(again), window.features, scores, outcomes, before or [], alarm=ALARM, drifted=drifted)


@pytest.mark.parametrize("approved", [1.0, 0.9, 0.8])
@pytest.mark.parametrize("seed", [610, 611])
def test_a_recession_is_found_in_one_month_whoever_has_an_outcome(approved: float, seed: int) -> None:
    assert told(month(3_000, seed, RECESSION), approved).severity in (Severity.DRIFTED, Severity.SEVERE)


@pytest.mark.parametrize("seed", [610, 611])
def test_of_six_in_ten_it_is_found_in_two_months(seed: int) -> None:
    first = told(month(3_000, seed, RECESSION), 0.6)
    second = told(month(3_000, seed + 2, RECESSION), 0.6, [first])
    assert first.details["witnesses"] == 1
    assert second.severity in (Severity.DRIFTED, Severity.SEVERE)
    assert second.details["witnesses"] == (2 if second.details["adds"] else 1), "each month says it"


@pytest.mark.parametrize("approved", [1.0, 0.8, 0.6])
def test_a_year_in_which_nothing_changes_is_not_called(approved: float) -> None:
    before: list[Finding] = []
    for seed in range(620, 632):
        before = [told(month(2_000, seed), approved, before)]
        assert before[0].severity is Severity.OK


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_more_or_fewer_defaults_are_no_other_meaning(factor: float) -> None:
    """Another level, which other checks see, leaves nothing beside the score."""
    worlds = [World(base=float(np.log(factor)))] * 3
    before: list[Finding] = []
    for seed, world in enumerate(worlds, start=640):
        before = [told(month(2_000, seed, world), 0.8, before)]
    assert before[0].severity is Severity.OK


def test_evidence_adds_up_and_survives_the_store() -> None:
    windows = [month(400, seed, RECESSION) for seed in range(650, 654)]
    found: list[Finding] = []
    evidence = []
    for window in windows:
        found = [told(window, 0.8, found)]
        document = json.loads(json.dumps(asdict(found[0]), allow_nan=False))
        found = [Finding(**{**document, "severity": Severity(document["severity"])})]
        evidence.append(found[0].statistic or 0.0)
    assert evidence[-1] > 20.0 * evidence[0]
    assert len(found[0].details["windows"]) == 4


def test_a_change_that_has_ended_is_not_called_any_more() -> None:
    found: list[Finding] = []
    for seed in range(690, 693):
        found = [told(month(2_000, seed, RECESSION), 0.8, found)]
    assert found[0].severity is Severity.SEVERE
    after = told(month(2_000, 693), 0.8, found)
    assert after.severity is Severity.OK
    assert len(after.details["windows"]) == 1
    assert told(month(3_000, 694, RECESSION), 0.8, [after]).severity in (Severity.DRIFTED, Severity.SEVERE)


def test_other_customers_and_too_few_defaults_add_nothing() -> None:
    window, first = month(2_000, 660, RECESSION), told(month(2_000, 661), 0.8)
    same = first.details["windows"]
    assert told(window, 0.8, [first], drifted=True).details["windows"] == same
    assert told(window.take(np.arange(20)), 0.8, [first]).details["windows"] == same


def test_the_same_customers_again_are_no_further_witnesses() -> None:
    """What one sample of customers happens to show, a panel shows every month."""
    one = month(2_000, 670)
    found: list[Finding] = []
    for _ in range(12):
        found = [told(one, 0.8, found, again=1.0)]
    assert found[0].severity is Severity.OK


def test_months_before_a_change_make_it_clearer() -> None:
    sound = [month(500, seed) for seed in range(800, 803)]
    turned = [month(500, seed, RECESSION) for seed in range(803, 806)]

    def last(windows: list[Month]) -> Finding:
        found: list[Finding] = []
        for window in windows:
            found = [told(window, 0.8, found)]
        return found[0]

    after, alone = last([*sound, *turned]), last(turned)
    assert (after.statistic or 0.0) > 1.5 * (alone.statistic or 0.0)
    assert len(after.details["windows_read"]) == len(after.details["windows"]) == 6


def test_evidence_of_a_version_that_had_one_basis_is_carried_on() -> None:
    first = told(month(2_000, 661), 0.8)
    older = replace(first, details={"windows": first.details["windows"]})
    now = told(month(2_000, 662), 0.8, [older])
    assert (len(now.details["windows"]), len(now.details["windows_read"])) == (2, 1)
    other = replace(first, details={"windows": [[1.0, 2.0]]})  # of a champion with another number of directions
    assert len(told(month(2_000, 662), 0.8, [other]).details["windows"]) == 1


def test_what_a_champion_reads_is_looked_at_by_its_importance() -> None:
    rng = np.random.default_rng(0)
    features = np.column_stack((rng.random((500, 3)), np.ones(500)))
    found = Directions.read(features, np.array([3.0, 1.0, 0.0, 9.0]))
    np.testing.assert_allclose(found.spread, [0.9, 0.1])
    along = found(features)
    np.testing.assert_allclose(along.std(axis=0), 1.0, rtol=1e-6)
    assert (np.argsort(along[:, 0]) == np.argsort(features[:, 0])).all()
    assert (np.argsort(along[:, 1]) == np.argsort(features[:, 1])).all()
    assert not Directions.read(features, np.zeros(4)).spread.size


def test_a_column_that_never_varies_and_missing_values_are_no_trouble() -> None:
    rows = history()
    features = rows.features.copy()
    features[:, 3] = 1.0
    features[::7, 5] = np.nan
    found = Directions.of(features)
    assert np.isfinite(found(features)).all()
    assert found.spread.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(np.cov(found(features), rowvar=False), np.eye(found.spread.size), atol=0.02)


@pytest.mark.parametrize("columns", [np.ones((8_000, 2)), np.empty((8_000, 0)), np.full((8_000, 1), np.nan)])
def test_a_champion_that_reads_nothing_that_differs_is_judged_all_the_same(columns: Floats) -> None:
    """It broke the whole judgement: a context column alone, or values that are never there."""
    rows = history()
    past = Past(bases_of(columns, np.ones(columns.shape[1])), rows.scores, rows.outcomes, rows.scores)
    told = residual_finding(past, columns[:2_000], rows.scores[:2_000], rows.outcomes[:2_000], [], alarm=ALARM)
    assert (told.severity, told.details["windows"]) == (Severity.OK, [])


def test_where_no_window_could_be_judged_nothing_is_called_fine() -> None:
    window = month(2_000, 660)
    for one in (told(window, 0.8, drifted=True), told(window.take(np.arange(20)), 0.8)):
        assert one.severity is Severity.UNKNOWN
        assert one.details["windows"] == []
        assert "cannot be judged" in one.sentence


def test_the_usual_world_is_the_one_that_the_scores_are_of() -> None:
    np.testing.assert_allclose(usual_scores(month(500, 680, USUAL)), month(500, 680, USUAL).scores)
