import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from riskloop.core.errors import DataError
from riskloop.core.stats import (
    brier,
    calibration_in_the_large,
    calibration_slope,
    jeffreys,
    jeffreys_by_grade,
    log_loss,
    paired_log_loss_test,
)
from riskloop.core.types import Bools, Floats


def portfolio(rng: np.random.Generator, n: int = 2000, shift: float = 0.0) -> tuple[Bools, Floats]:
    """Outcomes and probabilities; with ``shift`` the true log-odds are that much higher than stated."""
    log_odds = rng.normal(-1.5, 1.2, n)
    labels = rng.random(n) < 1.0 / (1.0 + np.exp(-log_odds - shift))
    return labels, 1.0 / (1.0 + np.exp(-log_odds))


def test_brier_and_log_loss_agree_with_sklearn() -> None:
    labels, p = portfolio(np.random.default_rng(0))
    assert brier(labels, p) == pytest.approx(brier_score_loss(labels, p), rel=1e-12)
    assert log_loss(labels, p) == pytest.approx(sklearn_log_loss(labels, p), rel=1e-12)


def test_certainty_that_is_wrong_costs_much_but_not_infinity() -> None:
    assert log_loss([1, 0], [0.0, 1.0]) == pytest.approx(-math.log(1e-15), rel=1e-3)
    assert log_loss([1, 0], [1.0, 0.0]) == pytest.approx(0.0, abs=1e-14)


def test_paired_log_loss_agrees_with_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    labels, p = portfolio(rng)
    worse = np.clip(p * rng.uniform(0.5, 1.5, p.size), 0.001, 0.999)
    losses = [-stats.bernoulli.logpmf(labels, q) for q in (worse, p)]
    result = paired_log_loss_test(labels, champion=worse, challenger=p)
    better = stats.ttest_rel(losses[0], losses[1], alternative="greater")
    assert result.t == pytest.approx(better.statistic, rel=1e-9)
    assert result.p_one_sided == pytest.approx(better.pvalue, rel=1e-6)
    assert result.p_worse == pytest.approx(1.0 - better.pvalue, rel=1e-9)
    assert result.difference == pytest.approx(log_loss(labels, p) - log_loss(labels, worse), rel=1e-9)
    assert result.difference < 0.0


def test_equal_probabilities_give_no_evidence() -> None:
    result = paired_log_loss_test([0, 1], [0.2, 0.3], [0.2, 0.3])
    assert (result.difference, result.t, result.p_one_sided, result.p_worse) == (0.0, 0.0, 1.0, 1.0)


def test_jeffreys_worked_example() -> None:
    # Rösch & Scheule, Deep Credit Risk: 2 of 6 default against a PD of 3.67% gives 0.0044.
    assert float(jeffreys(2, 6, 0.0367)) == pytest.approx(0.0044, abs=5e-5)


def test_jeffreys_agrees_with_scipy() -> None:
    p = jeffreys([0, 3, 12], [50, 50, 200], [0.01, 0.02, 0.1])
    expected = [stats.beta.cdf(pd, d + 0.5, n - d + 0.5) for d, n, pd in ((0, 50, 0.01), (3, 50, 0.02), (12, 200, 0.1))]
    assert p.tolist() == pytest.approx(expected, rel=1e-9)
    two_sided = jeffreys([0, 3, 12], [50, 50, 200], [0.01, 0.02, 0.1], two_sided=True)
    assert two_sided.tolist() == pytest.approx([2 * min(q, 1 - q) for q in expected], rel=1e-9)


def test_an_empty_grade_has_no_p_value() -> None:
    assert np.isnan(jeffreys([0, 1], [0, 10], [0.1, 0.1])).tolist() == [True, False]


def test_jeffreys_rejects_as_often_as_it_says() -> None:
    defaults = np.random.default_rng(2).binomial(400, 0.1, 4000)
    assert 0.035 < (jeffreys(defaults, 400, 0.1) < 0.05).mean() < 0.065


def test_jeffreys_by_grade_counts_each_grade() -> None:
    grades = jeffreys_by_grade([0, 1, 1, 0, 1], [0.1, 0.1, 0.4, 0.2, 0.6], [1, 1, 3, 1, 3])
    assert [(g.grade, g.n, g.defaults) for g in grades] == [(1, 3, 1), (3, 2, 2)]
    assert grades[0].pd == pytest.approx(0.4 / 3)
    assert grades[1].p_value == pytest.approx(float(jeffreys(2, 2, 0.5)))


