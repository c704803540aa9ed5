"""Rates, volumes and equal rows: beside SciPy's distributions and simulated worlds where nothing happened."""

import numpy as np
import pytest
from scipy import stats

from riskloop.core.errors import DataError
from riskloop.core.stats.rates import equal_pairs_p_value, rate_jump, volume_p_value


@pytest.mark.parametrize(("count", "total", "before", "of"), [(3, 50, 2, 400), (1, 10, 0, 10), (40, 50, 9, 90)])
def test_a_jump_is_the_beta_binomials_upper_tail(count: int, total: int, before: int, of: int) -> None:
    wanted = sum(stats.betabinom.pmf(k, total, before + 0.5, of - before + 0.5) for k in range(count, total + 1))
    assert rate_jump(count, total, before, of) == pytest.approx(wanted, rel=1e-9)


def test_nothing_counted_is_no_jump() -> None:
    assert rate_jump(0, 10, 5, 10) == 1.0


@pytest.mark.parametrize("wrong", [(3, 2, 0, 1), (-1, 2, 0, 1), (1, 2, 4, 3)])
def test_more_than_there_are_is_refused(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(DataError):
        rate_jump(*wrong)


def test_a_usual_volume_is_seldom_called_low() -> None:
    """At 1% no more than some 1% of usual windows are, whatever the spread of the past."""
    rng = np.random.default_rng(3)
    drawn = rng.negative_binomial(20, 20 / (20 + 500), (3_000, 9))  # over-dispersed by 26 times
    low = [volume_p_value(int(now), past.tolist()) < 0.01 for past, now in zip(drawn[:, :8], drawn[:, 8], strict=True)]
    assert np.mean(low) < 0.02
    assert volume_p_value(0, drawn[0, :8].tolist()) < 1e-4


@pytest.mark.parametrize("sizes", [[100], [100, 101], [0, 0]])
def test_a_volume_of_few_windows(sizes: list[int]) -> None:
    """One window's spread is not known, so Poisson's and the usual one are taken; nothing is unusual after nothing."""
    mean = sum(sizes) / len(sizes)
    if mean == 0:
        assert volume_p_value(0, sizes) == 1.0
        return
    variance = mean * (1 + 1 / len(sizes)) + (0.1 * mean) ** 2
    p = mean / variance
    assert volume_p_value(60, sizes) == pytest.approx(stats.nbinom.cdf(60, mean * p / (1 - p), p), rel=1e-9)


@pytest.mark.parametrize("previous", [[], [-1, 5]])
def test_a_volume_without_a_past_is_refused(previous: list[int]) -> None:
    with pytest.raises(DataError):
        volume_p_value(3, previous)


def test_equal_rows_are_as_many_as_birthdays_make() -> None:
    """A hundred kinds of rows: the share of windows called unusual at 5% is no more than that."""
    rng = np.random.default_rng(7)

    def pairs(rows: np.ndarray) -> int:
        counts = np.bincount(rows)
        return int((counts * (counts - 1) // 2).sum())

    reference = pairs(rng.integers(0, 100_000, 5_000))
    found = [equal_pairs_p_value(pairs(rng.integers(0, 100_000, 400)), 400, reference, 5_000) for _ in range(500)]
    assert np.mean(np.array(found) < 0.05) < 0.07
    assert equal_pairs_p_value(20, 400, reference, 5_000) < 1e-9


def test_pairs_need_two_rows_and_a_reference() -> None:
    assert equal_pairs_p_value(0, 50, 0, 50) == 1.0
    assert equal_pairs_p_value(1, 1, 0, 50) == 1.0
    with pytest.raises(DataError):
        equal_pairs_p_value(1, 50, 0, 1)
