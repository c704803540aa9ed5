"""A page of decisions, newest or oldest first, from the table and from segments.

It never reads more than a fixed number of rows of the table, and of a segment only the columns that are asked for.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, LargeBinary, Select, and_, func, or_, select

from riskloop.core.maturity import LATEST, Maturity
from riskloop.core.span import Span
from riskloop.store.pieces import Piece, Segment
from riskloop.store.reported import BY_DECISION, reported_on
from riskloop.store.segments import Segments
from riskloop.store.spans import where
from riskloop.store.tables import decisions, outcomes

_PART: Final = 500  # below SQLite's oldest limit of 999 bound variables
_BYTES: Final = 8  # of a feature in a row's vector
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


Happened = Literal["defaulted", "paid", "unknown"]


class SoughtLevel(NamedTuple):
    """A category's value: the segment that is looked for."""

    column: int  # of the schema's features
    code: float


class Sought(NamedTuple):
    """What is looked for; everything that is None is not asked for."""

    customer: str | None = None
    start: int | None = None  # microseconds, included
    end: int | None = None  # excluded
    low: float | None = None  # probabilities, both included
    high: float | None = None
    first_id: int | None = None  # both included
    last_id: int | None = None
    version: int | None = None  # of the model
    declined: bool | None = None
    flagged: bool | None = None
    outcome: Happened | None = None  # the latest report, however early it came
    level: SoughtLevel | None = None
    oldest: bool = False  # first

    @property
    def by_time(self) -> bool:
        """Whether the list goes by time; else it goes by id."""
        return self.customer is None and (self.start is not None or self.end is not None)

    @property
    def span(self) -> Span:
        """The times."""
        return Span(self.first_id, self.last_id, self.start, self.end)

    @property
    def scored(self) -> bool:
        """Whether probabilities are asked for."""
        return self.low is not None or self.high is not None

    @property
    def sifted(self) -> bool:
        """Whether something is asked for that no index knows."""
        asked = (self.version, self.declined, self.flagged, self.outcome, self.level)
        return self.scored or any(one is not None for one in asked)

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
    if stopped_at is not None:  # of rows of the table beyond it nothing is known yet
        end = sought.order(stopped_at)
        rows = [r for r in rows if (sought.order(r) <= end if sought.oldest else sought.order(r) >= end)]
    rows.sort(key=sought.order, reverse=not sought.oldest)
    if len(rows) > size:
        return DecisionPage(rows[:size], Place(rows[size - 1].id, rows[size - 1].time), False)
    return DecisionPage(rows, stopped_at, stopped_at is not None)


# --------------------------------------------------------------------------- the table


def _of_table(
    connection: Connection, sought: Sought, after: Place | None, most: int
) -> tuple[list[ListedDecision], Place | None]:
    """The next rows, and up to where the walk came if it stopped before it had found ``most``."""
    walk = _in_order(select(*_COLUMNS), sought, after)
    if not sought.sifted:
        return [_listed(row) for row in connection.execute(walk.limit(most))], None
    if sought.level is not None:
        at = _BYTES * sought.level.column
        walk = walk.add_columns(func.substr(decisions.c.features, at + 1, _BYTES, type_=LargeBinary).label("level"))
    looked = walk.limit(LOOKED_AT).subquery()
    query = select(looked).where(*_sieve(looked.c, sought))
    rows = [_listed(row) for row in connection.execute(query.limit(most))]
    if len(rows) == most:
        return rows, None
    ends = _in_order(select(decisions.c.id, decisions.c.time), sought, after).offset(LOOKED_AT - 1).limit(2)
    last = connection.execute(ends).all()
    return rows, Place(int(last[0].id), int(last[0].time)) if len(last) > 1 else None


def _sieve(row: Any, sought: Sought) -> list[ColumnElement[bool]]:
    """What a row has to be beside lying in the span."""
    found: list[ColumnElement[bool]] = []
    if sought.low is not None:
        found.append(row.probability >= sought.low)
    if sought.high is not None:
        found.append(row.probability <= sought.high)
    if sought.version is not None:
        found.append(row.model_version == sought.version)
    if sought.declined is not None:
        found.append(row.is_default == int(sought.declined))
    if sought.flagged is not None:
        found.append(row.flags.is_not(None) if sought.flagged else row.flags.is_(None))
    if sought.level is not None:
        found.append(row.level == np.float64(sought.level.code).astype("<f8").tobytes())
    if sought.outcome is not None:
        about = select(outcomes.c.defaulted).where(outcomes.c.decision_id == row.id)
        latest = about.order_by(outcomes.c.id.desc()).limit(1).scalar_subquery()
        found.append(latest.is_(None) if sought.outcome == "unknown" else latest == int(sought.outcome == "defaulted"))
    return found


