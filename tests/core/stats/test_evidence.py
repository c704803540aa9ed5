"""Weights of evidence and information value by brute force; the order of bins against scipy."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from riskloop.core.errors import DataError
from riskloop.core.stats import bin_evidence, broken_order


@pytest.mark.parametrize("seed", range(20))
def test_evidence_is_the_sum_over_rows_counted_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, bins = int(rng.integers(20, 300)), int(rng.integers(2, 9))
    places, defaults = rng.integers(0, bins, n), rng.random(n) < 0.3
    defaults[:2] = True, False
    found = bin_evidence(places, defaults, bins + 1)  # the last one is empty
    used = sorted(set(places.tolist()))
    bad = {b: sum(1 for p, d in zip(places, defaults, strict=True) if p == b and d) + 0.5 for b in used}
    good = {b: sum(1 for p, d in zip(places, defaults, strict=True) if p == b and not d) + 0.5 for b in used}
    value = 0.0
    for b in used:
        share, other = bad[b] / sum(bad.values()), good[b] / sum(good.values())
        assert found.woe[b] == pytest.approx(math.log(share / other), abs=1e-12)
        assert found.parts[b] == pytest.approx((share - other) * math.log(share / other), abs=1e-12)
        assert (found.rows[b], found.defaults[b]) == (bad[b] + good[b] - 1, bad[b] - 0.5)
        value += (share - other) * math.log(share / other)
    assert found.value == pytest.approx(value)
    assert found.rows[bins] == found.woe[bins] == found.parts[bins] == 0


def test_evidence_needs_both_kinds() -> None:
    with pytest.raises(DataError, match="rows that defaulted"):
        bin_evidence(np.array([0, 1]), np.array([True, True]), 2)


def test_an_order_is_broken_where_a_pair_of_proportions_says_so() -> None:
    rows, rates = np.array([1000, 1000, 1000]), np.array([0.05, 0.10, 0.08])
    z = 0.02 / math.sqrt(0.09 * 0.91 * 2 / 1000)
    assert norm.sf(z) > 0.05 / 3
    assert broken_order(rows, rows * rates, 1) is None  # by chance
    assert broken_order(10 * rows, 10 * rows * rates, 1) == (1, 2)
    assert broken_order(rows, rows * rates, -1) == (0, 1)
    assert broken_order(rows, rows * 0.0, 1) is None


def test_an_order_that_holds_is_seldom_called_broken() -> None:
    rng = np.random.default_rng(1)
    called = sum(broken_order(np.full(6, 400), rng.binomial(400, 0.1, 6), 1) is not None for _ in range(2_000))
    assert called / 2_000 < 0.05
