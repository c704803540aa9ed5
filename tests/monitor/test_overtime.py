"""Evidence that adds up over windows: slow harm and few defaults."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from riskloop.core.stats.correlated import given_factor
from riskloop.core.stats.sequential import SHIFTS, detect, level_ratios, ranking_ratios
from riskloop.core.types import Finding, Floats, Severity
from riskloop.monitor.correlation import Correlation, correlation_of
from riskloop.monitor.overtime import over_time_findings
from riskloop.monitor.selection import Comparison

from .conftest import history, month

ALARM = 50.0


def stream(rows: int, windows: int, seed: int, *, times: float = 1.0, blind: bool = False) -> list[list[Finding]]:
    """Windows of ``rows`` decisions with ``times`` the defaults, or with scores that say nothing."""
    rng, large, past = np.random.default_rng(seed), month(20_000, 950), history()
    before: list[Finding] = []
    found = []
    for _ in range(windows):
        scores: Floats = rng.choice(large.scores, rows)
        outcomes = (rng.random(rows) < np.minimum(times * scores, 0.97)).astype(np.float64)
        shown = rng.choice(large.scores, rows) if blind else scores
        compared = Comparison.of(shown, outcomes, past.scores, past.outcomes)
        before = over_time_findings(compared, Correlation(0.002, 12), before, alarm=ALARM)
        found.append(before)
    return found


def alarm(found: list[list[Finding]], check: str) -> int | None:
    """The number of the first window with an alarm, from 1 on."""
    calls = [next(f.severity for f in window if f.check == check) is Severity.DRIFTED for window in found]
    return calls.index(True) + 1 if True in calls else None


def test_twice_the_defaults_are_found_at_ten_a_month() -> None:
    delays = [alarm(stream(10, 9, seed, times=2.0), "level_over_time") for seed in range(40)]
    within = [delay is not None and delay <= 6 for delay in delays]
    assert np.mean(within) >= 0.6  # the benchmark measures it on many more
    assert np.mean([delay is not None for delay in delays]) >= 0.85


def test_scores_that_say_nothing_are_found_at_six_a_month() -> None:
    delays = [alarm(stream(6, 24, seed, blind=True), "ranking_over_time") for seed in range(10)]
    assert sum(delay is not None for delay in delays) >= 8


@pytest.mark.parametrize("rows", [10, 200])
def test_nothing_is_called_rarely_in_ten_years(rows: int) -> None:
    streams = [stream(rows, 120, seed) for seed in range(5)]
    for check in ("level_over_time", "ranking_over_time"):
        assert sum(alarm(found, check) is not None for found in streams) <= 2


def test_evidence_is_carried_on_and_said() -> None:
    first, second = stream(50, 2, 3)
    level = next(f for f in second if f.check == "level_over_time")
    before = next(f for f in first if f.check == "level_over_time")
    assert level.details["windows"] == 2
    assert level.details["rows"] == 100
    assert level.details["defaults"] >= before.details["defaults"]
    assert "2 windows together" in level.sentence
    nothing = Comparison.of(np.full(5, 0.2), np.full(5, np.nan), history().scores, history().outcomes)
    kept = over_time_findings(nothing, Correlation(0.0, 12), second, alarm=ALARM)
    assert next(f for f in kept if f.check == "level_over_time").details["detectors"] == level.details["detectors"]


def test_other_customers_add_nothing_on_the_ranking() -> None:
    compared = Comparison.of(
        month(500, 951).scores, 1.0 - month(500, 951).outcomes, history().scores, history().outcomes
    )
    plain = over_time_findings(compared, Correlation(0.0, 12), [], alarm=ALARM)
    drifted = over_time_findings(compared, Correlation(0.0, 12), [], alarm=ALARM, drifted=True)
    assert plain[1].severity is Severity.DRIFTED
    assert drifted[1].severity is Severity.OK


def _moving(rho: float, seed: int, *, learns: bool, times: float = 1.0, windows: int = 30) -> int | None:
    """The first alarm on the level of windows of 200 with a factor each, ``times`` the defaults from the 13th on."""

    rng, past = np.random.default_rng(seed), history()
    before: list[Finding] = []
    for number in range(1, windows + 1):
        scores: Floats = rng.choice(past.scores, 200)
        given = given_factor(np.minimum((times if number > 12 else 1.0) * scores, 0.97), rho, rng.standard_normal(1))[0]
        outcomes = (rng.random(200) < given).astype(np.float64)
        compared = Comparison.of(scores, outcomes, past.scores, past.outcomes)
        before = over_time_findings(compared, Correlation(0.005, 12), before, alarm=ALARM, learns=learns)
        if before[0].severity is Severity.DRIFTED:
            return number
    return None


def test_a_stream_that_moves_by_itself_is_not_called_changed_though_its_history_was_calm() -> None:
    """The history had no common factor; the stream's own windows show theirs."""
    called = {
        learns: sum(_moving(0.03, seed, learns=learns) is not None for seed in range(8)) for learns in (True, False)
    }
    assert called[False] >= 4
    assert called[True] <= called[False] / 2


