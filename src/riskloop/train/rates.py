"""Default rates in place of levels: what a category of hundreds or thousands of levels says about the risk."""

from collections.abc import Sequence
from itertools import product
from typing import Any, Final, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from riskloop.core.schema import Feature
from riskloop.core.types import Floats, Ints
from riskloop.core.values import zeros_back

FOLDS: Final = 5
STRENGTHS: Final = (5.0, 20.0, 80.0, 320.0)  # rows that a level's branch counts for
_SURE: Final = 1e-9


class RateEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Codes of levels (n,), NaN for missing, to the log-odds of the level's smoothed default rate.

    A level's rate is drawn towards that of its branch, a branch's towards its parent's, the roots' towards all rows':
    r = (defaults + m·parent) / (rows + m). m is the one of `STRENGTHS` whose rates describe rows best that they were
    not learned from; branches are used where that describes them better. ``branches`` holds for each depth, the roots
    first, the number of each level's branch; ``levels`` is how many there are, or None for as many as the codes say.
    Source: Micci-Barreca, SIGKDD Explorations 3 (2001) 27–32, sections 3 and 4.
    """

    def __init__(self, branches: Sequence[Sequence[int]] = (), levels: int | None = None, seed: int = 0) -> None:
        self.branches = branches
        self.levels = levels
        self.seed = seed

    def fit(self, X: Any, y: Any, sample_weight: Floats | None = None) -> Self:
        """Learn the rates of X (n,) with outcomes y (n,)."""
        self.fit_transform(X, y, sample_weight)
        return self

    def fit_transform(
        self, X: Any, y: Any, sample_weight: Floats | None = None, customers: Ints | None = None
    ) -> Floats:
        """Fit, and each row's log-odds from the rows of other folds; no customer is in two folds."""
        x = np.asarray(X, dtype=np.float64).ravel()
        y = np.asarray(y, dtype=np.float64)
        weight = np.ones(len(x)) if sample_weight is None else sample_weight
        levels = self.levels or (int(np.nanmax(x, initial=0.0)) + 1)
        codes = np.where(np.isnan(x), levels, x).astype(np.int64)
        # Missing is a level beside the others, and on every depth a branch of its own.
        tree = [np.append(branch, max(branch) + 1) for branch in self.branches if len(branch)]
        unit = np.arange(len(x)) if customers is None else customers
        fold = np.random.default_rng(self.seed).permutation(int(unit.max()) + 1)[unit] % FOLDS
        tried = []
        for strength, depth in product(STRENGTHS, {0, len(tree)}):
            rates = np.empty(len(x))
            for k in range(FOLDS):
                chosen = fold != k
                table = _rates(codes[chosen], y[chosen], weight[chosen], levels + 1, tree[:depth], strength)
                rates[~chosen] = table[codes[~chosen]]
            z = _log_odds(rates)
            tried.append((float(np.average(np.logaddexp(0.0, z) - y * z, weights=weight)), strength, depth, z))
        _, self.strength_, depth, crossed = min(tried, key=lambda entry: entry[:3])
        whole = _log_odds(_rates(codes, y, weight, levels + 1, tree[:depth], self.strength_))
        everybody = float(_log_odds(np.array([np.average(y, weights=weight)]))[0])
        self.table_ = np.concatenate((whole[:-1], [everybody, whole[-1]]))  # levels, beyond them, missing
        return crossed

    def transform(self, X: Any) -> Floats:
        """Log-odds by the rates of all training rows; a level never seen has those of everybody."""
        x = np.asarray(X, dtype=np.float64).ravel()
        places = np.where(np.isnan(x), len(self.table_) - 1, np.minimum(np.nan_to_num(x), len(self.table_) - 2))
        encoded: Floats = self.table_[places.astype(np.int64)]
        return encoded


def branches_of(feature: Feature) -> tuple[tuple[int, ...], ...]:
    """For each of the feature's prefixes the number of each level's branch, short prefixes first.

    Levels that are all numbers of the same three or more digits look like a tree of codes, and are tried as one.
    Postcodes that have lost a zero are in the branch of the whole ones: 1581 is in 01, not in 15.
    """
    found = []
    levels = zeros_back(feature.categories)
    lengths = {len(level) for level in levels}
    tree = len(lengths) == 1 and min(lengths) >= 3 and all(level.isdecimal() for level in levels)
    for length in sorted(feature.prefixes) or (range(1, min(lengths)) if tree else ()):
        numbers: dict[str, int] = {}
        found.append(tuple(numbers.setdefault(level[:length], len(numbers)) for level in levels))
    return tuple(found)


def _rates(codes: Ints, y: Floats, weight: Floats, levels: int, tree: Sequence[Ints], strength: float) -> Floats:
    """Smoothed default rate of each level, (levels,)."""
    rows = np.bincount(codes, weight, levels)
    bad = np.bincount(codes, weight * y, levels)
    rate = np.full(levels, bad.sum() / rows.sum())
    for branch in tree:
        within, defaults = np.bincount(branch, rows), np.bincount(branch, bad)
        parent = np.empty(len(within))
        parent[branch] = rate  # one and the same for all levels of a branch, as prefixes are nested
        rate = ((defaults + strength * parent) / (within + strength))[branch]
    smoothed: Floats = (bad + strength * rate) / (rows + strength)
    return smoothed


def _log_odds(p: Floats) -> Floats:
    p = np.clip(p, _SURE, 1.0 - _SURE)
    z: Floats = np.log(p) - np.log1p(-p)
    return z