def test_calibration_line_agrees_with_sklearn_and_scipy() -> None:
    labels, p = portfolio(np.random.default_rng(4), shift=0.5)
    x = np.log(p / (1 - p))
    slope = calibration_slope(labels, p)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, None], labels)
    assert slope.estimate == pytest.approx(reference.coef_[0, 0], rel=1e-5)

    def loss(a: Floats) -> float:
        return float(np.sum(np.logaddexp(0, a[0] + x) - labels * (a[0] + x)))

    level = calibration_in_the_large(labels, p)
    found = minimize(loss, np.zeros(1), tol=1e-10)
    assert level.estimate == pytest.approx(found.x[0], abs=1e-5)
    q = 1 / (1 + np.exp(-x - level.estimate))
    assert level.std_error == pytest.approx(1 / math.sqrt(np.sum(q * (1 - q))), rel=1e-6)


@pytest.mark.parametrize("coefficient", [calibration_in_the_large, calibration_slope])
def test_calibration_line_errors_are_the_simulated_ones(coefficient: object) -> None:
    assert callable(coefficient)
    rng = np.random.default_rng(5)
    fits = [coefficient(*portfolio(rng)) for _ in range(300)]
    z = np.array([fit.z for fit in fits])
    assert abs(z.mean()) < 0.2
    assert 0.85 < z.std() < 1.15
    assert 0.02 < np.mean([fit.p_value < 0.05 for fit in fits]) < 0.09


def test_calibration_line_sees_what_is_wrong() -> None:
    labels, p = portfolio(np.random.default_rng(6), n=5000)
    odds = p / (1 - p)
    assert calibration_slope(labels, odds**2 / (1 + odds**2)).estimate == pytest.approx(0.5, abs=0.05)
    assert calibration_in_the_large(labels, odds / (odds + 2.0)).estimate == pytest.approx(math.log(2), abs=0.15)


def test_probabilities_of_zero_and_one_are_survived() -> None:
    labels, p = portfolio(np.random.default_rng(7))
    labels[:2], p[:2] = [True, False], [0.0, 1.0]
    assert math.isfinite(calibration_in_the_large(labels, p).estimate)
    assert math.isfinite(calibration_slope(labels, p).estimate)


@pytest.mark.parametrize(
    ("labels", "p"),
    [([0, 1, 0, 1], [0.2, 0.2, 0.2, 0.2]), ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([1, 1], [0.1, 0.2])],
)
def test_a_slope_that_does_not_exist_is_refused(labels: list[int], p: list[float]) -> None:
    with pytest.raises(DataError):
        calibration_slope(labels, p)


@pytest.mark.parametrize(
    ("labels", "p"),
    [([], []), ([0, 1], [0.1, math.nan]), ([0, 1], [0.1, 1.1]), ([0, 1], [-0.1, 0.5]), ([0, 1], [0.5]), ([3], [0.5])],
)
def test_rows_without_an_answer_are_refused(labels: list[float], p: list[float]) -> None:
    for statistic in (brier, log_loss, calibration_in_the_large, calibration_slope):
        with pytest.raises(DataError):
            statistic(labels, p)
    with pytest.raises(DataError):
        paired_log_loss_test(labels, p, p)


def test_impossible_grades_are_refused() -> None:
    with pytest.raises(DataError):
        jeffreys([3], [2], [0.1])
    with pytest.raises(DataError):
        jeffreys_by_grade([0, 1], [0.1, 0.2], [1])
    with pytest.raises(DataError, match="two rows"):
        paired_log_loss_test([1], [0.5], [0.6])


@pytest.mark.parametrize("seed", range(12))
def test_a_level_far_from_its_probabilities_is_still_estimated(seed: int) -> None:
    """PDs of one in a million where most default: the maximum is finite, and far away (brentq is the reference)."""
    random = np.random.default_rng(seed)
    p = np.minimum(10 ** random.uniform(-12, -1) * random.uniform(0.5, 2.0, 200), 0.9)
    p = 1.0 - p if seed % 3 == 0 else p
    labels = random.random(200) < random.uniform(0.02, 0.98)
    labels[:2] = (False, True)
    offset = logit(p)
    expected = brentq(lambda level: float(expit(offset + level).sum() - labels.sum()), -100.0, 100.0, xtol=1e-12)
    assert calibration_in_the_large(labels, p).estimate == pytest.approx(expected, rel=1e-6, abs=1e-6)