def test_a_level_that_moves_once_is_found_all_the_same() -> None:
    delays = [_moving(0.0, seed, learns=True, times=1.6, windows=18) for seed in range(6)]
    assert sum(delay is not None and delay > 12 for delay in delays) >= 5


def test_what_a_stream_moves_by_itself_is_kept_for_some_windows_only() -> None:
    found = stream(20, 30, 4)
    past = [next(f for f in window if f.check == "level_over_time").details["past"] for window in found]
    assert [len(windows) for windows in past[:3]] == [1, 2, 3]
    assert len(past[-1]) == 24
    assert past[-1][-2] == past[-2][-1]


@pytest.mark.parametrize("p", [np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.01, 0.5, 0.02, 0.9])])
@pytest.mark.parametrize("rho", [0.0, 0.01, 0.05, 0.3])
def test_ratios_have_the_mean_one_while_nothing_changes(rho: float, p: Floats) -> None:
    """Over all labels that four customers can have, each with its chance: SciPy's normal law over a fine grid.

    With a factor the count alone speaks, and the factor is one on log-odds: the same to 0.2%.
    """
    factor = np.linspace(-9.0, 9.0, 4_001)
    given = norm.cdf((norm.ppf(p) - np.sqrt(rho) * factor[:, None]) / np.sqrt(1.0 - rho))
    mean = np.zeros(len(SHIFTS))
    for labels in product((0.0, 1.0), repeat=len(p)):
        together = np.where(np.array(labels) == 1.0, given, 1.0 - given).prod(axis=1)
        mean += np.trapezoid(together * norm.pdf(factor), factor) * level_ratios(labels, p, rho)
    assert mean == pytest.approx(np.ones(len(SHIFTS)), abs=(0.002 if rho < 0.1 else 0.015) if rho else 1e-9)


@pytest.mark.parametrize("rows", [400, 2_000, 20_000])
@pytest.mark.parametrize("allowed", [0.02, 0.2, 0.45])
def test_a_correlation_that_is_too_large_is_no_evidence_of_another_level(rows: int, allowed: float) -> None:
    """Who defaults says nothing of the level: with the wrong correlation that fits another spread by another level.

    From each customer's own likelihood, on a grid that was too coarse for a large window, evidence of 1e5 was common.
    """
    rng = np.random.default_rng(rows)
    for _ in range(6):
        p = rng.beta(1.1, 3.9, rows)
        given = given_factor(p, 0.01, rng.standard_normal(1))[0]
        assert level_ratios((rng.random(rows) < given).astype(np.float64), p, allowed, 0.1).max() < 8.0


def test_bets_have_at_most_the_mean_one() -> None:
    rng = np.random.default_rng(5)
    ratios = [ranking_ratios(rng.beta(4.0, 1.0, 3), 0.8) for _ in range(6_000)]  # mean 0.8
    assert (np.mean(ratios, axis=0) <= 1.03).all()
    assert (ranking_ratios(np.zeros(3), 0.8) > 1.0).all()


