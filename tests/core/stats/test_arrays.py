"""What every statistic checks of its arrays, and the tails that they share, beside SciPy."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from riskloop.core.errors import DataError
from riskloop.core.stats import _arrays as arrays


@pytest.mark.parametrize("labels", [[0, 1, 1], [0.0, 1.0, 1.0], [False, True, True]])
def test_outcomes_in_every_writing_are_booleans(labels: list[Any]) -> None:
    assert arrays.outcomes(labels).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("check", "values", "said"),
    [
        (arrays.outcomes, [0, 2], "0 or 1"),
        (arrays.outcomes, [0.0, math.nan], "0 or 1"),
        (arrays.outcomes, [], "non-empty"),
        (arrays.outcomes, [[0, 1]], "non-empty"),
        (lambda v: arrays.numbers(v, "scores"), [1.0, math.nan], "scores contain NaN"),
        (lambda v: arrays.numbers(v, "scores"), [], "scores must be a non-empty"),
        (lambda v: arrays.numbers(v, "scores", 3), [1.0, 2.0], "2 scores for 3 rows"),
        (arrays.probabilities, [0.0, 1.0000001], "between 0 and 1"),
        (arrays.probabilities, [-1e-9, 0.5], "between 0 and 1"),
        (lambda v: arrays.require_both_classes(np.array(v), 2), [True, False, False], "at least 2 default"),
        (lambda v: arrays.require_share(v[0], "alpha"), [0.0], "alpha must be strictly"),
        (lambda v: arrays.require_share(v[0], "alpha"), [1.0], "alpha must be strictly"),
    ],
)
def test_what_no_statistic_takes_is_refused(check: Callable[[Any], Any], values: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        check(values)


def test_the_bounds_themselves_are_taken() -> None:
    assert arrays.probabilities([0.0, 1.0]).tolist() == [0.0, 1.0]
    assert arrays.require_both_classes(np.array([True, True, False, False]), 2) == (2, 2)


def test_log_odds_are_those_of_scipy_and_finite_at_the_ends() -> None:
    p = np.array([1e-9, 0.01, 0.5, 0.999])
    np.testing.assert_allclose(arrays.logit(p), special.logit(p), rtol=1e-12)
    assert np.isfinite(arrays.logit(np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize("z", [-8.0, 0.0, 3.0, 30.0])
def test_tails_are_those_of_scipy_where_one_minus_phi_is_nothing(z: float) -> None:
    assert arrays.normal_tail(z) == pytest.approx(stats.norm.sf(z), rel=1e-10)


@pytest.mark.parametrize("share", [0.5, 0.05, 1e-12, 1e-200])
def test_quantiles_of_tiny_shares_are_those_of_scipy(share: float) -> None:
    assert arrays.upper_quantile(share) == pytest.approx(stats.norm.isf(share), rel=1e-9, abs=1e-12)


def test_a_difference_without_error_is_infinite_and_none_is_zero() -> None:
    assert [arrays.in_errors(d, 0.0) for d in (2.0, -2.0, 0.0)] == [math.inf, -math.inf, 0.0]
    assert arrays.in_errors(3.0, 2.0) == 1.5
