import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from riskloop.core.errors import DataError
from riskloop.core.manifest import Calibration
from riskloop.core.settings import ThresholdSettings, TrainSettings
from riskloop.core.types import DAY, Floats
from riskloop.train.calibrate import (
    MONTH,
    _shifted,
    capped,
    choose_threshold,
    fit_calibration,
    level_of,
    levelled,
    log_odds,
    long_run_average,
)

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


# --------------------------------------------------------------------------- the level


def cycle(seed: int) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Two years of months of different sizes, one of them with twice the defaults: times, log-odds, outcomes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(200, 900, 24)
    month = np.repeat(np.arange(24), sizes)
    z = rng.normal(-1.6, 1.0, month.size)
    bad = np.where(month >= 18, 0.9, 0.0)
    y = (rng.random(month.size) < expit(z + bad)).astype(np.float64)
    return (month * MONTH * DAY).astype(np.int64), z, y


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_through_the_cycle_each_month_counts_alike(seed: int) -> None:
    times, z, y = cycle(seed)
    by_month = [y[times == t].mean() for t in np.unique(times)]
    average, months = long_run_average(times, y)
    assert average == pytest.approx(np.mean(by_month))
    assert months == 24
    tested = times >= 12 * MONTH * DAY  # as of time folds: half of the months, with all the bad ones
    through = TrainSettings(calibration="through_the_cycle")
    level = level_of(times, y, float(y[tested].mean()), through)
    line = levelled(fit_calibration(z[tested], y[tested]), z[tested], times[tested], through, level)
    means = [line.apply(z[tested & (times == t)]).mean() for t in np.unique(times[tested])]
    assert np.mean(means) == pytest.approx(average)
    moment = fit_calibration(z[tested], y[tested])
    assert levelled(moment, z[tested], times[tested], TrainSettings(), level) == moment
    assert moment.apply(z[tested]).mean() == pytest.approx(level.recent)
    assert level.recent > level.long_run + 0.02


def test_a_margin_raises_the_odds_of_every_pd_and_can_be_taken_off() -> None:
    times, z, y = cycle(1)
    prudent = TrainSettings(margin=0.1)
    level = level_of(times, y, float(y.mean()), prudent)
    plain = fit_calibration(z, y)
    p, raised = plain.apply(z), levelled(plain, z, times, prudent, level).apply(z)
    np.testing.assert_allclose(raised / (1.0 - raised), 1.1 * p / (1.0 - p), rtol=1e-9)
    assert level.margin == 0.1


@pytest.mark.parametrize("times_as_many", [0.2, 0.9, 1.1, 3.0])
def test_a_recalibration_goes_no_further_than_it_may_and_says_what_it_wanted(times_as_many: float) -> None:
    _, z, _ = cycle(1)
    before = float(expit(z).mean())
    wished = _shifted(Calibration(0.0, 1.3), z, before * times_as_many, None)
    line, wanted = capped(wished, z, before, 0.5)
    mean = float(line.apply(z).mean())
    if 1 / 1.5 <= times_as_many <= 1.5:
        assert (line, wanted) == (wished, None)
    else:
        assert wanted == pytest.approx(before * times_as_many)
        assert mean == pytest.approx(before * 1.5 if times_as_many > 1.0 else before / 1.5)
        assert line.b == wished.b


def test_rows_without_times_are_one_month() -> None:
    y = (np.arange(100) < 30).astype(np.float64)
    for times, months in ((np.zeros(100, dtype=np.int64), 1), (np.arange(100, dtype=np.int64) * MONTH * DAY, 0)):
        average, found = long_run_average(times, y)
        assert average == pytest.approx(0.3)
        assert found == months
