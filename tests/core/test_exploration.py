import numpy as np
import pytest
from scipy.stats import kstest

from riskloop.core.exploration import EXPLORED, RATE, Flags, draw, explore, inclusion_weights, rate_of

NOTHING: list[Flags | None] = [None] * 4
FEATURES = np.zeros((4, 2))


def test_draws_are_uniform_and_the_same_every_time() -> None:
    draws = [draw(f"c{i}", FEATURES[0], 3) for i in range(4000)]
    assert kstest(draws, "uniform").pvalue > 0.01
    assert draws == [draw(f"c{i}", FEATURES[0], 3) for i in range(4000)]
    assert draw("c1", FEATURES[0], 4) != draws[1]


def test_without_an_id_the_features_are_drawn_by() -> None:
    assert draw("", np.array([1.0, 2.0]), 1) != draw("", np.array([1.0, 3.0]), 1)
    assert draw("anna", np.array([1.0, 2.0]), 1) == draw("anna", np.array([1.0, 3.0]), 1)


def test_only_refused_customers_are_explored_and_marked() -> None:
    declined = np.array([True, False, True, False])
    still, flags = explore(declined, list("abcd"), FEATURES, 1, 0.999999, [{"missing": ["x"]}, None, None, None])
    assert not still.any()
    assert declined.sum() == 2  # the argument stays as it was
    assert flags == [{"missing": ["x"], EXPLORED: True, RATE: 0.999999}, None, {EXPLORED: True, RATE: 0.999999}, None]
    assert [rate_of(f) for f in flags] == [0.999999, 0.0, 0.999999, 0.0]


def test_a_rate_of_zero_explores_nobody() -> None:
    declined = np.ones(4, dtype=np.bool_)
    still, flags = explore(declined, list("abcd"), FEATURES, 1, 0.0, NOTHING)
    assert still.all()
    assert flags == NOTHING


def test_weights_recover_the_mean_of_all_applicants() -> None:
    """The declined default more often; the weighted mean sees it, the mean of the known outcomes does not."""
    rng = np.random.default_rng(5)
    n = 200_000
    declined = rng.random(n) < 0.3
    defaults = rng.random(n) < np.where(declined, 0.5, 0.1)
    rates = np.where(declined, rng.choice([0.02, 0.05], n), 0.0)
    explored = rng.random(n) < rates
    rates, known = np.where(explored, rates, 0.0), explored | ~declined
    weights = inclusion_weights(rates, declined, known)
    weighted = np.average(defaults[known], weights=weights[known])
    assert weighted == pytest.approx(defaults.mean(), abs=0.01)
    assert defaults[known].mean() < 0.13
    assert weights[known].sum() == pytest.approx(n)


def test_where_everybody_has_outcomes_nobody_stands_for_others() -> None:
    declined = np.array([True, True, False, False])
    rates = np.array([0.1, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(inclusion_weights(rates, declined, np.ones(4, dtype=np.bool_)), np.ones(4))


def test_late_outcomes_are_no_refusals() -> None:
    """Half of the approved have outcomes so far: the explored stand for half of the declined, not for all."""
    declined = np.repeat([False, True], [100, 40])
    known = np.zeros(140, dtype=np.bool_)
    known[:50] = True
    known[100:102] = True
    rates = np.zeros(140)
    rates[100:102] = 0.1
    assert inclusion_weights(rates, declined, known)[100:102].sum() == pytest.approx(20.0)


def test_without_explored_decisions_all_weights_are_one() -> None:
    declined = np.array([True, False])
    np.testing.assert_array_equal(inclusion_weights(np.zeros(2), declined, ~declined), np.ones(2))
