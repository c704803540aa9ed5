import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from riskloop.core.errors import DataError
from riskloop.core.stats import approval_ratio, jeffreys_interval, paired_change, wilson_interval


@pytest.mark.parametrize(
    ("defaults", "total", "lower", "upper"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_worked_examples(defaults: int, total: int, lower: float, upper: float) -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857–872, table I, method 3.
    interval = wilson_interval(defaults, total)
    assert (interval.lower, interval.upper) == pytest.approx((lower, upper), abs=5e-5)


@pytest.mark.parametrize("total", [1, 10, 1000])
def test_wilson_bounds_hold_the_rate_at_the_ends(total: int) -> None:
    nobody, everybody = wilson_interval(0, total), wilson_interval(total, total)
    assert nobody.lower == nobody.estimate == 0.0 < nobody.upper < 1.0
    assert 0.0 < everybody.lower < everybody.estimate == everybody.upper == 1.0


def test_approval_ratio_worked_example() -> None:
    # Physicians' Health Study (Agresti, Categorical Data Analysis, 3rd ed., section 2.2): 1.82, 95% (1.43, 2.31).
    interval = approval_ratio(189, 11034, 104, 11037)
    assert interval.estimate == pytest.approx(1.82, abs=0.005)
    assert (interval.lower, interval.upper) == pytest.approx((1.43, 2.31), abs=0.005)


def test_approval_ratio_turned_round_is_its_reciprocal() -> None:
    there, back = approval_ratio(30, 80, 50, 90), approval_ratio(50, 90, 30, 80)
    assert there.lower * back.upper == pytest.approx(1.0)
    assert there.estimate * back.estimate == pytest.approx(1.0)


def test_interval_covers_the_true_ratio() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for first, second in zip(rng.binomial(100, 0.6, 500), rng.binomial(300, 0.75, 500), strict=True):
        interval = approval_ratio(int(first), 100, int(second), 300)
        covered += interval.lower <= 0.8 <= interval.upper
    assert 0.92 < covered / 500 < 0.98


def test_extreme_groups_keep_an_open_mind() -> None:
    everybody = approval_ratio(10, 10, 500, 500)
    assert everybody.lower < 1.0 == everybody.estimate < everybody.upper
    nobody = approval_ratio(0, 10, 50, 100)
    assert nobody.lower == nobody.estimate == 0.0 < nobody.upper
    none_in_reference = approval_ratio(5, 10, 0, 100)
    assert math.isnan(none_in_reference.estimate)
    assert 0.0 < none_in_reference.lower < none_in_reference.upper


@pytest.mark.parametrize(("part", "total"), [(0, 0), (3, 2), (-1, 5)])
def test_impossible_counts_are_refused(part: int, total: int) -> None:
    with pytest.raises(DataError):
        wilson_interval(part, total)
    with pytest.raises(DataError):
        approval_ratio(1, 2, part, total)


@pytest.mark.parametrize(
    ("defaults", "total", "lower", "upper"),
    # Brown, Cai & DasGupta, Statistical Science 16 (2001), table 5: n = 20.
    [(0, 20, 0.0, 0.117), (1, 20, 0.005, 0.211), (5, 20, 0.102, 0.464), (10, 20, 0.294, 0.706)],
)
def test_jeffreys_worked_examples(defaults: int, total: int, lower: float, upper: float) -> None:
    found = jeffreys_interval(defaults, total)
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=1e-3)
    turned = jeffreys_interval(total - defaults, total)
    assert (1.0 - turned.upper, 1.0 - turned.lower) == pytest.approx((found.lower, found.upper))


def test_a_paired_change_is_that_of_one_row_of_each_customer() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.random((2, 500))
    plain = paired_change(before, after)
    twice = paired_change(np.repeat(before, 2), np.repeat(after, 2), np.repeat(np.arange(500), 2))
    assert (twice.estimate, twice.lower, twice.upper) == pytest.approx((plain.estimate, plain.lower, plain.upper))
    found = scipy_stats.ttest_rel(after, before).confidence_interval(0.95)
    assert (plain.lower, plain.upper) == pytest.approx(tuple(found), abs=1e-3)
    with pytest.raises(DataError, match="two rows"):
        paired_change([0.1], [0.2])
