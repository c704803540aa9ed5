"""How columns hang together: rank correlations, which a change of units leaves alone.

A population that moves takes its correlated columns along; a fault tears one column away from the others. So the
correlations tell the two apart, and name columns that have changed places though their distributions are alike.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from riskloop.core.types import Floats, Ints

LIMIT: Final = 0.999  # of a correlation, so that its z is finite


@dataclass(frozen=True, eq=False)
class Structure:
    """Spearman correlations of all pairs of columns, as Fisher's z: shape (k, k), 0 on the diagonal."""

    z: Floats
    varies: Floats  # (k,) 1.0, or 0.0 for a column with one value, whose correlations are written 0
    rows: int

    @classmethod
    def of(cls, ranks: Floats) -> "Structure":
        """From :func:`ranks_of` the rows, shape (n, k)."""
        centred = ranks - 0.5
        spread = np.sqrt(np.square(centred).sum(axis=0))
        unit = centred / np.where(spread > 0.0, spread, 1.0)
        z = np.arctanh(np.clip(unit.T @ unit, -LIMIT, LIMIT))
        np.fill_diagonal(z, 0.0)
        return cls(z, (spread > 0.0).astype(np.float64), len(ranks))

    @property
    def correlations(self) -> Floats:
        """Spearman's coefficients, shape (k, k), with 0 on the diagonal."""
        return np.tanh(self.z)

    @property
    def copies(self) -> float:
        """How many columns say the same, on average: the columns by their effective number, k / k_eff (Kish, 1965).

        k_eff is (Σλ)² / Σλ² of the eigenvalues of the correlations. A sum of squared errors over the columns varies as
        one over k_eff independent ones would.
        """
        return 1.0 + float(np.square(self.correlations).sum()) / max(1, len(self.z))

    def precision(self, other: "Structure") -> float:
        """One over the variance of the difference of two z, 1.06/(n−3) each (Fieller, Hartley & Pearson, 1957)."""
        return 1.0 / (1.06 / max(1, self.rows - 3) + 1.06 / max(1, other.rows - 3))

    def exchanged(self, i: int, j: int) -> "Structure":
        """With columns ``i`` and ``j`` in each other's place."""
        order: Ints = np.arange(len(self.z))
        order[[i, j]] = j, i
        return replace(self, z=self.z[np.ix_(order, order)], varies=self.varies[order])

    def without(self, j: int) -> "Structure":
        """As if column ``j`` had no correlations."""
        z = self.z.copy()
        z[j, :] = z[:, j] = 0.0
        return replace(self, z=z)

    def kept(self, window: "Structure") -> tuple[Floats, Floats]:
        """How much of every column's correlations is left in a window, and by how many standard errors it fell.

        The slope of the window's z on the history's, through 0: 1 as before, 0 come apart, −1 reversed; shape (k,).
        Columns without correlations to lose have 1 and 0. No column can lose more than it had: a slope below 0 counts
        as 0, because that of hardly any correlations is noise of any size. The errors of one column's correlations
        hang together as the other columns do: see :attr:`coherence`.
        """
        old = self.z * window.varies  # a column that is one value in the window says nothing of the others
        own = np.square(old).sum(axis=1)
        slope = np.where(own > 0.0, (old * window.z).sum(axis=1) / np.where(own > 0.0, own, 1.0), 1.0)
        return slope, (1.0 - np.maximum(slope, 0.0)) * np.sqrt(own * self.precision(window) / self.coherence)

    @cached_property
    def coherence(self) -> Floats:
        """How many times as large the variance of a column's slope is as if its correlations erred by themselves: (k,).

        Σ z_c z_d γ_cd / Σ z_c² with the asymptotic correlation γ of two coefficients that share the column (Olkin &
        Siotani, 1976; Steiger, Psychological Bulletin 87 (1980) 245-251, equation 3).
        """
        r = self.correlations
        between, found = r + np.eye(len(r)), np.ones(len(r))
        for j in np.flatnonzero(np.square(self.z).sum(axis=1) > 0.0).tolist():
            own, z = r[j], self.z[j]
            left = 1.0 - np.square(own)
            rest = left[:, None] - np.square(own)[None, :]
            shared = between * rest - 0.5 * np.outer(own, own) * (rest - np.square(between))
            np.fill_diagonal(shared, np.square(left))
            found[j] = z @ (shared / np.outer(left, left)) @ z / (z @ z)
        return np.maximum(found, 0.1)

    def misfits(self, window: "Structure") -> tuple[Floats, Floats]:
        """How badly a window fits this history, for every pair of columns: in place, and in each other's place.

        Squared differences in standard errors, summed over the pair's correlations with all other columns: (k, k).
        """
        both = np.outer(window.varies, window.varies)
        old, new = self.z * both, window.z * both
        gap = np.square(new - old)
        total = gap.sum(axis=1)
        placed = total[:, None] + total[None, :] - 2.0 * gap
        # Σ over c ≠ i, j of (new[i, c] − old[j, c])², by expanding the square.
        across = np.square(new).sum(axis=1)[:, None] + np.square(old).sum(axis=1)[None, :] - 2.0 * new @ old.T
        across = across - np.square(old) - np.square(new)
        scale = self.precision(window)
        return placed * scale, (across + across.T) * scale


def ranks_of(rows: Floats) -> Floats:
    """Ranks within each column of (n, k) rows, scaled to 0..1 with the mean ½; a missing value takes the middle."""
    from scipy.stats import rankdata

    ranks = np.full(rows.shape, 0.5)
    for j, column in enumerate(rows.T):
        present = ~np.isnan(column)
        ranks[present, j] = (rankdata(column[present]) - 0.5) / max(1, np.count_nonzero(present))
    return ranks


def distances(one: Floats, other: Floats, covariance: Floats) -> Floats:
    """Squared Mahalanobis distances (a, b) of all rows of ``one`` (a, k) from those of ``other`` (b, k).

    The covariance (k, k) is divided out of the rows before they are paired: a thousand levels make a million pairs.
    """
    from scipy.spatial.distance import cdist

    root = np.linalg.cholesky(covariance)
    apart: Floats = cdist(*(np.linalg.solve(root, rows.T).T for rows in (one, other)), "sqeuclidean")
    return apart
