"""The outcome feed's own faults are told from changes of the world."""

import numpy as np
import pytest
from scipy.special import expit

from riskloop.core.settings import DriftSettings
from riskloop.core.stats.correlated import given_factor
from riskloop.core.types import Finding, Floats, Severity
from riskloop.decide.diagnosis import diagnose
from riskloop.monitor.labels import (
    _recalibrated,
    definition_finding,
    delivery_findings,
    enough,
    window_findings,
)
from riskloop.monitor.reports import DAY, Reports

WINDOW = 30 * DAY
SEEDS = range(20)


def world(seed: int, n: int = 1200, level: float = -1.3, skill: float = 1.2) -> tuple[Floats, Floats, Floats]:
    """PDs, log-odds of the truth, and days of the decisions, over a hundred days."""
    rng = np.random.default_rng(seed)
    log_odds = level + skill * rng.standard_normal(n)
    days: Floats = np.sort(rng.integers(0, 100, n)).astype(np.float64)
    p: Floats = expit(log_odds)
    return p, np.asarray(log_odds, dtype=np.float64), days


def reports(p: Floats, outcomes: Floats, days: Floats, delay: Floats | float = 0.0) -> Reports:
    n = p.size
    decided = days.astype(np.int64) * DAY
    reported = decided + WINDOW + (np.broadcast_to(delay, n) * DAY).astype(np.int64)
    return Reports(np.arange(n), np.arange(n), outcomes.astype(np.float64), p, decided, reported)


def drawn(log_odds: Floats, seed: int) -> Floats:
    outcomes: Floats = (np.random.default_rng(seed + 99).random(log_odds.size) < expit(log_odds)).astype(np.float64)
    return outcomes


def one(found: list[Finding], check: str) -> Finding:
    (finding,) = [f for f in found if f.check == check]
    return finding


@pytest.mark.parametrize("level", [-1.3, -3.5])
@pytest.mark.parametrize("n", [100, 1200])
def test_exchanged_labels_are_found_and_a_worse_world_is_not_called_so(n: int, level: float) -> None:
    """A hundred reports hold ten good ones at least; of these few nearly all are found, of more all."""
    caught = judged = 0
    for seed in range(40):
        p, log_odds, days = world(seed, n, level)
        sound = drawn(log_odds, seed)
        worse = drawn(1.5 + 0.1 * log_odds, seed)  # nearly everybody defaults, and hardly ranked
        for outcomes in (sound, worse):
            given = reports(p, outcomes, days)
            if given.fewest >= 10:
                assert one(delivery_findings(given, 0, 0), "labels_inverted").severity is Severity.OK
        given = reports(p, 1.0 - sound, days)
        if given.fewest >= 10:
            judged += 1
            caught += one(delivery_findings(given, 0, 0), "labels_inverted").severity is Severity.FAULT
    assert caught >= (judged if n > 100 else 0.9 * judged - 1)
    assert judged >= 2


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("level", [-6.0, -5.0])
def test_where_too_few_are_of_one_class_to_rank_the_level_shows_exchanged_labels(seed: int, level: float) -> None:
    """Half a percent to one default; a world that gets worse, however much, stays below the half."""
    p, log_odds, days = world(seed, 600, level)
    sound = drawn(log_odds, seed)
    worse = drawn(log_odds + 4.0, seed)
    for outcomes, expected in ((sound, Severity.OK), (worse, Severity.OK), (1.0 - sound, Severity.FAULT)):
        given = reports(p, outcomes, days)
        if outcomes is not worse and not 0 < given.fewest < 10:
            continue
        for found in (delivery_findings(given, 0, 0), window_findings(given, WINDOW, (600, 600), (0, 0))):
            assert one(found, "labels_inverted").severity is expected
    assert not enough(600, 600), "a file of defaults alone says nothing of the good"
    assert enough(600, 599)
    assert not enough(199, 1)


def test_many_corrections_at_once_are_a_fault_and_a_few_are_none() -> None:
    p, log_odds, days = world(1)
    given = reports(p, drawn(log_odds, 1), days)
    assert one(delivery_findings(given, 30, 1200), "labels_corrected").severity is Severity.OK
    assert one(delivery_findings(given, 15, 30), "labels_corrected").severity is Severity.OK, "so few may be anything"
    assert one(delivery_findings(given, 240, 1200), "labels_corrected").severity is Severity.FAULT


