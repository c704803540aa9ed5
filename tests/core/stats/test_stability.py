import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from riskloop.core.errors import DataError
from riskloop.core.stats import (
    benjamini_hochberg,
    fit_numeric_bins,
    psi,
    psi_critical,
    psi_p_value,
    psi_terms,
)

COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=12).filter(any)


@st.composite
def count_pairs(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    first = draw(COUNTS)
    size = len(first)
    return first, draw(st.lists(st.integers(0, 10_000), min_size=size, max_size=size).filter(any))


def test_psi_by_hand() -> None:
    # Smoothed shares 0.5/0.5 and 0.25/0.75, since (a + ½)/(n + 1) with n = 1 and n = 3.
    assert psi([1, 1], [0.5, 2.5]) == pytest.approx(0.25 * np.log(2.0) + 0.25 * np.log(1.5))


def test_psi_is_the_symmetric_relative_entropy() -> None:
    e, a = np.array([120.5, 300.5, 80.5]), np.array([90.5, 10.5, 55.5])
    p, q = e / e.sum(), a / a.sum()
    assert psi(e - 0.5, a - 0.5) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=1e-12)


@given(count_pairs())
def test_psi_is_symmetric_and_not_negative(pair: tuple[list[int], list[int]]) -> None:
    first, second = pair
    assert psi(first, second) == psi(second, first) >= 0.0


@given(COUNTS)
def test_psi_of_equal_counts_is_zero(counts: list[int]) -> None:
    assert psi(counts, counts) == 0.0


@given(count_pairs())
def test_bins_empty_in_both_change_nothing(pair: tuple[list[int], list[int]]) -> None:
    first, second = pair
    terms = psi_terms([0, *first], [0, *second])
    assert terms[0] == 0.0
    assert terms.sum() == pytest.approx(psi(first, second), rel=1e-12, abs=1e-15)


def test_one_empty_bin_weighs_little() -> None:
    assert psi([10, 990], [0, 1000]) < 0.05


def test_critical_value_and_p_value_are_each_others_inverse() -> None:
    critical = psi_critical(n=500, m=20_000, n_bins=10, alpha=0.05)
    assert critical == pytest.approx((1 / 500 + 1 / 20_000) * stats.chi2.ppf(0.95, 9))
    assert psi_p_value(critical, n=500, m=20_000, n_bins=10) == pytest.approx(0.05)


def test_a_single_bin_never_drifts() -> None:
    assert psi([10, 0], [3, 0]) == 0.0
    assert psi_critical(n=3, m=10, n_bins=1) == 0.0
    assert psi_p_value(0.0, n=3, m=10, n_bins=1) == 1.0


@pytest.mark.parametrize(("m", "n"), [(10_000, 100), (500, 500)])
def test_psi_rejects_as_often_as_it_says_without_drift(m: int, n: int) -> None:
    rng = np.random.default_rng(5)
    rejected = above_band = 0
    for _ in range(600):
        reference = rng.normal(size=m)
        bins = fit_numeric_bins(reference)
        counts = bins.count(reference), bins.count(rng.normal(size=n))
        used = int(np.count_nonzero(counts[0] + counts[1]))
        rejected += psi(*counts) > psi_critical(n, m, used)
        above_band += psi(*counts) > 0.10
    assert 0.02 < rejected / 600 < 0.08
    # Why the band alone is not enough: at 100 rows a third of all PSIs exceed it by chance.
    assert (above_band / 600 > 0.2) == (n == 100)


def test_psi_finds_a_real_shift() -> None:
    rng = np.random.default_rng(6)
    reference = rng.normal(size=10_000)
    bins = fit_numeric_bins(reference)
    found = psi(bins.count(reference), bins.count(rng.normal(0.5, 1.0, 1000)))
    assert psi_p_value(found, n=1000, m=10_000, n_bins=len(bins)) < 1e-6


def test_benjamini_hochberg_worked_example() -> None:
    # Benjamini & Hochberg (1995), section 3.2: four of fifteen are rejected.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert benjamini_hochberg(p, 0.05).tolist() == [True] * 4 + [False] * 11


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_benjamini_hochberg_agrees_with_scipy(p: list[float]) -> None:
    adjusted = stats.false_discovery_control(p)
    unclear = np.isclose(adjusted, 0.1, rtol=1e-9)
    assert ((benjamini_hochberg(p, 0.1) == (adjusted <= 0.1)) | unclear).all()


def test_tests_that_could_not_run_are_not_counted() -> None:
    nan = float("nan")
    assert benjamini_hochberg([nan, 0.04, nan]).tolist() == [False, True, False]
    assert benjamini_hochberg([nan]).tolist() == [False]
    assert benjamini_hochberg([]).tolist() == []


@pytest.mark.parametrize(
    ("reference", "window"), [([1, 2], [0, 0]), ([0, 0], [1, 1]), ([1, 2], [1]), ([1, -1], [1, 1]), ([], [])]
)
def test_counts_that_cannot_be_compared_are_refused(reference: list[int], window: list[int]) -> None:
    with pytest.raises(DataError):
        psi(reference, window)


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(DataError, match="alpha"):
        psi_critical(10, 10, 10, alpha=1.0)
    with pytest.raises(DataError, match="rows"):
        psi_p_value(0.1, n=0, m=10, n_bins=5)
    with pytest.raises(DataError, match="p-values"):
        benjamini_hochberg([1.5])
