"""What counts when only some of the outcomes are there."""

import numpy as np
import pytest

from riskloop.core.maturity import Maturity, complete_days, usual_share

DAYS, A_DAY = 45, 20


def test_only_settled_decisions_count_and_early_defaults_do_not() -> None:
    reported = np.array([1.0, 0.0, np.nan, 1.0, 0.0])
    times, declined = np.array([1, 2, 3, 9, 9]), np.zeros(5, dtype=np.bool_)
    settled = Maturity(until=3).settle(reported, times, declined)
    np.testing.assert_array_equal(settled, [1.0, 0.0, np.nan, np.nan, np.nan])


@pytest.mark.parametrize(("silent_declined", "last"), [(False, np.nan), (True, 0.0)])
def test_where_only_defaults_are_reported_silence_of_the_approved_is_good(silent_declined: bool, last: float) -> None:
    reported = np.array([1.0, np.nan, np.nan, 1.0, np.nan])
    times = np.array([1, 2, 9, 3, 3])
    declined = np.array([False, False, False, True, True])
    known = Maturity(until=3, silence="good", silent_declined=silent_declined)
    # A declined customer who is reported is no fair sample of the declined, unless they all are.
    expected = [1.0, 0.0, np.nan, 1.0 if silent_declined else np.nan, last]
    np.testing.assert_array_equal(known.settle(reported, times, declined), expected)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("usual", [1.0, 0.7])
def test_days_are_complete_up_to_the_first_that_lacks_outcomes(usual: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected = np.full(DAYS, A_DAY)
    known = rng.binomial(A_DAY, usual, DAYS)
    assert complete_days(expected, known, usual) == DAYS
    known[18:] = 0
    assert 12 <= complete_days(expected, known, usual) <= 18


@pytest.mark.parametrize("seed", range(20))
def test_a_feed_that_brings_defaults_first_is_not_complete(seed: int) -> None:
    """Half of the good ones come late: what is there is no fair sample."""
    rng = np.random.default_rng(seed)
    defaults = rng.binomial(A_DAY, 0.22, DAYS)
    known = defaults + rng.binomial(A_DAY - defaults, 0.5)
    assert complete_days(np.full(DAYS, A_DAY), known, 1.0) <= 2


def test_few_customers_wait_until_all_are_there() -> None:
    assert complete_days(np.array([3, 4, 2]), np.array([3, 4, 2]), 1.0) == 3
    assert complete_days(np.array([3, 4, 2]), np.array([3, 4, 1]), 1.0) == 2
    assert complete_days(np.array([], dtype=np.int64), np.array([], dtype=np.int64), 1.0) == 0


def test_what_is_usual_is_learned_from_settled_days_and_no_outage_is() -> None:
    expected, known = np.full(60, A_DAY), np.full(60, 12)
    known[20:40] = 0
    assert usual_share(expected, known) == pytest.approx(0.6)
    assert usual_share(expected[:3], known[:3]) == 1.0, "too few to say so"
    assert complete_days(expected, known, 0.1) == 0, "a feed that is hardly there says nothing about completeness"
