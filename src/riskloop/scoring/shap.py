"""Exact SHAP values of shallow trees by looking them up.

A tree with d inner nodes can be passed in at most 2^d ways: every node says left or right, whether the row comes by or
not. The path-dependent SHAP values (Lundberg et al., Nature Machine Intelligence 2, 2020, algorithm 1) depend on
nothing else, so they are computed once for every pattern. A row then costs comparisons and look-ups, no recursion.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import factorial
from typing import Final

import numpy as np

from riskloop.core.types import Bools, Floats, Ints

MAX_NODES: Final = 8  # nodes of a tree in one byte; deeper trees are left to LightGBM
CACHED_ROWS: Final = 64  # rows at a time: what is in between stays in the processor's cache
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_NONE, _MISSING_ZERO = 0, 1


@dataclass(frozen=True)
class Tree:
    """One tree of LightGBM's text format. Children: node numbers, or -1 - leaf."""

    feature: Ints  # (d,)
    threshold: Floats  # (d,); for a category the position in ``members``
    kind: Ints  # (d,) LightGBM's decision_type
    left: Ints  # (d,)
    right: Ints  # (d,)
    values: Floats  # (d + 1,) of the leaves, log-odds
    covers: Floats  # (d + 1,) training rows of the leaves
    node_covers: Floats  # (d,)
    members: tuple[Ints, ...]  # codes that go left, one array for each categorical split


def parse_trees(text: str) -> list[Tree]:
    """The trees of a model in LightGBM's text format."""
    trees = []
    for block in text.split("\nTree=")[1:]:
        entries = dict(line.partition("=")[::2] for line in block.splitlines()[1:] if "=" in line)
        trees.append(_tree(entries))
    return trees


def _tree(entries: dict[str, str]) -> Tree:
    def floats(key: str) -> Floats:
        return np.array(entries.get(key, "").split(), dtype=np.float64)

    def ints(key: str) -> Ints:
        return np.array(entries.get(key, "").split(), dtype=np.int64)

    bounds, words = ints("cat_boundaries"), ints("cat_threshold")
    members = tuple(_members(words[start:end]) for start, end in pairwise(bounds))
    values = floats("leaf_value")
    return Tree(
        feature=ints("split_feature"),
        threshold=floats("threshold"),
        kind=ints("decision_type"),
        left=ints("left_child"),
        right=ints("right_child"),
        values=values,
        covers=floats("leaf_count") if "leaf_count" in entries else np.ones(len(values)),
        node_covers=floats("internal_count"),
        members=members,
    )


def _members(words: Ints) -> Ints:
    bits = (words[:, None] >> np.arange(32)) & 1
    return np.flatnonzero(bits.ravel())


class ShapTables:
    """SHAP values of a sum of shallow trees. Thread-safe; a row has the same values alone and among others."""

    @staticmethod
    def possible(trees: list[Tree]) -> bool:
        """Whether every tree is shallow enough, and treats zero as a number."""
        return all(len(t.feature) <= MAX_NODES and not ((t.kind >> 2 & 3) == _MISSING_ZERO).any() for t in trees)

    def __init__(self, trees: list[Tree], width: int) -> None:
        """Tables for ``trees`` over rows of ``width`` columns."""
        self.width = width
        self.base = float(sum(np.average(t.values, weights=t.covers) for t in trees))
        grown = [t for t in trees if len(t.feature)]
        self._place_nodes(grown)
        owners = sorted({(int(f), number) for number, t in enumerate(grown) for f in t.feature})
        slots: list[dict[int, int]] = [{} for _ in grown]
        for slot, (f, number) in enumerate(owners):
            slots[number][f] = slot
        bits = max((len(t.feature) for t in grown), default=0)
        leaves = [leaf for n, t in enumerate(grown) for leaf in _leaves(t, slots[n])]
        self._table = _pattern_table(leaves, len(owners), 1 << bits).ravel()
        self._trees = np.array([number for _, number in owners], dtype=np.int64)
        self._offsets = np.arange(len(owners), dtype=np.int64) << bits
        features = np.array([f for f, _ in owners], dtype=np.int64)
        self._used, self._starts = np.unique(features, return_index=True)

    def contributions(self, matrix: Floats) -> Floats:
        """Shape (n, width + 1) for ``matrix`` (n, width): log-odds of every column, and the expected log-odds last."""
        result = np.zeros((len(matrix), self.width + 1))
        result[:, -1] = self.base
        if self._used.size:
            for start in range(0, len(matrix), CACHED_ROWS):
                result[start : start + CACHED_ROWS, self._used] = self._parts(matrix[start : start + CACHED_ROWS])
        return result

    def _parts(self, matrix: Floats) -> Floats:
        patterns = np.packbits(self._decisions(matrix), axis=1, bitorder="little")
        places = patterns.take(self._trees, axis=1) + self._offsets
        return np.add.reduceat(self._table.take(places), self._starts, axis=1)

    def _place_nodes(self, trees: list[Tree]) -> None:
        """Lay all nodes side by side, a byte a tree; a place without a node says right."""
        shape = (len(trees), MAX_NODES)
        features = np.zeros(shape, dtype=np.int64)
        thresholds = np.full(shape, -np.inf)
        missing = np.ones(shape, dtype=np.int64)  # which copy of the row: missing is 0, infinite, or minus infinite
        levels = 1 + max((int(m.max()) for t in trees for m in t.members if m.size), default=0)
        nodes, tables = [], []
        for number, tree in enumerate(trees):
            d = len(tree.feature)
            features[number, :d] = tree.feature
            numeric = (tree.kind & _CATEGORICAL) == 0
            # A split of missing values alone has the threshold ∞, which the ∞ that stands for missing must exceed.
            thresholds[number, :d][numeric] = np.minimum(tree.threshold[numeric], np.finfo(np.float64).max)
            left = (tree.kind & _DEFAULT_LEFT) != 0
            missing[number, :d] = np.where((tree.kind >> 2 & 3) == _MISSING_NONE, 0, np.where(left, 2, 1))
            for node in np.flatnonzero(~numeric):
                table = np.zeros(levels + 1, dtype=np.bool_)  # the last one for what the split does not know
                table[tree.members[int(tree.threshold[node])]] = True
                nodes.append(number * MAX_NODES + int(node))
                tables.append(table)
        self._features, self._thresholds = features.ravel(), thresholds.ravel()
        self._copies = self._features + self.width * missing.ravel()
        self._levels, self._categorical = levels, np.array(nodes, dtype=np.int64)
        self._member_tables = np.array(tables) if tables else np.empty((0, levels + 1), dtype=np.bool_)

    def _decisions(self, matrix: Floats) -> Bools:
        """Left or right at every node, shape (n, nodes)."""
        missing = np.isnan(matrix)
        if missing.any():
            copies = [np.where(missing, value, matrix) for value in (0.0, np.inf, -np.inf)]
            decisions: Bools = np.hstack(copies).take(self._copies, axis=1) <= self._thresholds
        else:
            decisions = matrix.take(self._features, axis=1) <= self._thresholds
        if self._categorical.size:
            values = matrix.take(self._features[self._categorical], axis=1)
            known = (values >= 0.0) & (values < self._levels)
            codes = np.where(known, values, self._levels).astype(np.int64)
            decisions[:, self._categorical] = self._member_tables[np.arange(len(self._categorical)), codes]
        return decisions


