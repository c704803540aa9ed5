"""Midranks beside the comparison of all pairs."""

import numpy as np
import pytest

from riskloop.core.stats._ranks import rank_masses


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("shares", [False, True])
def test_masses_are_those_of_all_pairs(seed: int, weighed: bool, shares: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, 30).astype(float)  # with many ties
    default = rng.random(30) if shares else rng.integers(0, 2, 30).astype(float)
    weight = rng.integers(1, 5, 30).astype(float) if weighed else None
    counted = np.ones(30) if weight is None else weight
    lower = (scores[None, :] < scores[:, None]) + 0.5 * (scores[None, :] == scores[:, None])
    higher = (scores[None, :] > scores[:, None]) + 0.5 * (scores[None, :] == scores[:, None])
    found = rank_masses(scores, default, weight)
    np.testing.assert_allclose(found.below, lower @ (counted * (1.0 - default)), atol=1e-9)
    np.testing.assert_allclose(found.above, higher @ (counted * default), atol=1e-9)
