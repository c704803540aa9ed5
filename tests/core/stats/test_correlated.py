"""One factor: against simulation, against binomials, against the bivariate normal distribution."""

import numpy as np
import pytest
from scipy import special as scipy_special
from scipy import stats as scipy_stats
from scipy.optimize import brentq
from scipy.special import expit

from riskloop.core.errors import DataError
from riskloop.core.stats.correlated import (
    asset_correlation,
    correlation_in_time,
    count_log_likelihood,
    given_factor,
    level_error,
    level_p_value,
    level_range,
    rate_variance,
)
from riskloop.core.types import Floats

RHOS = (0.01, 0.05, 0.1)
ROUND = scipy_stats.norm.ppf((np.arange(100) + 0.5) / 100)[:, None]


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("p", [0.005, 0.05, 0.22])
def test_the_variance_of_a_rate_is_the_bivariate_normals(p: float, rho: float) -> None:
    """Var = Φ₂(k, k; ρ) − p² for k = Φ⁻¹(p): two customers of one period."""
    k = scipy_stats.norm.ppf(p)
    both = scipy_stats.multivariate_normal([0.0, 0.0], [[1.0, rho], [rho, 1.0]]).cdf([k, k])
    assert rate_variance(np.array([p]), rho) == pytest.approx(both - p * p, rel=2e-3)


def test_independent_customers_give_the_binomial_test() -> None:
    p = np.full(400, 0.1)
    for defaults in (0, 20, 40, 61):
        low, high = scipy_stats.binom.cdf(defaults, 400, 0.1), scipy_stats.binom.sf(defaults - 1, 400, 0.1)
        assert level_p_value(defaults, p, 0.0) == pytest.approx(min(1.0, 2.0 * min(low, high)))


@pytest.mark.parametrize("rho", [0.0, 0.005, 0.05, 0.3])
@pytest.mark.parametrize("rows", [10, 1_000, 100_000])
@pytest.mark.parametrize("off", [0.6, 1.0, 1.7])
def test_the_tail_and_the_likelihood_of_a_count_are_integrals_over_the_factor(
    rho: float, rows: int, off: float
) -> None:
    """Equal customers, on a grid that is fine around the factors that explain the count; in a large period few do."""
    p, defaults = np.full(rows, 0.1), round(0.1 * rows * off)
    peaks = (scipy_stats.norm.ppf(0.1) - scipy_stats.norm.ppf(defaults / rows) * np.sqrt(1.0 - rho)) / np.sqrt(rho or 1)
    factor = np.unique(np.concatenate([np.linspace(-9, 9, 20_001), peaks + np.linspace(-0.5, 0.5, 20_001)]))
    rate, density = given_factor(p[:1], rho, factor)[:, 0], scipy_stats.norm.pdf(factor)
    laws = scipy_stats.binom.cdf(defaults, rows, rate), scipy_stats.binom.sf(defaults - 1, rows, rate)
    tail = 2.0 * min(np.trapezoid(law * density, factor) for law in laws)
    assert level_p_value(defaults, p, rho) == pytest.approx(min(1.0, tail), rel=0.03, abs=1e-9)

    def log_mean(rate: Floats, density: Floats, factor: Floats) -> float:
        log = defaults * np.log(rate) + (rows - defaults) * np.log1p(-rate)
        return float(np.log(np.trapezoid(np.exp(log - log.max()) * density, factor)) + log.max())

    # The factor on log-odds, with the spread that gives the rate this spread, and the mean that gives this mean.
    move = level_error(p, rho)
    by = brentq(lambda by: np.trapezoid(expit(by + move * factor) * density, factor) - 0.1, -9.0, 9.0)
    at = (scipy_special.logit(defaults / rows) - by) / (move or 1.0)
    factor = np.unique(np.concatenate([factor, at + np.linspace(-0.5, 0.5, 20_001)]))
    wanted = log_mean(expit(by + move * factor), scipy_stats.norm.pdf(factor), factor)
    assert count_log_likelihood(defaults, scipy_special.logit(p), move) == pytest.approx(wanted, abs=2e-3)


def test_given_the_factor_the_mean_stays() -> None:
    p = np.array([0.01, 0.2, 0.6])
    factor = np.random.default_rng(0).standard_normal(200_000)
    assert given_factor(p, 0.2, factor).mean(axis=0) == pytest.approx(p, abs=3e-3)


@pytest.mark.parametrize("rho", [0.0, *RHOS])
def test_a_right_level_is_rejected_as_often_as_alpha_says(rho: float) -> None:
    rng = np.random.default_rng(1)
    p = rng.beta(1.0, 4.0, 2_000)
    rejected = 0
    for _ in range(400):
        given = given_factor(p, rho, rng.standard_normal(1))[0]
        rejected += level_p_value(int((rng.random(2_000) < given).sum()), p, rho) < 0.05
    assert rejected <= 35  # 20 expected; a chance of 0.1% above
    assert rejected >= 2


def test_a_level_that_is_itself_uncertain_is_rejected_less() -> None:
    p = np.full(1_000, 0.2)
    assert level_p_value(250, p, 0.0) < level_p_value(250, p, 0.0, error=0.1) < level_p_value(250, p, 0.05, error=0.1)


