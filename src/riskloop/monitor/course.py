"""How the history itself runs over time: what a window may do without being anything new.

A pool forgets the order of its rows. Against it, each quarter in which a flag is off looks stuck, each weekend looks
like other customers, and each interest rate like a broken feed. So a window is held against the history's own periods
of the same length, a day against days of the same weekday where weekdays differ, and a column that is the same for all
customers of a day is no distribution at all but a path.
"""

from functools import cached_property
from typing import Final

import numpy as np

from riskloop.core.stats import Bins, psi, psi_critical
from riskloop.core.types import Bools, Floats, Ints

WEEK: Final = 7
LEAST_PERIODS: Final = 3
MOST_PERIODS: Final = 60  # further ones are left out evenly: they cost time and say the same
LEAST_ROWS: Final = 50  # in a period
LEAST_EXPECTED: Final = 5.0  # in a bin; rarer ones are counted together
CHANCE: Final = 1e-3  # p-value below which a period of the history differs from the others
WEEKDAYS: Final = 1e-6  # p-value below which weekdays differ
TOGETHER: Final = 0.98  # of the pairs of rows of one day have the same value: a path
ALIKE: Final = 0.8  # of all pairs have it: a constant, which is no path


class Course:
    """The reference's rows by day: ``days`` (m,) since the epoch, and the values (m, k) and scores (m,) of its rows."""

    def __init__(self, days: Ints, X: Floats, scores: Floats, bins: tuple[Bins, ...], score_bins: Bins) -> None:
        self.days = days
        self._sizes = [len(b) for b in (*bins, score_bins)]
        columns = [*X.T, scores]
        self._members = [b.assign(c) for b, c in zip((*bins, score_bins), columns, strict=True)]
        self.paths = frozenset(j for j, column in enumerate(X.T) if is_path(days, column))
        self._usual: dict[int, Floats] = {}

    def usual(self, length: int) -> Floats:
        """The PSI beyond chance by which the history's own periods of ``length`` days differ; (k + 1,), score last."""
        if length not in self._usual:
            periods = self._periods(length)
            self._usual[length] = np.asarray([self._moves(j, periods) for j in range(len(self._sizes))])
        return self._usual[length]

    def share(self, j: int, member: int, length: int) -> float:
        """The largest share of bin ``member`` of column ``j`` in one of the history's periods of ``length`` days."""
        there = self._members[j] == member
        return max((float(there[period].mean()) for period in self._periods(length)), default=0.0)

    def weekday(self, j: int, day: int) -> Ints | None:
        """Counts of column ``j`` on days of the same weekday as ``day``; None where weekdays do not differ."""
        if not self._differs[j]:
            return None
        same = (self.days - day) % WEEK == 0
        return self._counts(j, same) if np.count_nonzero(same) >= LEAST_ROWS else None

    def _counts(self, j: int, rows: Bools) -> Ints:
        return np.bincount(self._members[j][rows], minlength=self._sizes[j]).astype(np.int64)

    def _periods(self, length: int) -> list[Ints]:
        number = (self.days - self.days.min()) // length
        order = np.argsort(number, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
        usable = [part for part in parts if part.size >= LEAST_ROWS]
        if len(usable) < LEAST_PERIODS:
            return []
        step = -(-len(usable) // MOST_PERIODS)
        return usable[::step]

    def _moves(self, j: int, periods: list[Ints]) -> float:
        """The most by which one period's PSI against the others exceeds what chance gives on average."""
        whole = np.bincount(self._members[j], minlength=self._sizes[j])
        most = 0.0
        for period in periods:
            now = np.bincount(self._members[j][period], minlength=self._sizes[j])
            before, now = pooled(whole - now, now)
            n, m, used = int(now.sum()), int(before.sum()), len(now)
            if used < 2 or m < LEAST_ROWS:
                continue
            statistic = psi(before, now)
            if statistic > psi_critical(n, m, used, CHANCE / len(periods)):
                most = max(most, statistic - (1.0 / n + 1.0 / m) * (used - 1))
        return most

    @cached_property
    def _differs(self) -> list[bool]:
        from scipy.special import chdtrc

        weekday = self.days % WEEK
        found = []
        for j, size in enumerate(self._sizes):
            table = np.zeros((WEEK, size))
            np.add.at(table, (weekday, self._members[j]), 1.0)
            table = table[table.sum(axis=1) > 0.0]
            expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
            common = expected.min(axis=0) >= LEAST_EXPECTED
            rare = ~common
            merged = np.column_stack((table[:, common], table[:, rare].sum(axis=1)))
            expected = merged.sum(axis=1, keepdims=True) * merged.sum(axis=0) / merged.sum()
            used = expected.min(axis=0) > 0.0
            degrees = (len(merged) - 1) * (int(used.sum()) - 1)
            gaps = (np.square(merged - expected)[:, used] / expected[:, used]).sum()
            found.append(degrees > 0 and float(chdtrc(degrees, gaps)) < WEEKDAYS)
        return found


def pooled(expected: Ints, actual: Ints) -> tuple[Ints, Ints]:
    """Both counts with the bins put together of which too few are expected for a χ² to hold."""
    share = actual.sum() / max(1, expected.sum())
    rare = expected * min(1.0, share) < LEAST_EXPECTED
    if np.count_nonzero(rare) < 2:
        return expected, actual
    merged = [np.append(counts[~rare], counts[rare].sum()) for counts in (expected, actual)]
    return merged[0], merged[1]


def is_path(days: Ints, column: Floats) -> bool:
    """Whether ``column`` (m,) is the same for all rows of a day, and not of all days; missing values are one value.

    By pairs of rows: nearly all of one day agree, and by far not all of different days do.
    """
    _, value = np.unique(column, return_inverse=True, equal_nan=True)
    counts = np.bincount(value).astype(np.float64)
    alike = float(np.square(counts).sum()) / column.size**2
    if alike > ALIKE:
        return False
    order = np.lexsort((value, days))
    same_day = days[order][1:] == days[order][:-1]
    if np.count_nonzero(same_day) < LEAST_ROWS:
        return False
    # Sorted by value within the day, a day with k values breaks k − 1 times.
    agrees = value[order][1:] == value[order][:-1]
    return float(agrees[same_day].mean()) > TOGETHER and _days_agree(days[order], value[order])


def _days_agree(days: Ints, value: Ints) -> bool:
    """Whether nearly every day with several rows has one value, so that few rows a day prove nothing by themselves."""
    starts = np.flatnonzero(np.append(True, np.diff(days) != 0))
    sizes = np.diff(np.append(starts, days.size))
    several = sizes >= 2
    first, last = value[starts], value[starts + sizes - 1]
    return float((first == last)[several].mean()) > TOGETHER
