"""The reference's bins for one feature: where PSI, profiles and calibration groups count."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.types import Floats, Ints, Json

MISSING: Final = "missing"
UNSEEN: Final = "unseen"

_BLOCK = 8192  # rows whose comparisons with all points stay in the processor's cache

# One comparison per point beats a binary search per row up to about this many points (measured on 1M rows).
_MANY_POINTS = 256


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
        if len(self.points) > _MANY_POINTS:
            return np.bincount(self.assign(column), minlength=len(self)).astype(np.int64)
        compare = np.less_equal if self.kind == "intervals" else np.equal
        points = np.asarray(self.points, dtype=np.float64)[:, None]
        truth = np.empty((len(self.points), min(column.size, _BLOCK)), dtype=np.bool_)
        within = np.zeros(len(self.points), dtype=np.int64)
        for start in range(0, column.size, _BLOCK):
            part = column[start : start + _BLOCK]
            held = compare(part, points, out=truth[:, : part.size])
            within += np.fromiter((np.count_nonzero(row) for row in held), dtype=np.int64, count=len(held))
        missing = np.count_nonzero(np.isnan(column))
        if self.kind == "intervals":
            return np.diff([0, *within, column.size - missing, column.size]).astype(np.int64)
        return np.asarray([*within, column.size - missing - within.sum(), missing], dtype=np.int64)

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

    @classmethod
    def from_json(cls, data: Json) -> "Bins":
        """The inverse of :meth:`to_json`; raises DataError for anything else."""
        try:
            kind, points, names = data["kind"], data["points"], data["names"]
            return cls(kind, tuple(float(p) for p in points), tuple(str(n) for n in names))
        except (KeyError, TypeError, ValueError) as broken:
            raise DataError(f"These are not stored bins ({broken!r}): {_shortened(data)}") from broken


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


def _finite(points: Floats) -> tuple[float, ...]:
    return tuple(float(p) for p in points if np.isfinite(p))


def _numbers(points: tuple[float, ...]) -> tuple[str, ...]:
    """Short where short tells them apart, else in full."""
    shown = tuple(f"{p:,.0f}" if abs(p) < 1e15 and (p.is_integer() or abs(p) >= 1e4) else f"{p:.4g}" for p in points)
    return shown if len(set(shown)) == len(shown) else tuple(repr(p) for p in points)


def _shortened(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 100 else text[:97] + "…"
