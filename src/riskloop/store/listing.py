"""A page of decisions, newest first, from the table and from segments; it never reads more than a fixed number of rows
of the table, and one or two columns of a segment.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from riskloop.core.span import Span
from riskloop.store.segments import Piece, Segments
from riskloop.store.spans import where
from riskloop.store.tables import decisions

LOOKED_AT: Final = 100_000  # rows of the table that one page looks through at most; the next page goes on from there


class ListedDecision(NamedTuple):
    """A decision in a list."""

    id: int
    customer_id: str
    time: int
    probability: float
    is_default: bool
    model_version: int
    flags: str | None


class Place(NamedTuple):
    """Where a page ends; the next one begins after it."""

    id: int
    time: int


class Sought(NamedTuple):
    """What is looked for; everything that is None is not asked for."""

    customer: str | None = None
    start: int | None = None  # microseconds, included
    end: int | None = None  # excluded
    low: float | None = None  # probabilities, both included
    high: float | None = None

    @property
    def by_time(self) -> bool:
        """Whether the list goes by time; else it goes by id."""
        return self.customer is None and (self.start is not None or self.end is not None)

    @property
    def span(self) -> Span:
        """The times."""
        return Span(start=self.start, end=self.end)

    @property
    def scored(self) -> bool:
        """Whether probabilities are asked for."""
        return self.low is not None or self.high is not None

    def order(self, row: ListedDecision | Place) -> tuple[int, int]:
        """What the list goes down by."""
        return (row.time, row.id) if self.by_time else (0, row.id)


class DecisionPage(NamedTuple):
    """The next rows, where the page after them begins, and whether the walk stopped before it had found a page."""

    rows: list[ListedDecision]
    after: Place | None
    stopped: bool


_COLUMNS: Final = (
    decisions.c.id,
    decisions.c.customer_id,
    decisions.c.time,
    decisions.c.probability,
    decisions.c.is_default,
    decisions.c.model_version,
    decisions.c.flags,
)


def page(connection: Connection, segments: Segments, sought: Sought, after: Place | None, size: int) -> DecisionPage:
    """The ``size`` newest decisions after a place."""
    rows, stopped_at = _of_table(connection, sought, after, size + 1)
    rows += _of_segments(connection, segments, sought, after, size + 1)
    if stopped_at is not None:  # of older rows of the table nothing is known yet
        rows = [row for row in rows if sought.order(row) >= sought.order(stopped_at)]
    rows.sort(key=sought.order, reverse=True)
    if len(rows) > size:
        return DecisionPage(rows[:size], Place(rows[size - 1].id, rows[size - 1].time), False)
    return DecisionPage(rows, stopped_at, stopped_at is not None)


# --------------------------------------------------------------------------- the table


def _of_table(
    connection: Connection, sought: Sought, after: Place | None, most: int
) -> tuple[list[ListedDecision], Place | None]:
    """The next rows, and up to where the walk came if it stopped before it had found ``most``."""
    walk = _in_order(select(*_COLUMNS), sought, after)
    if not sought.scored:
        return [_listed(row) for row in connection.execute(walk.limit(most))], None
    looked = walk.limit(LOOKED_AT).subquery()
    query = select(looked)
    if sought.low is not None:
        query = query.where(looked.c.probability >= sought.low)
    if sought.high is not None:
        query = query.where(looked.c.probability <= sought.high)
    rows = [_listed(row) for row in connection.execute(query.limit(most))]
    if len(rows) == most:
        return rows, None
    ends = _in_order(select(decisions.c.id, decisions.c.time), sought, after).offset(LOOKED_AT - 1).limit(2)
    last = connection.execute(ends).all()
    return rows, Place(int(last[0].id), int(last[0].time)) if len(last) > 1 else None


def _in_order(query: Select[Any], sought: Sought, after: Place | None) -> Select[Any]:
    """Newest first along one index: by time where times are asked for, by id elsewhere."""
    query = query.where(*_conditions(sought))
    if not sought.by_time:
        if after is not None:
            query = query.where(decisions.c.id < after.id)
        return query.order_by(decisions.c.id.desc())
    if after is not None:
        beyond = or_(decisions.c.time < after.time, and_(decisions.c.time == after.time, decisions.c.id < after.id))
        query = query.where(decisions.c.time <= after.time, beyond)
    return query.order_by(decisions.c.time.desc(), decisions.c.id.desc())


def _conditions(sought: Sought) -> Sequence[ColumnElement[bool]]:
    found = [where(sought.span)]
    if sought.customer is not None:
        found.append(decisions.c.customer_id == sought.customer)
    return found


def _listed(row: Any) -> ListedDecision:
    return ListedDecision(
        row.id, row.customer_id, row.time, row.probability, bool(row.is_default), row.model_version, row.flags
    )


# --------------------------------------------------------------------------- segments


def _of_segments(
    connection: Connection, segments: Segments, sought: Sought, after: Place | None, most: int
) -> list[ListedDecision]:
    """The next rows, segment by segment, until no other one can hold newer ones."""
    span = sought.span
    if after is not None and sought.by_time:
        span = span._replace(end=min(after.time + 1, span.end if span.end is not None else after.time + 1))
    elif after is not None:
        span = span._replace(last_id=after.id - 1)
    inside = segments.within(connection, span)
    inside.sort(key=lambda s: (s.last_time, s.last_id) if sought.by_time else (0, s.last_id), reverse=True)
    found: list[ListedDecision] = []
    for segment in inside:
        if len(found) >= most and sought.by_time and segment.last_time < found[most - 1].time:
            break
        if len(found) >= most and not sought.by_time:
            break
        columns = ["time"] + ["customer_id"] * (sought.customer is not None) + ["probability"] * sought.scored
        piece = segments.piece(segment, span, columns)
        chosen = _chosen(piece, sought, after)[:most]
        if len(chosen):
            ids = np.sort(piece.ids[chosen])
            found += _rows_of(segments.picked(segment, ids, [*_OF_SEGMENT]))
            found.sort(key=sought.order, reverse=True)
    return found[:most]


_OF_SEGMENT: Final = ("customer_id", "time", "probability", "declined", "flags")


def _chosen(piece: Piece, sought: Sought, after: Place | None) -> Any:
    """The places of a piece's decisions that are looked for, newest first."""
    times, inside = piece.column("time"), np.ones(len(piece.ids), dtype=np.bool_)
    if sought.customer is not None:
        import pyarrow.compute as pc

        inside &= pc.equal(piece.table["customer_id"], sought.customer).to_numpy()
    if sought.low is not None:
        inside &= piece.column("probability") >= sought.low
    if sought.high is not None:
        inside &= piece.column("probability") <= sought.high
    if after is not None and sought.by_time:
        inside &= (times < after.time) | ((times == after.time) & (piece.ids < after.id))
    places = np.flatnonzero(inside)[::-1]
    return places[np.argsort(-times[places], kind="stable")] if sought.by_time else places


def _rows_of(piece: Piece) -> list[ListedDecision]:
    customers, times, probabilities, declined, flags = (piece.table[name].to_pylist() for name in _OF_SEGMENT)
    versions = [piece.segment.model_version] * len(piece.ids)
    columns = piece.ids.tolist(), customers, times, probabilities, declined, versions, flags
    return [ListedDecision(*values) for values in zip(*columns, strict=True)]