def _in_order(query: Select[Any], sought: Sought, after: Place | None) -> Select[Any]:
    """Along one index: by time where times are asked for, by id elsewhere."""
    query = query.where(*_conditions(sought))
    number, time = decisions.c.id, decisions.c.time
    if not sought.by_time:
        if after is not None:
            query = query.where(number > after.id if sought.oldest else number < after.id)
        return query.order_by(number if sought.oldest else number.desc())
    if after is not None and sought.oldest:
        beyond = or_(time > after.time, and_(time == after.time, number > after.id))
        query = query.where(time >= after.time, beyond)
    elif after is not None:
        beyond = or_(time < after.time, and_(time == after.time, number < after.id))
        query = query.where(time <= after.time, beyond)
    return query.order_by(time, number) if sought.oldest else query.order_by(time.desc(), number.desc())


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
    """The next rows, segment by segment, until no other one can hold nearer ones."""
    span = _span_after(sought, after)
    inside = [s for s in segments.within(connection, span) if sought.version in (None, s.model_version)]
    inside.sort(key=lambda segment: _edge(segment, sought), reverse=not sought.oldest)
    found: list[ListedDecision] = []
    for segment in inside:
        if len(found) >= most and _is_beyond(segment, found[most - 1], sought):
            break
        piece = segments.piece(segment, span, _asked(sought))
        chosen = _chosen(connection, piece, sought, after)[:most]
        if len(chosen):
            ids = np.sort(piece.ids[chosen])
            found += _rows_of(segments.picked(segment, ids, [*_OF_SEGMENT]))
            found.sort(key=sought.order, reverse=not sought.oldest)
    return found[:most]


def _span_after(sought: Sought, after: Place | None) -> Span:
    """The span that is looked for, as far as it lies beyond a place."""
    span = sought.span
    if after is None:
        return span
    if sought.by_time and sought.oldest:
        return span._replace(start=max(after.time, after.time if span.start is None else span.start))
    if sought.by_time:
        return span._replace(end=min(after.time + 1, span.end if span.end is not None else after.time + 1))
    if sought.oldest:
        return span._replace(first_id=after.id + 1)
    return span._replace(last_id=after.id - 1)


def _edge(segment: Segment, sought: Sought) -> tuple[int, int]:
    """The nearest place that a decision of a segment can have in the list."""
    if sought.oldest:
        return (segment.first_time, segment.first_id) if sought.by_time else (0, segment.first_id)
    return (segment.last_time, segment.last_id) if sought.by_time else (0, segment.last_id)


def _is_beyond(segment: Segment, last: ListedDecision, sought: Sought) -> bool:
    """Whether all decisions of a segment come after the last row that is needed."""
    if not sought.by_time:
        return True  # segments are consecutive
    return segment.first_time > last.time if sought.oldest else segment.last_time < last.time


_OF_SEGMENT: Final = ("customer_id", "time", "probability", "declined", "flags")


def _asked(sought: Sought) -> list[str]:
    """The columns that have to be read to know who is looked for."""
    wanted = {
        "customer_id": sought.customer is not None,
        "probability": sought.scored,
        "declined": sought.declined is not None,
        "flags": sought.flagged is not None,
        "features": sought.level is not None,
    }
    return ["time", *(name for name, needed in wanted.items() if needed)]


def _chosen(connection: Connection, piece: Piece, sought: Sought, after: Place | None) -> Any:
    """The places of a piece's decisions that are looked for, in the order of the list."""
    times, inside = piece.column("time"), np.ones(len(piece.ids), dtype=np.bool_)
    if sought.customer is not None:
        import pyarrow.compute as pc

        inside &= pc.equal(piece.table["customer_id"], sought.customer).to_numpy()
    if sought.low is not None:
        inside &= piece.column("probability") >= sought.low
    if sought.high is not None:
        inside &= piece.column("probability") <= sought.high
    if sought.declined is not None:
        inside &= piece.column("declined") == sought.declined
    if sought.flagged is not None:
        inside &= piece.table["flags"].is_valid().to_numpy() == sought.flagged
    if sought.level is not None:
        inside &= piece.features[:, sought.level.column] == sought.level.code
    if sought.outcome is not None:
        latest = reported_on(connection, piece.ids, _ANY)
        wanted = {"defaulted": latest == 1.0, "paid": latest == 0.0, "unknown": np.isnan(latest)}
        inside &= wanted[sought.outcome]
    if after is not None and sought.by_time:
        beyond = times > after.time if sought.oldest else times < after.time
        later = piece.ids > after.id if sought.oldest else piece.ids < after.id
        inside &= beyond | ((times == after.time) & later)
    places = np.flatnonzero(inside) if sought.oldest else np.flatnonzero(inside)[::-1]
    if not sought.by_time:
        return places
    return places[np.argsort(times[places] if sought.oldest else -times[places], kind="stable")]


_ANY: Final = Maturity(LATEST)


def _rows_of(piece: Piece) -> list[ListedDecision]:
    customers, times, probabilities, declined, flags = (piece.table[name].to_pylist() for name in _OF_SEGMENT)
    versions = [piece.segment.model_version] * len(piece.ids)
    columns = piece.ids.tolist(), customers, times, probabilities, declined, versions, flags
    return [ListedDecision(*values) for values in zip(*columns, strict=True)]


def happened(connection: Connection, ids: Sequence[int]) -> dict[int, bool]:
    """The latest outcome of each of these decisions that has one: whether it defaulted."""
    found: dict[int, bool] = {}
    for start in range(0, len(ids), _PART):
        query = select(outcomes.c.decision_id, outcomes.c.defaulted).order_by(*BY_DECISION)
        rows = connection.execute(query.where(outcomes.c.decision_id.in_(ids[start : start + _PART])))
        found |= {number: bool(defaulted) for number, defaulted in rows}
    return found
