"""Decisions of segments as they are read: here one after another, or by the executors of a cluster.

Light on purpose: whoever reads for another machine imports no database.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import numpy as np

from riskloop.core.sampling import drawn
from riskloop.core.span import Span
from riskloop.core.types import Floats, Ints
from riskloop.store.segment_files import SegmentFiles

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
ERASED: Final = "erased"
ERASED_FLAGS: Final = f'{{"{ERASED}": true}}'  # of a decision whose personal part is gone


@dataclass(frozen=True, slots=True)
class Segment:
    """One registered file of decisions, with consecutive ids."""

    first_id: int
    rows: int
    run: str  # of what it is a part: the same rows under the same run key are decided on once
    number: int  # of the part, from 0
    fingerprint: str  # of all that the run scored: the same run key for other rows is refused
    path: str
    sha256: str
    model_version: int
    scored_at: int
    first_time: int
    last_time: int
    declined: int
    explored: int
    total: float  # sum of the probabilities

    @property
    def last_id(self) -> int:
        """The id of its last decision."""
        return self.first_id + self.rows - 1

    def lies_in(self, span: Span) -> bool:
        """Whether all of it does."""
        ids = np.array([self.first_id, self.last_id])
        times = np.array([self.first_time, self.last_time])
        return bool(span.mask(times, ids).all())


@dataclass(frozen=True, slots=True)
class Piece:
    """Decisions of one segment that lie in a span, with the columns that were asked for."""

    segment: Segment
    ids: Ints  # (n,) ascending
    table: "pa.Table"  # n rows

    def column(self, name: str) -> Any:
        """One column as NumPy array."""
        return self.table[name].to_numpy()

    @property
    def features(self) -> Floats:
        """The vectors that were scored, (n, k)."""
        columns = self.table["features"].combine_chunks().flatten()
        matrix = np.empty((len(self.ids), len(columns)))
        for j, column in enumerate(columns):
            matrix[:, j] = column.to_numpy()
        return matrix

    def at(self, places: Ints) -> "Piece":
        """Some of its decisions; ``places`` ascending."""
        return self if len(places) == len(self.ids) else Piece(self.segment, self.ids[places], self.table.take(places))


@dataclass(frozen=True, slots=True)
class PieceRequest:
    """Which decisions of one segment are read, and which of their columns."""

    segment: Segment
    span: Span
    columns: tuple[str, ...]
    share: float = 1.0  # of them, drawn by their ids


class Reader(Protocol):
    """Where segments are read."""

    def each(self, files: SegmentFiles, wanted: Sequence[PieceRequest], work: Callable[[Piece], T]) -> Iterator[T]:
        """What ``work`` makes of each piece, in the order of ``wanted``."""


class Here:
    """Reads in this process."""

    def each(self, files: SegmentFiles, wanted: Sequence[PieceRequest], work: Callable[[Piece], T]) -> Iterator[T]:
        """One after another."""
        return (work(read_piece(files, one)) for one in wanted)


HERE: Final = Here()


def read_piece(files: SegmentFiles, wanted: PieceRequest) -> Piece:
    """The decisions of one segment that are wanted."""
    segment, span, columns = wanted.segment, wanted.span, wanted.columns
    start = max(0, (span.first_id or 0) - segment.first_id)
    stop = segment.rows if span.last_id is None else min(segment.rows, span.last_id - segment.first_id + 1)
    timed = span._replace(first_id=None, last_id=None)
    whole = timed.mask(np.array([segment.first_time, segment.last_time])).all()
    read = columns if whole or "time" in columns else (*columns, "time")
    rows = None if (start, stop) == (0, segment.rows) else slice(start, stop)
    ids = np.arange(segment.first_id + start, segment.first_id + stop)
    piece = Piece(segment, ids, files.read(segment.path, segment.sha256, read or ("declined",), rows))
    chosen = drawn(ids, wanted.share)
    if not whole:
        chosen &= timed.mask(piece.column("time"))
    return piece.at(np.flatnonzero(chosen))


def present(piece: Piece) -> Piece:
    """The decisions of a piece that are not erased."""
    import pyarrow.compute as pc

    gone = pc.equal(piece.table["flags"], ERASED_FLAGS).fill_null(False).to_numpy()
    return piece.at(np.flatnonzero(~gone))


@dataclass(frozen=True, slots=True)
class Named:
    """Finds the decisions on customers, who are named by their number in ``index``."""

    index: Mapping[str, int]

    def __call__(self, piece: Piece) -> Ints:
        """Who, time and id of each, (3, m); needs the columns `customer_id` and `time`."""
        texts = piece.table["customer_id"].to_pylist()
        who = np.fromiter((self.index.get(text, -1) for text in texts), np.int64, len(texts))
        there = np.flatnonzero(who >= 0)
        return np.stack((who[there], piece.column("time")[there], piece.ids[there]))
