"""Is each value plausible beside the other columns of its row? Learned from the history, judged row by row.

A column filled with a value that it often has, or divided by a hundred in some rows of a wide distribution, keeps its
pool nearly as it was. Beside the row's other columns it does not: a bill of 0 whose neighbours are large.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from riskloop.core.types import Bools, Floats, Ints
from riskloop.monitor.structure import Structure, ranks_of

NEAREST: Final = 6  # columns that a value is judged beside
LEAF: Final = 40  # rows of the history that a value is judged among
BOND: Final = 0.25  # rank correlation from which on another column says something
LEAST_HISTORY: Final = 1_000  # rows
EXPLAINED: Final = 0.5  # of the variance of its ranks: else a column may shift by itself, as age does
ENDS: Final = (0.02, 0.05, 0.1)  # places from either end at which implausible values gather


class Excess(NamedTuple):
    """How much more often values lie at one end of their places than in the history."""

    share: float  # of the rows
    errors: float  # standard errors
    low: bool  # they are too small, else too large
    rows: Bools  # (n,): which they are
    beside: int  # the nearest column


@dataclass(frozen=True)
class _Among:
    """What a column usually is among alike rows: the leaves of a tree over its nearest columns."""

    tree: Any
    near: Ints
    values: Floats  # all, ascending
    keys: Ints  # leaf and rank of every row of the history, ascending
    leaves: Ints  # (l,) ascending
    middles: Floats  # (l,): the median of the column in each leaf


class Plausible:
    """Where each value of a column lies among those of alike rows of the history."""

    def __init__(self, rows: Floats, structure: Structure, context: frozenset[int]) -> None:
        """``rows`` (m, k) in no particular order: half of them are learned from, the others say what is usual."""
        self._rows, self._structure, self._context = rows, structure, context
        self._half = len(rows) // 2
        self._usual: dict[int, tuple[_Among, Floats] | None] = {}

    def excess(self, j: int, rows: Floats) -> Excess | None:
        """What column ``j`` of ``rows`` (n, k) shows; None where no column is near it."""
        learned = self._known(j)
        if learned is None:
            return None
        now, usual = _places(learned[0], j, rows), learned[1]
        if not now.size:
            return None
        ends = [(*_more(now < end, usual < end), True, end) for end in ENDS]
        ends += [(*_more(now > 1.0 - end, usual > 1.0 - end), False, end) for end in ENDS]
        errors, share, low, end = max(ends)
        there = np.zeros(len(rows), dtype=np.bool_)
        there[~np.isnan(rows[:, j])] = now < end if low else now > 1.0 - end
        return Excess(share, errors, low, there, int(learned[0].near[0]))

    def apart(self, j: int, rows: Floats) -> tuple[Floats, Floats] | None:
        """How far the positive values of column ``j`` lie from those of alike rows, in logarithms.

        In ``rows`` (n, k), and in the rows of the history that the tree was not learned from; None where no column is
        near it.
        """
        learned = self._known(j)
        if learned is None:
            return None
        among, others = learned[0], self._rows[self._half :]
        return _apart(among, j, rows), _apart(among, j, others)

    def _known(self, j: int) -> tuple[_Among, Floats] | None:
        """What the column usually is among alike rows, where these explain enough of it, with the usual places."""
        if j not in self._usual:
            among, others = self._learn(j), self._rows[self._half :]
            known = among is not None and _explained(among, j, others) >= EXPLAINED
            self._usual[j] = (among, _places(among, j, others)) if among is not None and known else None
        return self._usual[j]

    def _learn(self, j: int) -> _Among | None:
        """A regression tree for the rank of ``j`` (Breiman et al., Classification and Regression Trees, 1984)."""
        from sklearn.tree import DecisionTreeRegressor

        bonds = np.abs(self._structure.correlations[j]).copy()
        bonds[[j, *self._context]] = 0.0
        near = np.argsort(-bonds, kind="stable")[:NEAREST]
        near = near[bonds[near] >= BOND]
        learned = self._rows[: self._half]
        learned = learned[~np.isnan(learned[:, j])]
        if not near.size or len(learned) < LEAST_HISTORY:
            return None
        tree = DecisionTreeRegressor(min_samples_leaf=LEAF, random_state=0)
        tree.fit(learned[:, near], ranks_of(learned[:, [j]])[:, 0])
        values = np.sort(learned[:, j])
        leaf = tree.apply(learned[:, near])
        keys = _keys(leaf, np.searchsorted(values, learned[:, j]), values.size)
        leaves = np.unique(leaf)
        middles = np.array([np.median(learned[leaf == one, j]) for one in leaves])
        return _Among(tree, near, values, np.sort(keys), leaves, middles)


def _keys(leaf: Ints, rank: Ints, most: int) -> Ints:
    keys: Ints = leaf.astype(np.int64) * (most + 1) + rank
    return keys


def _places(among: _Among, j: int, rows: Floats) -> Floats:
    """The place (n,) of each value within its leaf, from 0 to 1; ties lie in their middle."""
    there = rows[~np.isnan(rows[:, j])]
    if not len(there):
        return np.empty(0)
    leaf, most, keys = among.tree.apply(there[:, among.near]), among.values.size, among.keys
    first = np.searchsorted(keys, _keys(leaf, np.zeros_like(leaf), most))
    size = np.searchsorted(keys, _keys(leaf + 1, np.zeros_like(leaf), most)) - first
    ranks = [np.searchsorted(among.values, there[:, j], side) for side in ("left", "right")]
    below = sum(np.searchsorted(keys, _keys(leaf, rank, most)) - first for rank in ranks)
    return np.asarray(below / (2.0 * size), dtype=np.float64)


def _apart(among: _Among, j: int, rows: Floats) -> Floats:
    """Logarithms of the positive values over the median of their leaf, where that is positive."""
    there = rows[rows[:, j] > 0.0]
    if not len(there):
        return np.empty(0)
    leaf = among.tree.apply(there[:, among.near])
    middle = among.middles[np.searchsorted(among.leaves, leaf)]
    positive = middle > 0.0
    apart: Floats = np.log(there[positive, j] / middle[positive])
    return apart


def _explained(among: _Among, j: int, rows: Floats) -> float:
    """The share of the variance of the ranks that the tree explains on rows that it was not learned from."""
    there = rows[~np.isnan(rows[:, j])]
    if not len(there):
        return 0.0
    ranks = ranks_of(there[:, [j]])[:, 0]
    return float(1.0 - np.var(ranks - among.tree.predict(there[:, among.near])) / max(np.var(ranks), 1e-12))


def _more(now: Any, usual: Any) -> tuple[float, float]:
    """By how many standard errors, and by which share, the first holds more often than the second."""
    a, b = float(now.mean()), float(usual.mean())
    pooled = (now.sum() + usual.sum() + 1.0) / (now.size + usual.size + 2.0)
    error = float(np.sqrt(pooled * (1.0 - pooled) * (1.0 / now.size + 1.0 / usual.size)))
    return (a - b) / error, a - b
