"""The reference's bins for one feature: where PSI, profiles and calibration groups count."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.types import Floats, Ints, Json

MISSING: Final = "missing"
UNSEEN: Final = "unseen"

# One comparison per point beats a binary search per row up to about this many points (measured on 1M rows).
_MANY_POINTS: Final = 256
_FULL: Final = 255  # blocks that a byte can count
_TOGETHER: Final = 64  # points of columns that are compared by one call


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins of one feature, in a fixed order; the last one counts the missing values (NaN).

    ``intervals``: (−∞, p₁], (p₁, p₂], …, (pₖ, ∞), missing. The outer bins are open: nothing is unseen.
    ``values``: exactly p₁, exactly p₂, …, unseen (any other number, ±∞ included), missing.
    """

    kind: Literal["intervals", "values"]
    points: tuple[float, ...]  # finite, strictly increasing
    names: tuple[str, ...] = ()  # for people, one per point of ``values``; empty: the numbers themselves

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=np.float64)
        if self.kind not in ("intervals", "values"):
            raise DataError(f"Bins are 'intervals' or 'values', not {self.kind!r}.")
        if not (np.isfinite(points).all() and (points[1:] > points[:-1]).all()):
            raise DataError(f"The points of bins must be finite and strictly increasing, not {self.points}.")
        if self.names and (self.kind != "values" or len(self.names) != len(self.points)):
            raise DataError(f"There are {len(self.names)} names for {len(self.points)} points of {self.kind}.")

    def __len__(self) -> int:
        """The number of bins, missing and unseen included."""
        return len(self.points) + 2

    @property
    def labels(self) -> tuple[str, ...]:
        """One label per bin for people, in the order of :meth:`count`."""
        if self.kind == "values":
            return (*(self.names or _numbers(self.points)), UNSEEN, MISSING)
        if not self.points:
            return ("any value", MISSING)
        shown = _numbers(self.points)
        between = (f"{low} to {high}" for low, high in pairwise(shown))
        return (f"up to {shown[0]}", *between, f"over {shown[-1]}", MISSING)

    def count(self, x: npt.ArrayLike) -> Ints:
        """How many of ``x``, shape (n,), fall into each bin: shape (len(self),), adding up to n."""
        column = _column(x)
        counter = BinCounter((self,), min(column.size, BinCounter.BLOCK))
        for start in range(0, column.size, BinCounter.BLOCK):
            counter.add(column[None, start : start + BinCounter.BLOCK])
        return counter.counts(column.size, np.asarray([np.count_nonzero(np.isnan(column))]))[0]

    def assign(self, x: npt.ArrayLike) -> Ints:
        """The number of the bin of every row of ``x``, shape (n,)."""
        column = _column(x)
        points = np.asarray(self.points, dtype=np.float64)
        index: Ints = np.searchsorted(points, column, side="left").astype(np.int64)
        if self.kind == "values":
            padded = np.append(points, np.nan)  # NaN equals nothing, so what lies above the last is unseen
            index[padded[index] != column] = len(points)
        index[np.isnan(column)] = len(self) - 1
        return index

    def to_json(self) -> Json:
        """Plain JSON; floats survive the round trip exactly."""
        return {"kind": self.kind, "points": list(self.points), "names": list(self.names)}


class _Run(NamedTuple):
    """Neighbouring columns whose bins have one kind and one number of points: one call compares them all."""

    columns: slice
    points: Floats  # (g, p, 1)
    own: slice  # where these points are among those of all columns
    compare: np.ufunc


