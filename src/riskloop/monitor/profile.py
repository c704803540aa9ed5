"""What is kept of a window: counts that add up exactly, and a sample of rows that merges exactly.

A profile holds nothing that depends on the order or the partition of the rows, so the profile of the parts' union
is the profile of the whole, bit for bit. There is no floating-point sum in it: the score is summed in units of
2⁻⁴⁰, and moments of features are those of the row sample.
"""

import hashlib
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import msgspec
import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.schema import Schema
from riskloop.core.stats import BinCounter, Bins, fit_numeric_bins, level_bins
from riskloop.core.types import DAY, Floats, Ints
from riskloop.monitor.course import Course
from riskloop.monitor.plausible import Plausible
from riskloop.monitor.sample import CAPACITY, Hashes, RowSample, row_hashes
from riskloop.monitor.structure import Structure, ranks_of

FORMAT: Final = 1  # of `Profile.to_bytes`; a reader of older numbers stays when it rises
BLOCK: Final = BinCounter.BLOCK
_STRIP: Final = 1024  # rows that are turned into columns at a time, within the processor's cache
SCORE_UNIT: Final = 2.0**-40
MOST_PARTS: Final = 24  # of the history, which say how steady correlations are
LEAST_OF_PART: Final = 100  # rows
_SUMMED: Final = 2**16  # scores at a time, whose sum in units is an int64


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A window's summary over one reference's bins. ``+`` gives the profile of both windows' rows."""

    reference: str  # fingerprint of the bins that were counted in
    rows: int
    counts: tuple[Ints, ...]  # a feature each: rows in its bins, the last one missing
    score_counts: Ints
    score_total: int  # sum of the scores in units of 2⁻⁴⁰
    low: Floats  # (k,) smallest value, +inf where none is present
    high: Floats  # (k,) largest value, -inf where none is present
    below: Ints  # (k,) rows farther below the reference's range than it is wide
    above: Ints  # (k,) rows farther above it
    days: Ints  # (d, 2): day since the epoch, ascending, and its rows; empty where times are unknown
    sample: RowSample

    def __add__(self, other: "Profile") -> "Profile":
        if self.reference != other.reference:
            raise DataError(
                f"Profiles over different bins cannot be added ({self.reference} and {other.reference}); "
                "profile both windows with the same reference."
            )
        return Profile(
            reference=self.reference,
            rows=self.rows + other.rows,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            score_counts=self.score_counts + other.score_counts,
            score_total=self.score_total + other.score_total,
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
            below=self.below + other.below,
            above=self.above + other.above,
            days=_day_counts(np.concatenate((self.days, other.days))),
            sample=self.sample + other.sample,
        )

    @property
    def length(self) -> int:
        """Days from the first one with rows to the last; 0 where times are unknown."""
        return int(self.days[-1, 0] - self.days[0, 0]) + 1 if len(self.days) else 0

    def of(self, columns: Ints) -> "Profile":
        """What it says of these columns alone."""
        return replace(
            self,
            counts=tuple(self.counts[j] for j in columns),
            low=self.low[columns],
            high=self.high[columns],
            below=self.below[columns],
            above=self.above[columns],
            sample=replace(self.sample, rows=self.sample.rows[:, columns]),
        )

    @property
    def missing(self) -> Ints:
        """Missing values of every feature, shape (k,)."""
        return np.asarray([counts[-1] for counts in self.counts], dtype=np.int64)

    def to_bytes(self) -> bytes:
        """MessagePack of plain numbers and little-endian arrays, compressed. Equal profiles give equal bytes."""
        values = {
            "format": FORMAT,
            "reference": self.reference,
            "rows": self.rows,
            "bins": [len(counts) for counts in (*self.counts, self.score_counts)],
            "counts": _packed(np.concatenate((*self.counts, self.score_counts)), "<i8"),
            "score_total": str(self.score_total),
            "range": _packed(np.stack((self.low, self.high)), "<f8"),
            "outside": _packed(np.stack((self.below, self.above)), "<i8"),
            "days": _packed(self.days, "<i8"),
            "capacity": self.sample.capacity,
            "hashes": _packed(self.sample.hashes, "<u8"),
            "copies": _packed(self.sample.copies, "<i8"),
            "sample": _packed(self.sample.rows, "<f8"),
        }
        return zlib.compress(msgspec.msgpack.encode(values), level=1)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Profile":
        """The inverse of :meth:`to_bytes`; raises DataError for anything else."""
        try:
            values = msgspec.msgpack.decode(zlib.decompress(data))
            if values["format"] != FORMAT:
                raise DataError(f"This profile has format {values['format']}; this version reads {FORMAT}.")
            bins = values["bins"]
            counts = np.split(np.frombuffer(values["counts"], "<i8").astype(np.int64), np.cumsum(bins)[:-1])
            low, high = np.frombuffer(values["range"], "<f8").reshape(2, -1).astype(np.float64)
            below, above = np.frombuffer(values["outside"], "<i8").reshape(2, -1).astype(np.int64)
            sample = RowSample(
                capacity=values["capacity"],
                hashes=np.frombuffer(values["hashes"], "<u8").astype(np.uint64),
                copies=np.frombuffer(values["copies"], "<i8").astype(np.int64),
                rows=np.frombuffer(values["sample"], "<f8").reshape(-1, low.size).astype(np.float64),
            )
            return cls(
                reference=values["reference"],
                rows=values["rows"],
                counts=tuple(counts[:-1]),
                score_counts=counts[-1],
                score_total=int(values["score_total"]),
                low=low,
                high=high,
                below=below,
                above=above,
                days=np.frombuffer(values["days"], "<i8").reshape(-1, 2).astype(np.int64),
                sample=sample,
            )
        except (KeyError, TypeError, ValueError, IndexError, zlib.error, msgspec.DecodeError) as error:
            raise DataError(f"These bytes are not a stored profile ({error}).") from error