def test_a_feed_of_one_class_is_a_fault_where_both_are_expected() -> None:
    p, log_odds, days = world(1)
    outcomes = drawn(log_odds, 1)
    only = outcomes == 1.0
    found = window_findings(reports(p[only], outcomes[only], days[only]), WINDOW, (50, 100), (0, 0))
    assert one(found, "labels_one_class").severity is Severity.FAULT
    assert "outcomes.reported" in one(found, "labels_one_class").sentence
    few = window_findings(reports(p[:5], np.zeros(5), days[:5]), WINDOW, (5, 5), (0, 0))
    assert one(few, "labels_one_class").severity is Severity.OK, "five good customers are nothing unusual"


def test_coverage_is_compared_with_what_was_usual() -> None:
    p, log_odds, days = world(1)
    given = reports(p, drawn(log_odds, 1), days)
    for covered, usual, expected in (
        ((600, 1000), (2700, 3000), Severity.DRIFTED),
        ((880, 1000), (2700, 3000), Severity.OK),
        ((6, 10), (27, 30), Severity.OK),
        ((600, 1000), (0, 0), Severity.OK),
    ):
        assert one(window_findings(given, WINDOW, covered, usual), "labels_coverage").severity is expected


@pytest.mark.parametrize("seed", SEEDS)
def test_another_definition_of_default_is_told_from_a_change_of_level_where_that_is_possible(seed: int) -> None:
    """Reports come up to sixty days late. A definition changes for reports of a day, a world for decisions of a day."""
    p, log_odds, days = world(seed, n=4000)
    rng = np.random.default_rng(seed)
    delay = rng.integers(0, 60, p.size).astype(np.float64)
    defaults = drawn(log_odds, seed)
    reported = days + 30.0 + delay
    other = np.where((reported >= 110.0) & (rng.random(p.size) < 0.4), 0.0, defaults)
    finding, day = definition_finding(reports(p, other, days, delay))
    assert finding.severity is Severity.FAULT
    assert day is not None
    assert abs(day / DAY - 110.0) <= 5.0
    changed = drawn(np.where(days >= 55.0, log_odds - 1.0, log_odds), seed)
    finding, day = definition_finding(reports(p, changed, days, delay))
    assert finding.severity is Severity.OK
    assert day is None
    constant, day = definition_finding(reports(p, changed, days, 0.0))
    assert constant.severity is Severity.DRIFTED, "with a constant delay nobody can tell"
    assert "may be another definition" in constant.sentence
    assert day is None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_that_no_window_shows_is_a_doubt_unless_defaults_of_a_month_move_together_as_much(seed: int) -> None:
    """Five months: 40% fewer are reported from the third on, or months differ by their factor."""
    rng = np.random.default_rng(seed)
    p = np.clip(rng.beta(1.5, 5.0, 6000), 0.01, 0.9)
    days = np.sort(rng.integers(0, 150, p.size)).astype(np.float64)
    defaults = rng.random(p.size) < p
    fewer = np.where((days >= 60.0) & (rng.random(p.size) < 0.4), False, defaults).astype(np.float64)
    said, _ = definition_finding(reports(p, fewer, days), moved=False, correlation=0.002)
    assert said.severity is Severity.DRIFTED
    calm, _ = definition_finding(reports(p, defaults.astype(np.float64), days), moved=False, correlation=0.002)
    assert calm.severity is Severity.OK
    given = given_factor(p, 0.05, np.array([-1.5, 1.0]))[np.where(days < 60.0, 0, 1), np.arange(p.size)]
    together = (rng.random(p.size) < given).astype(np.float64)
    alone, _ = definition_finding(reports(p, together, days), moved=False)
    assert alone.severity is Severity.DRIFTED, "without the correlation two bad months are a step"
    usual, _ = definition_finding(reports(p, together, days), moved=False, correlation=0.05)
    assert usual.severity is Severity.OK


