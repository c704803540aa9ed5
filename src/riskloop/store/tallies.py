"""How many decisions each hour has and how many of them have an outcome, without counting the log.

The worker keeps these counts up to a decision and an outcome. Who asks takes them, and counts only what came since: so
an answer takes as long for ten million decisions as for ten thousand. Counts that do not fit the question, because
decisions left the log since, are not taken: then the log is counted.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select

from riskloop.core.exploration import EXPLORED
from riskloop.core.maturity import Maturity
from riskloop.core.span import EVERYTHING, Span
from riskloop.core.types import Bools, Ints
from riskloop.store.archive import DECISIONS, horizon
from riskloop.store.database import Database
from riskloop.store.pieces import Piece
from riskloop.store.reported import has_report, integers, is_reported, ranged
from riskloop.store.segments import Segments, last_decision
from riskloop.store.spans import where
from riskloop.store.tables import decisions, outcomes, tallied, tallies

HOUR: Final = 3_600_000_000  # microseconds
LEAST: Final = 10_000  # decisions and outcomes that come before the worker counts on
COUNTS: Final = ("approved", "reported", "declined", "explored", "learned")
_PART: Final = 500  # below SQLite's oldest limit of 999 bound variables
_OF_SEGMENT: Final = ("time", "declined", "flags")


class Tallied(NamedTuple):
    """Up to where the kept counts go."""

    decisions: int
    outcomes: int
    archived: int
    held: str


def by_hour(connection: Connection, segments: Segments, span: Span, known: Maturity) -> Ints:
    """The hours of a span by time, which may cut some, ascending: (h, 6), the hour since 1970 and `COUNTS`.

    A decision has an outcome when there is a report that is not in quarantine, however early it came.
    """
    kept = _kept(connection, known)
    first = None if span.start is None else -(-span.start // HOUR)
    end = None if span.end is None else span.end // HOUR
    if kept is None or (first is not None and end is not None and first >= end):
        return count(connection, segments, span, known)
    whole = Span(start=None if first is None else first * HOUR, end=None if end is None else end * HOUR)
    parts = [_stored(connection, first, end)]
    if span.start != whole.start:
        parts.append(count(connection, segments, span._replace(end=whole.start), known))
    if span.end != whole.end:
        parts.append(count(connection, segments, span._replace(start=whole.end), known))
    return _summed([*parts, *_since(connection, segments, whole, known, kept)])


def count(connection: Connection, segments: Segments, span: Span, known: Maturity) -> Ints:
    """As `by_hour`, by counting every decision of a span."""
    approved, explored, there = decisions.c.is_default == 0, _is_explored(), is_reported(known)
    hour = decisions.c.time.op("/")(HOUR)
    query = select(
        hour,
        func.count().filter(approved),
        func.count().filter(approved, there),
        func.count().filter(~approved),
        func.count().filter(explored),
        func.count().filter(explored, there),
    )
    found = connection.execute(query.where(where(span)).group_by(hour)).all()
    parts = [np.array(found, dtype=np.int64).reshape(-1, 1 + len(COUNTS))]
    for piece in segments.pieces(connection, span, _OF_SEGMENT):
        parts.append(_of_piece(piece, has_report(connection, piece.ids, known)))
    return _summed(parts)


def keep(database: Database, segments: Segments, known: Maturity, least: int = LEAST) -> None:
    """Count on, up to what is on record now, where at least so many decisions and outcomes came since.

    ``known`` says what is in quarantine, and up to which outcome to count. For the worker: its lease keeps others out.
    """
    with database.read() as connection:
        before, archived = _last(connection), horizon(connection, DECISIONS)
        kept, last = _kept(connection, known), last_decision(connection)
        if kept is None:
            made = count(connection, segments, Span(last_id=last), known)
        elif kept.held == _held(known) and last - kept.decisions + known.outcomes - kept.outcomes < max(1, least):
            return
        else:
            made = _summed([*_since(connection, segments, EVERYTHING, known, kept)])
            old = [_of_hours(connection, part) for part in _parts(made[:, 0])]
            made = _summed([made, *old])
    now = Tallied(last, known.outcomes, archived, _held(known))
    with database.write() as connection:
        if _last(connection) != before:
            return  # somebody else has counted on
        if kept is None:
            connection.execute(delete(tallies))
        for part in _parts(made[:, 0]):
            connection.execute(delete(tallies).where(tallies.c.hour.in_(part)))
        rows = [dict(zip(("hour", *COUNTS), row, strict=True)) for row in made.tolist()]
        if rows:
            connection.execute(insert(tallies), rows)
        connection.execute(delete(tallied))
        connection.execute(insert(tallied).values(**now._asdict()))


def altered(connection: Connection, segments: Segments) -> Ints:
    """The hours whose kept counts of approved, reported and declined are not those of the log, (n,); counts everything.

    Not of explored ones: whoever was erased since has no mark any more.
    """
    kept = _last(connection)
    if kept is None or kept.archived != horizon(connection, DECISIONS):
        return np.empty(0, dtype=np.int64)
    made = count(connection, segments, Span(last_id=kept.decisions), _known_then(kept))
    difference = _summed([_stored(connection, None, None), made * np.array([1, *[-1] * len(COUNTS)])])
    return np.ascontiguousarray(difference[difference[:, 1:4].any(axis=1), 0])


# --------------------------------------------------------------------------- what is kept


def _last(connection: Connection) -> Tallied | None:
    row = connection.execute(select(tallied)).first()
    return None if row is None else Tallied(**row._mapping)


def _held(known: Maturity) -> str:
    return json.dumps(sorted(known.held))


def _kept(connection: Connection, known: Maturity) -> Tallied | None:
    """Up to where the counts go; None where there are none that fit what is known."""
    kept = _last(connection)
    if kept is None or kept.outcomes > known.outcomes:
        return None
    return kept if kept.archived == horizon(connection, DECISIONS) else None


def _stored(connection: Connection, first: int | None, end: int | None) -> Ints:
    """The kept counts of hours, the end excluded."""
    limits = [] if first is None else [tallies.c.hour >= first]
    limits += [] if end is None else [tallies.c.hour < end]
    return _table(connection, *limits)


def _of_hours(connection: Connection, hours: Sequence[int]) -> Ints:
    return _table(connection, tallies.c.hour.in_(hours))


def _table(connection: Connection, *limits: ColumnElement[bool]) -> Ints:
    columns = integers(connection, select(tallies).where(*limits), 1 + len(COUNTS))
    return np.stack(columns, axis=1)


def _parts(hours: Ints) -> Iterator[list[int]]:
    return (hours[start : start + _PART].tolist() for start in range(0, len(hours), _PART))


# --------------------------------------------------------------------------- what came since


def _since(connection: Connection, segments: Segments, span: Span, known: Maturity, kept: Tallied) -> Iterator[Ints]:
    """What decisions and outcomes that came later, or that went into quarantine or left it, add to the hours of a span
    by time."""
    if last_decision(connection) > kept.decisions:
        yield count(connection, segments, span._replace(first_id=kept.decisions + 1), known)
    then = _known_then(kept)
    moved = (outcomes.c.id.between(first, last) for first, last in {*then.held} ^ {*known.held})
    changed = or_(outcomes.c.id > kept.outcomes, *moved)
    (about,) = integers(connection, select(outcomes.c.decision_id).where(changed), 1)
    ids = np.unique(about[about <= kept.decisions])  # not asked for: SQLite would go by that instead
    more = has_report(connection, ids, known).astype(np.int64) - has_report(connection, ids, then)
    ids, more = ids[more != 0], more[more != 0]
    here, columns = np.ones(len(ids), dtype=np.bool_), (decisions.c.time, decisions.c.is_default, _is_explored())
    for segment, part in segments.holding(connection, ids):
        piece, places = segments.picked(segment, part, _OF_SEGMENT), np.searchsorted(ids, part)
        here[places] = False
        inside = np.flatnonzero(span.mask(piece.column("time")))
        yield _later(_of_piece(piece.at(inside), more[places][inside]))
    for condition in ranged(decisions.c.id, ids[here]):
        rows = integers(connection, select(decisions.c.id, *columns).where(condition, where(span)), 1 + len(columns))
        places = np.minimum(np.searchsorted(ids, rows[0]), len(ids) - 1)
        chosen = ids[places] == rows[0]
        times, declined, explored = (column[chosen] for column in rows[1:])
        yield _later(_counted(times, declined > 0, explored > 0, more[places[chosen]]))


def _known_then(kept: Tallied) -> Maturity:
    """What was known of outcomes when it was counted."""
    held = tuple((int(first), int(last)) for first, last in json.loads(kept.held))
    return Maturity(0, outcomes=kept.outcomes, held=held)


def _later(counts: Ints) -> Ints:
    """Of counts those that an outcome adds to: the decision itself was counted before."""
    found: Ints = counts * np.array([1, *(name in ("reported", "learned") for name in COUNTS)])
    return found


def _is_explored() -> ColumnElement[bool]:
    return func.coalesce(decisions.c.flags.contains(f'"{EXPLORED}"'), False)


def _of_piece(piece: Piece, reported: Ints | Bools) -> Ints:
    explored = np.zeros(len(piece.ids), dtype=np.bool_)
    if piece.segment.explored:
        import pyarrow.compute as pc

        explored = pc.match_substring(piece.table["flags"], f'"{EXPLORED}"').fill_null(False).to_numpy()
    return _counted(piece.column("time"), piece.column("declined"), explored, reported)


def _counted(times: Ints, declined: Bools, explored: Bools, reported: Ints | Bools) -> Ints:
    """Counts by hour of decisions, each (n,); ``reported`` is how many outcomes each adds."""
    marks = np.stack((~declined, ~declined * reported, declined, explored, explored * reported), axis=1)
    return _summed([np.column_stack((times // HOUR, marks.astype(np.int64)))])


def _summed(parts: Sequence[Ints]) -> Ints:
    """Counts of the same hours added up."""
    whole = np.concatenate([np.empty((0, 1 + len(COUNTS)), dtype=np.int64), *parts])
    hours, which = np.unique(whole[:, 0], return_inverse=True)
    sums = np.zeros((len(hours), len(COUNTS)), dtype=np.int64)
    np.add.at(sums, which, whole[:, 1:])
    return np.column_stack((hours, sums))