@dataclass(frozen=True)
class Reference:
    """The history that windows are compared with: bins of every feature and of the score, and its own profile."""

    schema: Schema
    bins: tuple[Bins, ...]  # in the schema's feature order
    score_bins: Bins
    own: Profile  # of the history itself, with all its distinct rows as sample
    course: Course | None = None  # how it runs over time; None where its rows carry no dates
    dated: Ints | None = None  # (m,): the day of each of its `rows`; None where they carry no dates
    foremost: tuple[int, ...] = ()  # of a wide table the columns that are held against one another; none: all of them

    @classmethod
    def build(
        cls, schema: Schema, X: Floats, scores: Floats, days: Ints | None = None, foremost: tuple[int, ...] = ()
    ) -> "Reference":
        """Bins and profile of the champion's training sample: features (m, k), probabilities (m,), days (m,)."""
        if not len(X):
            raise DataError("The reference has no rows, so nothing can be compared with it.")
        bins = tuple(
            level_bins(feature.categories) if feature.kind == "category" else fit_numeric_bins(X[:, j])
            for j, feature in enumerate(schema.features)
        )
        score_bins = fit_numeric_bins(scores)
        everywhere = np.full(len(bins), -np.inf), np.full(len(bins), np.inf)
        adding = _Pass(bins, score_bins, everywhere, len(X))
        own = adding.profile(_fingerprint(bins, score_bins), X, scores, None, capacity=len(X))
        if days is None or len(np.unique(days)) < 2:
            return cls(schema, bins, score_bins, own, foremost=foremost)
        course = Course(days, X, scores, bins, score_bins)
        # The sample's rows are in the order of their hashes.
        return cls(schema, bins, score_bins, own, course, days[np.argsort(adding.hashes, kind="stable")], foremost)

    @cached_property
    def narrowed(self) -> "Reference":
        """Its foremost columns alone: pairs of ten thousand columns are beyond any memory, and say no more."""
        columns = np.array(self.foremost, dtype=np.int64)
        return Reference(
            msgspec.structs.replace(self.schema, features=tuple(self.schema.features[j] for j in columns)),
            tuple(self.bins[j] for j in columns),
            self.score_bins,
            self.own.of(columns),
            None if self.course is None else self.course.of(columns),
            self.dated,
        )

    def profile(self, X: Floats, scores: Floats, times: Ints | None = None, threads: int = 1) -> Profile:
        """The profile of a window: features (n, k) coded by the schema, probabilities (n,), microseconds (n,).

        With ``threads`` the parts of a large window are profiled side by side; their sum is the same, bit for bit.
        """
        if X.shape != (len(scores), len(self.bins)) or (times is not None and len(times) != len(scores)):
            raise DataError(
                f"A window needs {len(self.bins)} feature columns and one score a row; got features of shape "
                f"{X.shape} and {len(scores)} scores."
            )

        def part(rows: slice) -> Profile:
            return self.profiler.profile(X[rows], scores[rows], None if times is None else times[rows])

        parts = max(1, min(threads, len(X) // (8 * BLOCK)))
        if parts == 1:
            return part(slice(None))
        size = -(-len(X) // parts)
        with ThreadPoolExecutor(parts) as pool:
            first, *others = pool.map(part, [slice(start, start + size) for start in range(0, len(X), size)])
        return sum(others, first)

    @cached_property
    def profiler(self) -> "Profiler":
        """The part of it that makes profiles; small enough to be sent to other processes."""
        return Profiler(self.bins, self.score_bins, self._limits, self.fingerprint)

    @cached_property
    def context(self) -> frozenset[int]:
        """Columns that are the same for all customers of a period: declared, or found so in the history."""
        said = frozenset(j for j, feature in enumerate(self.schema.features) if feature.context)
        return said if self.course is None else said | self.course.paths

    @cached_property
    def numbers(self) -> list[int]:
        """The numeric columns that have a distribution."""
        return [j for j, one in enumerate(self.schema.features) if one.kind == "number" and j not in self.context]

    @cached_property
    def amounts(self) -> tuple[int, ...]:
        """Columns of many different numbers, most of which are positive; asked for hundreds of times in a wide book."""
        many = [j for j in self.numbers if self.bins[j].kind == "intervals" and len(self.bins[j]) > 6]
        return tuple(j for j in many if np.nanmean(self.rows[:, j] > 0.0) > 0.5)

    @cached_property
    def seasonal(self) -> frozenset[int]:
        """Columns that move with the time of the year, declared or shown by the history; the score's number is k.

        The score is one of them where a model input is.
        """
        said = frozenset(j for j, feature in enumerate(self.schema.features) if feature.seasonal)
        found = said if self.course is None else said | self.course.seasonal
        return found | {len(self.bins)} if found & set(self.schema.model_columns) else found

    @property
    def empty(self) -> Profile:
        """The profile of no rows: adding it changes nothing."""
        return self.profile(np.empty((0, len(self.bins))), np.empty(0), np.empty(0, dtype=np.int64))

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the bins: profiles with the same one can be added and compared."""
        return _fingerprint(self.bins, self.score_bins)

    @cached_property
    def _limits(self) -> tuple[Floats, Floats]:
        """Where values of each column are too far out for a population to have moved there by itself."""
        ranged = np.isfinite(self.own.low)  # a column that was always missing has no range
        low, high = np.where(ranged, self.own.low, -np.inf), np.where(ranged, self.own.high, np.inf)
        width = np.where(ranged, high, 0.0) - np.where(ranged, low, 0.0)
        return low - width, high + width

    @cached_property
    def rows(self) -> Floats:
        """The rows of the history, shape (m, k), in no particular order."""
        return self.own.sample.expanded

    @cached_property
    def ranks(self) -> Floats:
        """Ranks of :attr:`rows` within each column, from 0 to 1."""
        return ranks_of(self.rows)

    @cached_property
    def structure(self) -> Structure:
        """How the columns hang together in the history."""
        return Structure.of(self.ranks)

    @cached_property
    def plausible(self) -> Plausible:
        """Where each value lies among those of alike rows."""
        return Plausible(self.rows, self.structure, self.context)

    @cached_property
    def gained(self) -> float:
        """The largest gain by an exchange that parts of the history show.

        Columns that are nearly copies of one another exchange by chance. Rows come in the order of their hashes, which
        is as good as drawn.
        """
        parts = np.array_split(self.rows, max(2, min(8, len(self.rows) // CAPACITY)))
        misfits = [self.structure.misfits(Structure.of(ranks_of(rows))) for rows in parts]
        return max(float(np.triu(placed - exchanged, 1).max(initial=0.0)) for placed, exchanged in misfits)

    @cached_property
    def unsteady(self) -> Floats:
        """The root mean square of the standard errors by which each column's correlations fell in parts of the history.

        1 where they are those of normal data, and at least that; more where few rows carry them, or products come and
        go. The parts follow one another in time, as windows do; shape (k,).
        """
        in_time = self.rows if self.dated is None else self.rows[np.argsort(self.dated, kind="stable")]
        parts = np.array_split(in_time, min(MOST_PARTS, max(2, len(in_time) // LEAST_OF_PART)))
        errors = [self.structure.kept(Structure.of(ranks_of(rows)))[1] for rows in parts]
        usual: Floats = np.maximum(1.0, np.sqrt(np.square(errors).mean(axis=0)))
        return usual


@dataclass(frozen=True, eq=False)
class Profiler:
    """Profiles rows over a reference's bins without the reference's rows."""

    bins: tuple[Bins, ...]
    score_bins: Bins
    limits: tuple[Floats, Floats]
    fingerprint: str  # of the reference

    def profile(self, X: Floats, scores: Floats, times: Ints | None) -> Profile:
        """See `Reference.profile`."""
        adding = _Pass(self.bins, self.score_bins, self.limits, len(X))
        return adding.profile(self.fingerprint, X, scores, times, CAPACITY)

    def __call__(self, X: Floats, scores: Floats, times: Ints) -> bytes:
        """The bytes of a profile, to be kept with the decisions."""
        return self.profile(X, scores, times).to_bytes()

    def to_bytes(self) -> bytes:
        """What another process makes it again from."""
        bins = [one.to_json() for one in (*self.bins, self.score_bins)]
        limits = [_packed(side, "<f8") for side in self.limits]
        return msgspec.msgpack.encode({"bins": bins, "limits": limits, "fingerprint": self.fingerprint})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Profiler":
        """The inverse of :meth:`to_bytes`."""
        values = msgspec.msgpack.decode(data)
        *bins, score_bins = [Bins(b["kind"], tuple(b["points"]), tuple(b["names"])) for b in values["bins"]]
        low, high = (np.frombuffer(side, "<f8").astype(np.float64) for side in values["limits"])
        return cls(tuple(bins), score_bins, (low, high), values["fingerprint"])


class _Pass:
    """Adds up the blocks of one window."""

    def __init__(self, bins: tuple[Bins, ...], score_bins: Bins, limits: tuple[Floats, Floats], rows: int) -> None:
        k, block = len(bins), min(rows, BLOCK)
        self.limits = limits
        self.counter = BinCounter((*bins, score_bins), block)
        self.hashes = np.empty(rows, dtype=np.uint64)
        self.missing = np.zeros(k + 1, dtype=np.int64)
        self.low, self.high = np.full(k, np.inf), np.full(k, -np.inf)
        self.below, self.above = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64)
        # Fresh memory for every block would cost more than the counting. The last column is the score.
        self.table, self.space = np.empty((k + 1, block)), np.empty((k, block), dtype=np.uint64)

    def profile(self, reference: str, X: Floats, scores: Floats, times: Ints | None, capacity: int) -> Profile:
        """Of all rows of the window: features (n, k), probabilities (n,), microseconds (n,)."""
        for start in range(0, len(X), BLOCK):
            rows = slice(start, start + BLOCK)
            self.add(X[rows], scores[rows], self.hashes[rows])
        self.missing[-1] = np.count_nonzero(np.isnan(scores))
        *counts, score_counts = self.counter.counts(len(X), self.missing)
        return Profile(
            reference=reference,
            rows=len(X),
            counts=tuple(counts),
            score_counts=score_counts,
            score_total=_total(scores),
            low=self.low,
            high=self.high,
            below=self.below,
            above=self.above,
            days=_day_counts(np.empty((0, 2), np.int64) if times is None else _stamped(times)),
            sample=RowSample.of(self.hashes, X, capacity),
        )

    def add(self, block: Floats, scores: Floats, hashes: Hashes) -> None:
        """Features (n, k) and scores (n,) of up to BLOCK rows; writes their hashes, shape (n,)."""
        table = self.table[:, : len(block)]
        columns = table[:-1]
        _turn(block, columns)
        table[-1] = scores
        self._stretch(columns)
        self.counter.add(table)
        row_hashes(columns, self.space[:, : len(block)], out=hashes)

    def _stretch(self, columns: Floats) -> None:
        low, high = columns.min(axis=1), columns.max(axis=1)
        for j in np.flatnonzero(np.isnan(low)):
            column = columns[j]
            missing = np.isnan(column)
            self.missing[j] += np.count_nonzero(missing)
            column[missing] = np.nan  # one kind of NaN, for the hash
            low[j], high[j] = np.fmin.reduce(column, initial=np.inf), np.fmax.reduce(column, initial=-np.inf)
        np.minimum(self.low, low, out=self.low)
        np.maximum(self.high, high, out=self.high)
        for j in np.flatnonzero(low < self.limits[0]):
            self.below[j] += np.count_nonzero(columns[j] < self.limits[0][j])
        for j in np.flatnonzero(high > self.limits[1]):
            self.above[j] += np.count_nonzero(columns[j] > self.limits[1][j])


def _turn(block: Floats, columns: Floats) -> None:
    """Write the rows of ``block``, shape (n, k), into ``columns``, shape (k, n), with 0.0 for -0.0."""
    if block.strides[0] == block.itemsize:  # columns already
        np.add(block.T, 0.0, out=columns)
        return
    for start in range(0, len(block), _STRIP):
        # Adding in the order of the rows reads memory as it lies; the turning then finds them in the cache.
        columns[:, start : start + _STRIP] = (block[start : start + _STRIP] + 0.0).T


def _total(scores: Floats) -> int:
    """The sum of the scores in units of 2⁻⁴⁰, exactly."""
    parts = np.array_split(np.asarray(scores, dtype=np.float64), len(scores) // _SUMMED + 1)
    return sum(int(np.rint(part / SCORE_UNIT).astype(np.int64).sum()) for part in parts)


def _stamped(times: Ints) -> Ints:
    day, rows = np.unique(times // DAY, return_counts=True)
    return np.column_stack((day, rows)).astype(np.int64)


def _day_counts(days: Ints) -> Ints:
    distinct, member = np.unique(days[:, 0], return_inverse=True)
    rows = np.zeros(distinct.size, dtype=np.int64)
    np.add.at(rows, member, days[:, 1])
    return np.column_stack((distinct, rows)).astype(np.int64)


def _fingerprint(bins: tuple[Bins, ...], score_bins: Bins) -> str:
    text = json.dumps([b.to_json() for b in (*bins, score_bins)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _packed(array: np.ndarray, kind: str) -> bytes:
    return np.ascontiguousarray(array).astype(kind).tobytes()