class BinCounter:
    """Counts blocks of several columns: every value is compared with every point of its column's bins.

    Comparisons give bytes, 0 or 1. Adding those of the blocks up in bytes, place by place, and counting them once for
    many blocks is several times faster than counting each block.
    """

    BLOCK: Final = 8192  # rows whose comparisons with some columns' points stay in the processor's cache

    def __init__(self, bins: Sequence[Bins], block: int = BLOCK) -> None:
        """For ``k`` columns in blocks of up to ``block`` rows."""
        self._bins = bins
        ends = list(accumulate((len(b.points) for b in bins), initial=0))
        self._own = [slice(start, end) for start, end in pairwise(ends)]  # each column's points among all of them
        self._searched = [j for j, b in enumerate(bins) if len(b.points) > _MANY_POINTS]
        self._runs = list(_runs(bins, self._own))
        self._held = np.zeros(ends[-1], dtype=np.int64)  # rows up to a point, or exactly at it
        self._sums = np.zeros((ends[-1], block), dtype=np.uint8)
        longest = max((run.own.stop - run.own.start for run in self._runs), default=0)
        self._truth = np.empty((longest, block), dtype=np.bool_)
        self._added = 0

    def add(self, columns: Floats) -> None:
        """Count ``columns``, shape (k, n)."""
        n = columns.shape[1]
        for run in self._runs:
            sums = self._sums[run.own, :n]
            truth = self._truth[: len(sums), :n]
            run.compare(columns[run.columns, None], run.points, out=truth.reshape(*run.points.shape[:2], n))
            np.add(sums, truth.view(np.uint8), out=sums)
        for j in self._searched:
            self._held[self._own[j]] += _held(self._bins[j], columns[j])
        self._added += 1
        if self._added == _FULL:
            self._empty()

    def counts(self, rows: int, missing: Ints) -> tuple[Ints, ...]:
        """Each column's rows in its bins; ``rows`` were added, and ``missing`` of them, shape (k,), are NaN."""
        self._empty()
        counts = []
        for bins, own, nan in zip(self._bins, self._own, missing, strict=True):
            held, present = self._held[own], rows - nan
            if bins.kind == "intervals":
                counts.append(np.diff([0, *held, present, rows]).astype(np.int64))
            else:
                counts.append(np.asarray([*held, present - held.sum(), nan], dtype=np.int64))
        return tuple(counts)

    def _empty(self) -> None:
        """Take over what the bytes have counted, before they are full."""
        self._held += self._sums.sum(axis=1, dtype=np.uint32)
        self._sums[:] = 0
        self._added = 0


def fit_numeric_bins(x: npt.ArrayLike, n_bins: int = 10, max_distinct: int = 12) -> Bins:
    """Bins of a numeric column ``x`` of the reference, shape (n,).

    Up to ``max_distinct`` different values get a bin each. Otherwise quantiles (deciles by default) cut it, taken
    from the sample itself, so that ties merge and nothing is interpolated between infinities or huge numbers.
    """
    column = _column(x)
    ordered = np.sort(column)  # NaN last
    ordered = ordered[: column.size - np.count_nonzero(np.isnan(column))]
    distinct = ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))] if ordered.size else ordered
    # Values that hardly repeat are a small sample of a continuum, not a list of what can occur.
    if 0 < distinct.size <= min(max_distinct, ordered.size / 2):
        return Bins("values", _finite(distinct))
    ranks = np.ceil(np.arange(1, n_bins) * ordered.size / n_bins).astype(np.int64) - 1
    return Bins("intervals", _finite(np.unique(ordered[ranks])) if ordered.size else ())


def level_bins(levels: tuple[str, ...] | list[str]) -> Bins:
    """Bins of a categorical column that arrives as float codes: k is ``levels[k]``, NaN is missing, all else unseen."""
    return Bins("values", tuple(float(k) for k in range(len(levels))), tuple(levels))


def _column(x: npt.ArrayLike) -> Floats:
    column = np.ascontiguousarray(x, dtype=np.float64)
    if column.ndim != 1:
        raise DataError(f"Bins count one column at a time, not an array of shape {column.shape}.")
    return column


def _runs(bins: Sequence[Bins], own: Sequence[slice]) -> Iterator[_Run]:
    """All columns that are not searched, in as few runs as the processor's cache allows."""
    numbered = groupby(enumerate(bins), key=lambda item: (item[1].kind, len(item[1].points)))
    for (kind, size), members in numbered:
        if 0 < size <= _MANY_POINTS:
            columns, most = [j for j, _ in members], max(1, _TOGETHER // size)
            for group in (columns[i : i + most] for i in range(0, len(columns), most)):
                points = np.asarray([bins[j].points for j in group], dtype=np.float64)[:, :, None]
                where = slice(own[group[0]].start, own[group[-1]].stop)
                compare = np.less_equal if kind == "intervals" else np.equal
                yield _Run(slice(group[0], group[-1] + 1), points, where, compare)


def _held(bins: Bins, column: Floats) -> Ints:
    """Rows up to each point of intervals, exactly at each of values."""
    counts = np.bincount(bins.assign(column), minlength=len(bins))[: len(bins.points)]
    return np.cumsum(counts) if bins.kind == "intervals" else counts


def _finite(points: Floats) -> tuple[float, ...]:
    return tuple(float(p) for p in points if np.isfinite(p))


def _numbers(points: tuple[float, ...]) -> tuple[str, ...]:
    """Short where short tells them apart, else in full."""
    shown = tuple(f"{p:,.0f}" if abs(p) < 1e15 and (p.is_integer() or abs(p) >= 1e4) else f"{p:.4g}" for p in points)
    return shown if len(set(shown)) == len(shown) else tuple(repr(p) for p in points)
