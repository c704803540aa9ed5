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
LEAST_BEFORE: Final = 200  # rows before a column first came, and after: fewer tell nothing
LEAST_EXPECTED: Final = 5.0  # in a bin; rarer ones are counted together
CHANCE: Final = 1e-3  # p-value below which a period of the history differs from the others
WEEKDAYS: Final = 1e-6  # p-value below which weekdays differ
TOGETHER: Final = 0.98  # of the pairs of rows of one day have the same value: a path
YEAR: Final = 365.25  # days
THIRTEEN_MONTHS: Final = 395  # days
LEAST_SEASON: Final = 100  # rows of the same weeks of earlier years
LEAST_DAYS: Final = 28  # of such weeks: around a shorter window more days are taken
LONGEST: Final = 92  # days of a window that has a season
SWING: Final = 0.02  # mean PSI beyond chance between the months of a year, and
REPEATS: Final = 4.0  # times as large as between the same months of two years: a season
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

    def of(self, columns: Ints) -> "Course":
        """What it says of these columns and the score."""
        part = object.__new__(Course)
        chosen = [*columns.tolist(), len(self._sizes) - 1]
        part.days, part._usual = self.days, {}
        part._sizes, part._members = [self._sizes[j] for j in chosen], [self._members[j] for j in chosen]
        part.paths = frozenset(place for place, j in enumerate(columns.tolist()) if j in self.paths)
        return part

    def usual(self, length: int) -> Floats:
        """The PSI beyond chance by which the history's own periods of ``length`` days differ; (k + 1,), score last."""
        if length not in self._usual:
            periods = self._periods(length)
            self._usual[length] = np.asarray([self._moves(j, periods) for j in range(len(self._sizes))])
        return self._usual[length]

    def since(self, j: int) -> tuple[int, Ints] | None:
        """The day on which column ``j`` first came and its counts from then on; None where it was there all along.

        A column that a form or a supplier brought is missing in all rows before. Against a pool with these, and with
        periods without it, no change of its values would ever be seen.
        """
        first = self._begins(j)
        return None if first is None else (first, self._counts(j, self.days >= first))

    def _begins(self, j: int) -> int | None:
        there = self.days[self._members[j] != self._sizes[j] - 1]  # the last bin is that of missing values
        if not there.size:
            return None
        before = int(np.count_nonzero(self.days < there.min()))
        return int(there.min()) if min(before, self.days.size - before) >= LEAST_BEFORE else None

    def share(self, j: int, member: int, length: int) -> float:
        """The largest share of bin ``member`` of column ``j`` in one of the history's periods of ``length`` days."""
        there = self._members[j] == member
        return max((float(there[period].mean()) for period in self._periods(length)), default=0.0)

    def fresh(self, j: int, ago: int, length: int) -> tuple[int, int]:
        """How many of the latest ``length`` days' values were not there up to ``ago`` days before the end, and of all.

        Levels go on coming, as dealers and branches open: so many are new to a window that ends so long after the
        history. At most half of the history is looked back.
        """
        before = int(self.days.max()) - min(ago, int(np.ptp(self.days)) // 2)
        seen = np.unique(self._members[j][self.days <= before])
        latest = self._members[j][(self.days > before) & (self.days > int(self.days.max()) - length)]
        return int(np.count_nonzero(np.isin(latest, seen, invert=True))), latest.size

    def run(self, j: int) -> tuple[int, int, int, int, int, float] | None:
        """How column ``j``, counted by value, runs on: its lowest and highest value in the first half, then in all.

        Then the days that the second half took, and the share of the latest month's values that the first half had
        not. Values are given by their places in its bins; None where a half has none.
        """
        there, half = self._members[j] < self._sizes[j] - 2, int(self.days.min() + self.days.max()) // 2
        early, every = self._members[j][there & (self.days <= half)], self._members[j][there]
        if not early.size:
            return None
        end = int(self.days.max())
        new, rows = self.fresh(j, end - half, min(end - half, LEAST_DAYS))
        ends = int(early.min()), int(early.max()), int(every.min()), int(every.max())
        return *ends, end - half, new / max(1, rows)

    def weekday(self, j: int, day: int) -> Ints | None:
        """Counts of column ``j`` on days of the same weekday as ``day``; None where weekdays do not differ."""
        if not self._differs[j]:
            return None
        same = (self.days - day) % WEEK == 0
        return self._counts(j, same) if np.count_nonzero(same) >= LEAST_ROWS else None

    def season(self, j: int, first: int, length: int) -> tuple[Ints, float] | None:
        """Counts of column ``j`` in the same weeks of earlier years as the ``length`` days from day ``first`` on.

        Beside them the PSI beyond chance by which those weeks differed from year to year; 0 where there is one year.
        None where the history covers less than 13 months, or too few rows of these weeks.
        """
        if length > LONGEST or int(np.ptp(self.days)) + 1 < THIRTEEN_MONTHS:
            return None
        wider = max(0, LEAST_DAYS - length) // 2
        start = first - wider
        there = ((self.days - start) % YEAR < length + 2 * wider) & (self.days < start - YEAR / 2.0)
        if np.count_nonzero(there) < LEAST_SEASON:
            return None
        year = np.floor((self.days - start) / YEAR)
        years = [np.flatnonzero(there & (year == y)) for y in np.unique(year[there])]
        return self._counts(j, there), self._apart(j, [rows for rows in years if rows.size >= LEAST_SEASON])

    def _apart(self, j: int, parts: list[Ints]) -> float:
        """The most by which one part's PSI against the others exceeds chance, where it is beyond chance."""
        whole = sum((self._counts(j, part) for part in parts), np.zeros(self._sizes[j], dtype=np.int64))
        most = 0.0
        for part in parts if len(parts) > 1 else ():
            now = self._counts(j, part)
            most = max(most, _beyond(whole - now, now, CHANCE / len(parts)))
        return most

    @cached_property
    def seasonal(self) -> frozenset[int]:
        """Columns whose months differ as they did a year before; one year cannot tell a season from a change."""
        if int(np.ptp(self.days)) + 1 < 2.0 * YEAR - 1.0:
            return frozenset()
        month = np.floor((self.days - self.days.max() - 1) / (YEAR / 12.0)).astype(np.int64)  # -1, -2 … backwards
        parts = {m: np.flatnonzero(month == m) for m in range(-24, 0)}
        if min(part.size for part in parts.values()) < LEAST_ROWS:
            return frozenset()
        return frozenset(j for j in range(len(self._sizes) - 1) if self._repeats(j, parts))

    def _repeats(self, j: int, parts: dict[int, Ints]) -> bool:
        months = {m: np.bincount(self._members[j][part], minlength=self._sizes[j]) for m, part in parts.items()}
        same = [_excess(months[m - 12], months[m]) for m in range(-12, 0)]
        half = [_excess(months[m - 6], months[m]) for m in range(-12, 0)]
        swing = float(np.mean(half))
        surely = sum(_beyond(months[m - 6], months[m], CHANCE) > 0.0 for m in range(-6, 0)) >= 2
        return surely and swing > SWING and swing > REPEATS * float(np.mean(same))

    def _counts(self, j: int, rows: Bools | Ints | slice) -> Ints:
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
        first = self._begins(j)
        if first is not None:
            cut = [period[self.days[period] >= first] for period in periods]
            periods = [period for period in cut if period.size >= LEAST_ROWS]
        whole = self._counts(j, slice(None) if first is None else self.days >= first)
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


def _excess(before: Ints, now: Ints) -> float:
    """PSI less what chance gives on average."""
    before, now = pooled(before, now)
    chance = (1.0 / max(1, int(now.sum())) + 1.0 / max(1, int(before.sum()))) * (len(now) - 1)
    return psi(before, now) - chance


def _beyond(before: Ints, now: Ints, alpha: float) -> float:
    """PSI less what chance gives on average, where chance gives such a PSI more rarely than ``alpha``; else 0."""
    first, second = pooled(before, now)
    n, m, used = int(second.sum()), int(first.sum()), len(second)
    if used < 2 or min(n, m) < LEAST_ROWS or psi(first, second) <= psi_critical(n, m, used, alpha):
        return 0.0
    return max(0.0, _excess(before, now))


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
