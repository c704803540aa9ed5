"""A share is the same whoever draws it, and as random as its hash."""

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from riskloop.core.sampling import BLOCK, drawn, spread

NUMBERS = np.arange(-5_000, 195_000)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.37, 0.999])
def test_it_holds_its_share_and_does_not_depend_on_who_else_is_there(share: float) -> None:
    chosen = drawn(NUMBERS, share)
    assert binomtest(int(chosen.sum()), len(NUMBERS), share).pvalue > 1e-4
    mixed = np.random.default_rng(1).permutation(len(NUMBERS))[:1000]
    assert np.array_equal(drawn(NUMBERS[mixed], share), chosen[mixed])
    assert not (chosen & ~drawn(NUMBERS, min(1.0, 2 * share))).any()
    assert drawn(NUMBERS, 1.0).all()


@pytest.mark.parametrize("period", [2, 7, 16, 1000])
def test_it_is_even_over_blocks_and_over_every_so_many(period: int) -> None:
    chosen = NUMBERS[drawn(NUMBERS, 0.1)]
    assert chisquare(np.bincount(chosen % period, minlength=period)).pvalue > 1e-4
    assert chisquare(np.histogram(chosen, 50)[0]).pvalue > 1e-4


@pytest.mark.parametrize(("first", "last"), [(1, 0), (5, 5), (1, 700), (3, 5_000), (1, 4_001), (1, 10**9), (7, 10**7)])
@pytest.mark.parametrize("most", [1, 100, 1_000, 4_000])
def test_a_spread_is_even_and_no_larger_than_asked_for(first: int, last: int, most: int) -> None:
    found = spread(first, last, most)
    count = last - first + 1
    assert len(found) <= most
    assert (np.diff(found) > 0).all()
    if count <= most:
        assert found.tolist() == list(range(first, last + 1))
        return
    assert len(found) >= min(most, BLOCK * (most // BLOCK))
    assert first <= found[0]
    assert found[-1] <= last
    assert abs(found.mean() - (first + last) / 2) <= 1, "the middle is the middle"
    assert np.diff(found).max(initial=0) <= 2 * count / max(1, most // BLOCK)