@dataclass(frozen=True)
class _Leaf:
    """One leaf, seen as a game in which the k features on its path take part."""

    value: float
    slots: list[int]  # (k,) where the SHAP values of the tree's features are collected
    masks: list[int]  # (k,) nodes on the path that split on the feature, as bits of a pattern …
    wanted: list[int]  # (k,) … and what they must say for the row to come by
    shares: list[float]  # (k,) share of the training rows that these nodes let pass


def _leaves(tree: Tree, slots: dict[int, int]) -> list[_Leaf]:
    """The leaves of a tree whose feature f is collected in ``slots[f]``."""
    found = []
    for leaf, path in _paths(tree):
        features = sorted({int(tree.feature[node]) for node, _, _ in path})
        masks, wanted, shares = dict.fromkeys(features, 0), dict.fromkeys(features, 0), dict.fromkeys(features, 1.0)
        for node, is_left, cover in path:
            feature = int(tree.feature[node])
            masks[feature] |= 1 << node
            wanted[feature] |= int(is_left) << node
            shares[feature] *= cover
        found.append(
            _Leaf(
                float(tree.values[leaf]),
                [slots[f] for f in features],
                list(masks.values()),
                list(wanted.values()),
                list(shares.values()),
            )
        )
    return found


def _pattern_table(leaves: list[_Leaf], n_slots: int, n_patterns: int) -> Floats:
    """SHAP values of every slot under every pattern, shape (n_slots, n_patterns)."""
    table = np.zeros((n_slots, n_patterns))
    patterns = np.arange(n_patterns)
    for k in sorted({len(leaf.slots) for leaf in leaves}):
        group = [leaf for leaf in leaves if len(leaf.slots) == k]
        masks, wanted = np.array([g.masks for g in group]), np.array([g.wanted for g in group])
        follows = (patterns & masks[:, :, None]) == wanted[:, :, None]
        codes = (follows << np.arange(k)[:, None]).sum(axis=1)  # (leaves, patterns): which features let the row pass
        games = _shapley(np.array([g.shares for g in group]), np.array([g.value for g in group]))
        values = games[np.arange(len(group))[:, None], codes]
        np.add.at(table, np.array([g.slots for g in group]), values.transpose(0, 2, 1))
    return table


def _shapley(shares: Floats, values: Floats) -> Floats:
    """Shapley values of the leaves' games, shape (leaves, 2^k, k), for ``shares`` (leaves, k) and ``values`` (leaves,).

    A coalition is worth the leaf's value, times 0 or 1 for each member, as the row passes, times the others' shares.
    The sums over coalitions of one size are the coefficients of a polynomial, multiplied up feature by feature.
    """
    count, k = shares.shape
    passes = (np.arange(1 << k)[:, None] >> np.arange(k)) & 1
    weights = np.array([factorial(s) * factorial(k - s - 1) / factorial(k) for s in range(k)])
    result = np.empty((count, 1 << k, k))
    for player in range(k):
        sums = np.zeros((k, count, 1 << k))
        sums[0] = 1.0
        for other in range(k):
            if other != player:
                longer = sums * shares[:, other, None]
                longer[1:] += sums[:-1] * passes[:, other]
                sums = longer
        gain = values[:, None] * (passes[:, player] - shares[:, player, None])
        result[:, :, player] = gain * (weights[:, None, None] * sums).sum(axis=0)
    return result


def _paths(tree: Tree) -> list[tuple[int, list[tuple[int, bool, float]]]]:
    """Every leaf with its path: nodes, which side is taken, and the share of the node's rows that take it."""
    found = []
    open_nodes: list[tuple[int, list[tuple[int, bool, float]]]] = [(0, [])]
    while open_nodes:
        node, path = open_nodes.pop()
        if node < 0:
            found.append((-1 - node, path))
            continue
        for is_left, child in ((True, int(tree.left[node])), (False, int(tree.right[node]))):
            cover = tree.covers[-1 - child] if child < 0 else tree.node_covers[child]
            open_nodes.append((child, [*path, (node, is_left, float(cover / tree.node_covers[node]))]))
    return found
