"""Defaults that move together: an unchanged portfolio is no prior shift, and a lasting one is still found."""

import numpy as np
import pytest
from scipy.stats import norm

from riskloop.core.stats.correlated import given_factor
from riskloop.core.types import Floats, Ints, Severity
from riskloop.monitor.correlation import Correlation, correlation_of
from riskloop.monitor.performance import performance_findings

from .conftest import history, month

MOVED = (Severity.DRIFTED, Severity.SEVERE)
ROWS = 2_000


def together(scores: Floats, days: Ints, rho: float, rng: np.random.Generator) -> Floats:
    """Outcomes with one factor for each calendar month."""
    outcomes, months = np.empty(scores.size), days.astype("datetime64[D]").astype("datetime64[M]")
    for number in np.unique(months):
        inside = months == number
        given = given_factor(scores[inside], rho, rng.standard_normal(1))[0]
        outcomes[inside] = rng.random(inside.sum()) < given
    return outcomes


def shifts(rho: float, allowed: Correlation | None, factor: float = 1.0, windows: int = 60) -> float:
    """The share of windows whose level is called moved, each by a history of its own."""
    rng, past, called = np.random.default_rng(7), history(), 0
    days = np.repeat(np.arange(480), len(past.scores) // 480 + 1)[: len(past.scores)]
    for number in range(windows):
        window = month(ROWS, 800 + number % 4)
        before = together(past.scores, days, rho, rng)
        scores = np.minimum(window.scores * factor, 0.95)
        outcomes = together(scores, np.zeros(ROWS, dtype=np.int64), rho, rng)
        found = correlation_of(days, past.scores, before, given=None, floor=0.002) if allowed is None else allowed
        level = next(
            f
            for f in performance_findings(window.scores, outcomes, past.scores, before, alpha=0.01, correlation=found)
            if f.check == "calibration"
        )
        called += level.severity in MOVED
    return called / windows


@pytest.mark.parametrize("rho", [0.0, 0.01, 0.03, 0.05, 0.1])
def test_an_unchanged_portfolio_is_rarely_called_a_shift(rho: float) -> None:
    assert shifts(rho, None) <= 0.05


@pytest.mark.parametrize("rho", [0.03, 0.1])
def test_without_the_correlation_it_is_called_one_often(rho: float) -> None:
    assert shifts(rho, Correlation(), windows=30) > 0.2


def test_the_likeliest_correlation_lies_below_what_is_allowed_for_and_not_below_the_floor() -> None:
    rng, past = np.random.default_rng(3), history()
    days = np.repeat(np.arange(480), len(past.scores) // 480 + 1)[: len(past.scores)]
    found = [
        correlation_of(days, past.scores, together(past.scores, days, 0.03, rng), given=None, floor=0.002)
        for _ in range(20)
    ]
    assert all(0.002 <= one.likely <= one.asset for one in found)
    assert np.median([one.likely for one in found]) == pytest.approx(0.03, abs=0.015)
    assert correlation_of(days, past.scores, past.scores, given=0.04, floor=0.002).likely == 0.04


@pytest.mark.parametrize(("rate", "rows"), [(0.005, 650), (0.005, 2_000), (0.03, 650)])
def test_months_of_few_defaults_do_not_exclude_what_they_cannot_show(rate: float, rows: int) -> None:
    """They never differ by less than chance gives: in at most one of ten histories the bound is below the truth."""
    rng, rho, held = np.random.default_rng(11), 0.03, []
    days = np.repeat(np.arange(8) * 30 + 15, rows)
    for _ in range(40):
        scores = np.minimum(rng.lognormal(np.log(rate) - 0.5, 1.0, days.size), 0.9)
        bound = correlation_of(days, scores, together(scores, days, rho, rng), given=None, floor=0.0)
        held.append(bound.asset >= rho)
    assert np.mean(held) >= 0.8


@pytest.mark.parametrize("seed", range(3))
def test_customers_who_come_every_month_make_months_differ_by_less_than_chance(seed: int) -> None:
    """Taken for others each time, they hide the factor."""
    rng, size, months, rho = np.random.default_rng(seed), 650, 8, 0.03
    who, days = np.tile(np.arange(size), months), np.repeat(np.arange(months) * 30 + 15, size)
    own, factor = rng.standard_normal(size)[who], rng.standard_normal(months)[np.arange(days.size) // size]
    latent = np.sqrt(rho) * factor + np.sqrt(0.6) * own + np.sqrt(0.4 - rho) * rng.standard_normal(days.size)
    scores, outcomes = np.full(days.size, 0.1), (latent < norm.ppf(0.1)).astype(np.float64)
    as_others, as_they_are = (
        correlation_of(days, scores, outcomes, given=None, floor=0.0, customers=customers)
        for customers in (np.arange(days.size), who)
    )
    assert as_they_are.asset > as_others.asset
    assert as_they_are.likely > as_others.likely


def test_half_as_many_defaults_again_are_found_in_a_calm_portfolio() -> None:
    assert shifts(0.0, None, factor=1.45, windows=20) >= 0.9


def test_the_correlation_is_as_given_or_the_floor_where_the_history_is_short() -> None:
    scores, outcomes = np.full(1_000, 0.2), np.repeat([0.0, 0.0, 0.0, 0.0, 1.0], 200)
    days = np.arange(1_000) // 10
    assert correlation_of(days, scores, outcomes, given=0.12, floor=0.002).asset == 0.12
    short = correlation_of(days, scores, outcomes, given=None, floor=0.002)
    assert short.asset == 0.002
    assert "too few months" in short.told
    undated = correlation_of(None, scores, outcomes, given=None, floor=0.01)
    assert (undated.asset, undated.periods) == (0.01, 1)
    unknown = correlation_of(days, scores, np.full(1_000, np.nan), given=None, floor=0.01)
    assert unknown.asset == 0.01