def months(rng: np.random.Generator, level: float, correlation: float, fewer: float) -> Reports:
    """Six months of 2,000 of a champion that is right; from the third on a share of the defaults is not reported."""
    log_odds = level + 0.8 * rng.standard_normal(12_000)
    p: Floats = expit(log_odds)
    days = np.sort(rng.integers(0, 180, p.size)).astype(np.float64)
    given = given_factor(p, correlation, rng.standard_normal(6))[days.astype(int) // 30, np.arange(p.size)]
    defaults = (rng.random(p.size) < (given if correlation else p)) & ~((days >= 60) & (rng.random(p.size) < fewer))
    return reports(p, defaults.astype(np.float64), days)


def watched(given: Reports, learned: float = 0.05) -> list[Finding]:
    """What each of the six months finds, with those before it."""
    found = []
    for month in range(6):
        until, begins = (month + 1) * 30 * DAY, month * 30 * DAY
        known = given.take(given.decided < until)
        found.append(definition_finding(known, moved=False, learned=learned, begins=begins)[0])
    return found


def confirmed(found: list[Finding]) -> int:
    """In how many windows the answer of the ladder is confirmed."""
    settings = DriftSettings()
    return sum(diagnose([f], [[one] for one in found[:k]], settings).confirmed for k, f in enumerate(found))


@pytest.mark.parametrize(("level", "off"), [(-5.4, 0.0), (-3.5, 0.4), (-1.4, 0.7), (-3.5, 1.7), (-1.4, 1.35)])
def test_a_month_of_chance_is_no_witness_of_itself_in_the_months_after_it(level: float, off: float) -> None:
    """One month of few defaults, or of many, in a world that is as ever: called, and not confirmed."""
    called = sure = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        p: Floats = expit(level + 0.8 * rng.standard_normal(12_000))
        days = np.sort(rng.integers(0, 180, p.size)).astype(np.float64)
        odd = days.astype(int) // 30 == rng.integers(1, 4)
        defaults = rng.random(p.size) < np.where(odd, np.minimum(off * p, 0.97), p)
        found = watched(reports(p, defaults.astype(np.float64), days))
        called += sum(f.severity is Severity.DRIFTED for f in found)
        sure += confirmed(found)
    assert called >= 4
    assert sure <= 1  # the next month may be low by chance, too


@pytest.mark.parametrize("level", [-1.4, -3.5])
def test_a_level_that_stays_is_confirmed_by_the_months_after_it(level: float) -> None:
    held = [confirmed(watched(months(np.random.default_rng(seed), level, 0.0, 0.4))) > 0 for seed in range(5)]
    assert all(held)


@pytest.mark.parametrize("level", [-1.4, -3.5])
def test_another_definition_is_seen_beside_the_champions_level_before_it_is_a_step(level: float) -> None:
    """The champion's level, learned from a year, has an error of a few hundredths in log-odds."""
    asked = {False: 0, True: 0}
    for seed in range(12):
        given = months(np.random.default_rng(seed), level, 0.0, 0.3)
        for beside in asked:
            found, _ = definition_finding(given, moved=False, learned=0.04 if beside else None)
            asked[beside] += found.severity is Severity.DRIFTED
    assert asked[True] >= 10
    assert asked[True] >= asked[False]


@pytest.mark.parametrize(("level", "correlation"), [(-1.4, 0.0), (-1.4, 0.03), (-5.3, 0.0), (-5.3, 0.03)])
def test_a_champion_that_is_right_is_not_asked_about(level: float, correlation: float) -> None:
    asked = 0
    for seed in range(12):
        given = months(np.random.default_rng(seed), level, correlation, 0.0)
        found, _ = definition_finding(given, moved=False, correlation=correlation, learned=0.1)
        asked += found.severity is not Severity.OK
    assert asked <= 1


def test_what_matters_to_nobody_is_not_asked_about_however_sure_it_is() -> None:
    rng = np.random.default_rng(3)
    p = np.full(400_000, 0.2)
    defaults = (rng.random(p.size) < 0.21).astype(np.float64)
    days = np.sort(rng.integers(0, 30, p.size)).astype(np.float64)
    found, _ = definition_finding(reports(p, defaults, days), moved=False, learned=0.0)
    assert found.severity is Severity.OK


@pytest.mark.parametrize("seed", SEEDS)
def test_a_handful_of_defaults_is_no_step(seed: int) -> None:
    """Three or four of two thousand that default in the last days of a quarter are chance of some rank."""
    rng = np.random.default_rng(seed)
    days = np.sort(rng.integers(0, 90, 2_000)).astype(np.float64)
    defaults = np.zeros(2_000)
    defaults[rng.choice(np.flatnonzero(days >= 84), 4, replace=False)] = 1.0
    found, _ = definition_finding(reports(np.full(2_000, 0.002), defaults, days), moved=False)
    assert found.severity is Severity.OK


@pytest.mark.parametrize("seed", SEEDS)
def test_late_good_customers_are_no_other_definition(seed: int) -> None:
    """What comes on a day is then no fair sample of anything; the level of the customers of each day is as ever."""
    p, log_odds, days = world(seed, n=4000)
    outcomes, rng = drawn(log_odds, seed), np.random.default_rng(seed)
    late = np.where((outcomes == 0.0) & (rng.random(p.size) < 0.5) & (days > 50.0), 10.0, 0.0)
    given = reports(p, outcomes, days, late)
    found, day = definition_finding(given, moved=False, in_order=False)
    assert found.severity is Severity.OK
    assert day is None
    found, day = definition_finding(given, moved=True, in_order=False)
    assert found.severity is Severity.DRIFTED, "a level that did move is asked about"
    assert day is None


def test_a_correction_counts_with_its_value_and_the_date_of_the_first_report() -> None:
    given = Reports(
        ids=np.array([1, 2, 3]),
        decisions=np.array([8, 7, 8]),
        outcomes=np.array([0.0, 0.0, 1.0]),
        probabilities=np.array([0.1, 0.2, 0.1]),
        decided=np.array([5, 4, 5]),
        reported=np.array([50, 51, 90]),
    )
    last = given.latest
    assert (last.decisions.tolist(), last.outcomes.tolist(), last.reported.tolist()) == ([7, 8], [0.0, 1.0], [51, 50])


@pytest.mark.parametrize("rate", [0.22, 0.03, 0.005])
@pytest.mark.parametrize("times", [0.5, 1.0, 5.0, 20.0, 100.0])
@pytest.mark.parametrize("n", [300, 2000])
def test_a_level_is_found_however_far_it_has_moved(rate: float, times: float, n: int) -> None:
    """Inverted labels of a portfolio in which few default turn half a percent into nearly all."""
    rng = np.random.default_rng(n)
    p: Floats = expit(np.log(rate / (1.0 - rate)) + rng.standard_normal(n))
    outcomes: Floats = (rng.random(n) < np.minimum(1.0, times * p)).astype(np.float64)
    outcomes[0], outcomes[1] = 0.0, 1.0
    level = _recalibrated(reports(p, outcomes, np.zeros(n)))
    assert level.sum() == pytest.approx(outcomes.sum(), rel=1e-6)
    assert (np.diff(level[np.argsort(p)]) >= 0.0).all()


def delayed(rng: np.random.Generator, days: Floats, delivery: str) -> Floats:
    """Days that each report comes later than it could."""
    if delivery == "in monthly files":
        return 35.0 - days % 30
    if delivery == "after times of chance":
        return rng.integers(0, 60, days.size).astype(np.float64)
    return np.zeros(days.size)


@pytest.mark.parametrize("delivery", ["each after a fixed time", "in monthly files", "after times of chance"])
@pytest.mark.parametrize("more", [0.6, 1.45])
def test_a_level_of_the_customers_that_only_months_together_show_is_found_however_it_is_reported(
    delivery: str, more: float
) -> None:
    """In files the days of the reports may tell that the customers changed: that is no reason to say nothing."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        p: Floats = expit(-1.4 + 0.8 * rng.standard_normal(12_000))
        days = np.sort(rng.integers(0, 180, p.size)).astype(np.float64)
        defaults = rng.random(p.size) < np.where(days >= 90, more * p, p)
        given = reports(p, defaults.astype(np.float64), days, delayed(rng, days, delivery))
        found, day = definition_finding(given, moved=False, correlation=0.01, learned=0.05)
        assert found.severity is Severity.DRIFTED, found.sentence
        assert day is None
        itself, _ = definition_finding(given, moved=True, correlation=0.01, learned=0.05)
        assert itself.severity in (Severity.OK, Severity.DRIFTED)


@pytest.mark.parametrize("delivery", ["each after a fixed time", "in monthly files", "after times of chance"])
@pytest.mark.parametrize(("level", "correlation"), [(-1.4, 0.03), (-3.5, 0.03)])
def test_where_nothing_changed_nothing_is_said_however_it_is_reported(
    delivery: str, level: float, correlation: float
) -> None:
    """Months differ by their factor: that is allowed for, whether the days of the reports tell the months or not."""
    asked = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        given = months(rng, level, correlation, 0.0)
        days = given.decided / DAY
        late = reports(given.probabilities, given.outcomes, days, delayed(rng, days, delivery))
        found, _ = definition_finding(late, moved=False, correlation=correlation, learned=0.1)
        asked += found.severity is not Severity.OK
    assert asked <= 1
