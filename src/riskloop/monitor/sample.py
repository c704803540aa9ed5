"""A bounded sample of a window's rows that merges exactly: the rows with the smallest hashes.

Which rows are kept depends on their content alone, so the sample of the parts' union is the sample of the whole,
whatever the order (bottom-k sampling; Cohen & Kaplan, PODC 2007). It is uniform over the *distinct* rows; how often
each of them came is counted, and a row that came twice is a duplicate.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from riskloop.core.types import Floats, Ints

Hashes = npt.NDArray[np.uint64]

CAPACITY: Final = 2048

_SOME: Final = 16  # times the capacity are the hashes that are sorted for a first bound

_GOLDEN: Final = 0x9E3779B97F4A7C15
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_MASK: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class RowSample:
    """Up to ``capacity`` distinct rows of a window with their numbers of copies, in the order of their hashes."""

    capacity: int
    hashes: Hashes  # (s,) ascending, all different
    copies: Ints  # (s,) at least 1
    rows: Floats  # (s, k); -0.0 is written 0.0, and NaN in one way

    @classmethod
    def empty(cls, columns: int, capacity: int = CAPACITY) -> "RowSample":
        """The sample of no rows."""
        return cls(capacity, np.empty(0, np.uint64), np.empty(0, np.int64), np.empty((0, columns)))

    @classmethod
    def of(cls, hashes: Hashes, rows: Floats, capacity: int = CAPACITY) -> "RowSample":
        """From the hashes, shape (n,), and the rows, shape (n, k)."""
        index = _candidates(hashes, capacity)
        smallest, first, copies = np.unique(hashes[index], return_index=True, return_counts=True)
        kept = np.add(rows[index[first[:capacity]]], 0.0, dtype=np.float64)
        kept[np.isnan(kept)] = np.nan
        return cls(capacity, smallest[:capacity], copies[:capacity].astype(np.int64), kept)

    @property
    def bound(self) -> int:
        """A row with a larger hash than this cannot enter any more."""
        return int(self.hashes[-1]) if self.hashes.size == self.capacity else _MASK

    def __add__(self, other: "RowSample") -> "RowSample":
        """The sample of both windows' rows."""
        capacity = min(self.capacity, other.capacity)
        hashes = np.concatenate((self.hashes, other.hashes))
        rows = np.concatenate((self.rows, other.rows))
        copies = np.concatenate((self.copies, other.copies))
        distinct, first, member = np.unique(hashes, return_index=True, return_inverse=True)
        total = np.zeros(distinct.size, dtype=np.int64)
        np.add.at(total, member, copies)
        return RowSample(capacity, distinct[:capacity], total[:capacity], rows[first[:capacity]])

    @property
    def expanded(self) -> Floats:
        """The sampled rows, each as often as it came."""
        rows: Floats = np.repeat(self.rows, self.copies, axis=0)
        return rows

    @property
    def repeats(self) -> int:
        """Sampled rows that are a copy of another one."""
        return int(self.copies.sum() - self.copies.size)


@cache
def multipliers(columns: int) -> Hashes:
    """An odd 64-bit number a column, shape (columns,), the same for ever: stored hashes depend on them."""
    odd = np.asarray([_mixed((i + 1) * _GOLDEN & _MASK) | 1 for i in range(columns)], dtype=np.uint64)
    odd.flags.writeable = False  # one array for all
    return odd


def row_hashes(columns: Floats, space: Hashes | None = None, out: Hashes | None = None) -> Hashes:
    """64-bit hashes of the rows of ``columns``, shape (k, n), without -0.0 and with one kind of NaN only.

    The upper half of a double is folded into the lower one, times the column's odd number, summed over the columns,
    then the finisher of splitmix64 (Steele, Lea & Flood, OOPSLA 2014). Without the fold, doubles of whole amounts
    would end in zeros, and so would their products. ``space`` of the same shape is written to, where one is given, and
    the hashes to ``out``, shape (n,).
    """
    bits = columns.view(np.uint64)
    folded: Hashes = np.right_shift(bits, np.uint64(32), out=space)
    folded ^= bits
    folded *= multipliers(len(columns))[:, None]
    total: Hashes = np.add.reduce(folded, axis=0, out=out)
    total ^= total >> np.uint64(30)
    total *= _MIX[0]
    total ^= total >> np.uint64(27)
    total *= _MIX[1]
    total ^= total >> np.uint64(31)
    return total


def _mixed(number: int) -> int:
    number = (number ^ number >> 30) * int(_MIX[0]) & _MASK
    number = (number ^ number >> 27) * int(_MIX[1]) & _MASK
    return number ^ number >> 31


def _candidates(hashes: Hashes, capacity: int) -> Ints:
    """The rows of the ``capacity`` smallest different hashes, with all their copies; more where hashes are few.

    Sorting some hashes bounds them all, and sorting those within the bound gives the exact one: much faster than to
    sort all of them with their places.
    """
    index = np.flatnonzero(hashes <= _bound(hashes[: _SOME * capacity], capacity))
    return index[hashes[index] <= _bound(hashes[index], capacity)]


def _bound(hashes: Hashes, capacity: int) -> np.uint64:
    """The ``capacity``-th of the different hashes, or the largest number where they are fewer."""
    ordered = np.sort(hashes)
    distinct = ordered[np.append(ordered[1:] != ordered[:-1], True)[: ordered.size]]
    return distinct[capacity - 1] if distinct.size >= capacity else np.uint64(_MASK)