def test_a_detector_restarts_by_itself() -> None:
    """It is at least 1 times the latest ratio, however bad the past was."""
    low = detect(np.array([0.0]), np.array([0.001]))
    assert detect(low, np.array([3.0])) == pytest.approx(3.0 * (low + 1.0))


SCALES = [(0.0, 1.0), (0.7, 1.0), (-0.7, 1.0), (0.0, 0.5), (0.5, 1.6)]


def test_a_history_that_moved_warns_of_a_world_that_moves() -> None:
    """Eight months of history and a year of 1,600 a month: called in 8 of 30 such streams before."""
    rho, called = 0.05, 0
    for seed in range(12):
        rng = np.random.default_rng(900 + seed)

        def decided(rng: np.random.Generator = rng) -> tuple[Floats, Floats]:
            p = 1.0 / (1.0 + np.exp(1.5 - rng.standard_normal(1_600)))
            return p, (rng.random(p.size) < given_factor(p, rho, rng.standard_normal(1))[0]).astype(np.float64)

        days = np.repeat(30 * np.arange(8) + 15, 1_600)  # the middles of months
        p, y = (np.concatenate(column) for column in zip(*(decided() for _ in range(8)), strict=True))
        shift = brentq(lambda by, p=p, y=y: float(expit(logit(p) + by).mean() - y.mean()), -3.0, 3.0)
        past = expit(logit(p) + shift)
        allowed = correlation_of(days, past, y, given=None, floor=0.005)
        before: list[Finding] = []
        for _ in range(12):
            now, outcomes = decided()
            compared = Comparison.of(expit(logit(now) + shift), outcomes, past, y)
            before = over_time_findings(compared, allowed, before, alarm=ALARM)
            called += before[0].severity is Severity.DRIFTED
    assert called <= 1


@pytest.mark.parametrize(("level", "spread"), SCALES)
@pytest.mark.parametrize("approved", [1.0, 0.7])
@pytest.mark.parametrize("rare", [0.0, -3.0])
def test_a_champion_with_a_scale_of_its_own_is_not_called_worse(
    level: float, spread: float, approved: float, rare: float
) -> None:
    """The history's probabilities are of models of parts of it: another level is no other ranking, with few defaults,
    too, where thousands of good customers could speak of nothing but the level."""
    streams = [_scaled(level, spread, approved, rare, seed) for seed in range(2)]
    assert not any(streams)


def test_scores_that_say_nothing_are_found_among_rare_defaults() -> None:
    assert sum(_scaled(0.5, 1.6, 1.0, -2.0, seed, blind=True) for seed in range(4)) >= 3


def _scaled(level: float, spread: float, approved: float, rare: float, seed: int, *, blind: bool = False) -> bool:
    """Whether a year of an unchanged world gave an alarm on the ranking."""
    rng, past, large = np.random.default_rng(seed), history(), month(20_000, 950)
    odds = np.log(past.scores / (1.0 - past.scores)) + rare
    labels = (rng.random(odds.size) < 1.0 / (1.0 + np.exp(-odds))).astype(np.float64)
    scores = 1.0 / (1.0 + np.exp(-odds))
    before: list[Finding] = []
    for _ in range(12):
        now = rng.choice(np.log(large.scores / (1.0 - large.scores)), 2_000) + rare
        outcomes = (rng.random(now.size) < 1.0 / (1.0 + np.exp(-now))).astype(np.float64)
        shown = rng.permutation(now) if blind else now
        own = [1.0 / (1.0 + np.exp(-(level + spread * x))) for x in (shown, odds)]
        outcomes[own[0] > np.quantile(own[1], approved)] = np.nan
        compared = Comparison.of(own[0], outcomes, scores, labels, own=own[1])
        before = over_time_findings(compared, Correlation(0.002, 12), before, alarm=ALARM)
        if any(f.check == "ranking_over_time" and f.severity is Severity.DRIFTED for f in before):
            return True
    return False