@pytest.mark.parametrize("rho", [0.0, *RHOS])
def test_the_bound_of_the_correlation_holds(rho: float) -> None:
    """In nine of ten histories of a year the bound lies above the truth, and it is not far above."""
    rng, bounds = np.random.default_rng(2), []
    for _ in range(200):
        p, n = np.full(12, 0.2), np.full(12, 1_200)
        given = given_factor(np.array([0.2]), rho, rng.standard_normal(12))[:, 0]
        bounds.append(asset_correlation(rng.binomial(n, given), n, p))
    assert np.mean(np.asarray(bounds) >= rho) >= 0.85
    assert np.median(bounds) < 2.5 * rho + 0.004


def test_the_bound_holds_for_customers_who_differ() -> None:
    """Their rate moves less than that of equal ones: taken for equal, two of three histories held, not nine of ten."""
    rng, rho, rows, periods = np.random.default_rng(4), 0.03, 1_000, 12
    bounds, equal = [], []
    for _ in range(60):
        p = 1.0 / (1.0 + np.exp(1.5 - 1.3 * rng.standard_normal(rows)))
        given = given_factor(p, rho, rng.standard_normal(periods))
        seen = (rng.random(given.shape) < given).sum(axis=1), np.full(periods, rows), np.full(periods, p.mean())
        bounds.append(asset_correlation(*seen, like=p))
        equal.append(asset_correlation(*seen))
    assert np.mean(np.asarray(bounds) >= rho) >= 0.8
    assert np.median(bounds) > 1.2 * np.median(equal)


def test_what_cannot_be_answered_is_refused() -> None:
    with pytest.raises(DataError, match="3 periods"):
        asset_correlation([1, 2], [10, 10], [0.1, 0.1])
    with pytest.raises(DataError, match="between 0 and 1"):
        level_p_value(1, [0.1], 1.0)
    with pytest.raises(DataError, match="customers"):
        asset_correlation([1, 2, 0], [10, 10, 0], [0.1, 0.1, 0.1])


def _in_time(rho: float, rng: np.random.Generator, periods: int = 24, step: float = 1.0) -> float:
    """The correlation that periods of 500 customers show, ``step`` times the defaults from their middle on."""
    p, late = np.full(periods, 0.1), np.arange(periods) >= periods // 2
    given = np.array([given_factor(np.array([x]), rho, rng.standard_normal(1))[0, 0] for x in p * step**late])
    return correlation_in_time(rng.binomial(500, given), np.full(periods, 500), p)


def test_periods_show_their_own_correlation() -> None:
    """Nothing in four of five streams without any; at least the true one in four of five streams with one."""
    rng = np.random.default_rng(6)
    assert np.mean([_in_time(0.0, rng) == 0.0 for _ in range(150)]) >= 0.7
    for rho in (0.02, 0.1):
        found = np.array([_in_time(rho, rng) for _ in range(60)])
        assert np.mean(found >= rho) >= 0.65
        assert np.median(found) < 2.5 * rho


def test_a_level_that_moved_once_is_hardly_taken_for_movement() -> None:
    rng = np.random.default_rng(7)
    assert np.median([_in_time(0.0, rng, step=1.5) for _ in range(30)]) < 0.01


@pytest.mark.parametrize("defaults", [[], [3.0], [3.0, 9.0], [0.0] * 6, [10.0] * 6])
def test_periods_that_say_nothing_show_no_correlation(defaults: list[float]) -> None:
    """Too few of them, nobody who defaulted, or everybody."""
    assert correlation_in_time(defaults, [10.0] * len(defaults), [0.3] * len(defaults)) == 0.0


@pytest.mark.parametrize(("n", "p", "defaults"), [(400, 0.1, 31), (2_000, 0.005, 6), (2_000, 0.005, 0), (50, 0.2, 50)])
def test_a_range_of_independent_customers_is_clopper_and_pearsons(n: int, p: float, defaults: int) -> None:
    """Both ends are the exact one-sided limits of a rate, beside the expected one (Biometrika 26 (1934) 404-413)."""
    low, high = level_range(defaults, np.full(n, p), 0.0, 0.0, 0.05)
    ends = scipy_stats.binomtest(defaults, n).proportion_ci(0.90, method="exact")
    assert low == pytest.approx(ends.low / p, rel=1e-6)
    assert high == pytest.approx(ends.high / p, rel=1e-6) or (defaults == n and np.isinf(high))


@pytest.mark.parametrize(("rho", "error"), [(0.0, 0.1), (0.02, 0.0), (0.02, 0.1)])
def test_a_range_leaves_the_true_level_out_as_rarely_as_it_says(rho: float, error: float) -> None:
    rng = np.random.default_rng(3)
    p = expit(-2.5 + 0.8 * np.repeat(scipy_stats.norm.ppf((np.arange(30) + 0.5) / 30), 50))
    moved = float(np.hypot(level_error(p, rho), error))
    around = expit(scipy_special.logit(p) + moved * ROUND).mean()  # the level that factor and error leave on average
    missed = []
    for number in range(300):
        times = (0.6, 1.0, 1.5)[number % 3]
        rate = times * expit(scipy_special.logit(p) + moved * rng.standard_normal()) * p.mean() / around
        low, high = level_range(int((rng.random(p.size) < rate).sum()), p, rho, error, 0.05)
        missed.append((low > times, high < times))
    assert np.mean(missed, axis=0).max() < 0.05 + 3.0 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(missed) > 0.02, "and not much more rarely"
