import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from riskloop.core.errors import DataError
from riskloop.core.manifest import Calibration
from riskloop.core.settings import ThresholdSettings
from riskloop.train.calibrate import choose_threshold, fit_calibration, log_odds

RNG = np.random.default_rng(5)
Z = RNG.normal(-1, 1.5, 4000)
Y = (RNG.random(4000) < expit(0.7 + 0.5 * Z)).astype(np.float64)


def test_the_line_is_the_logistic_regression_on_the_raw_log_odds() -> None:
    line = fit_calibration(Z, Y)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(Z[:, None], Y)
    assert line.a == pytest.approx(reference.intercept_[0], abs=1e-5)
    assert line.b == pytest.approx(reference.coef_[0, 0], abs=1e-5)


def test_weights_count_like_copies() -> None:
    weights = RNG.integers(1, 4, len(Z))
    weighted = fit_calibration(Z, Y, weights.astype(np.float64))
    copied = fit_calibration(np.repeat(Z, weights), np.repeat(Y, weights))
    assert weighted.a == pytest.approx(copied.a)
    assert weighted.b == pytest.approx(copied.b)


def test_a_falling_line_is_replaced_by_the_level_alone() -> None:
    line = fit_calibration(-Z, Y)
    assert line.b == 1.0
    assert line.apply(-Z).mean() == pytest.approx(Y.mean())


def test_two_lines_make_one() -> None:
    first, second = Calibration(0.2, 1.5), Calibration(-0.7, 0.9)
    np.testing.assert_allclose(first.then(second).apply(Z), second.apply(logit(first.apply(Z))), rtol=1e-12)


def test_no_probability_is_0_or_1() -> None:
    p = Calibration(0.0, 50.0).apply(np.array([-100.0, 100.0]))
    assert 0.0 < p[0] < p[1] < 1.0
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()


def test_one_class_has_no_line() -> None:
    with pytest.raises(DataError):
        fit_calibration(Z, np.ones(len(Z)))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 4.0, 20.0])
def test_the_cost_threshold_is_where_the_cost_is_least(ratio: float) -> None:
    """By brute force over thresholds, on outcomes that the probabilities describe exactly."""
    p = RNG.random(200_000)
    defaults = RNG.random(200_000) < p
    grid = np.linspace(0.01, 0.99, 99)
    cost = [ratio * (defaults & (p < t)).sum() + (~defaults & (p >= t)).sum() for t in grid]
    chosen = choose_threshold(p, ThresholdSettings(policy="cost", cost_ratio=ratio))
    assert chosen == pytest.approx(grid[np.argmin(cost)], abs=0.04)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.8, 1.0])
def test_the_approval_threshold_approves_the_share(rate: float) -> None:
    p = RNG.random(1000)
    threshold = choose_threshold(p, ThresholdSettings(policy="approval_rate", approval_rate=rate))
    assert (p < threshold).mean() == pytest.approx(max(rate, 0.001))


def test_the_approval_threshold_counts_weights() -> None:
    p, weights = np.array([0.1, 0.2, 0.3]), np.array([1.0, 1.0, 8.0])
    policy = ThresholdSettings(policy="approval_rate", approval_rate=0.2)
    assert 0.2 < choose_threshold(p, policy, weights) <= 0.3


def test_a_fixed_threshold_is_what_it_says() -> None:
    assert choose_threshold(Z, ThresholdSettings(policy="fixed", value=0.37)) == 0.37
