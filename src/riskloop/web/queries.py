"""What pages read, in amounts that do not depend on how many decisions there are.

Findings come without their documents unless a page needs them; numbers over decisions come from ids, which are
consecutive, and from a systematic sample of at most `SAMPLE` rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import CTE, BigInteger, ColumnElement, Connection, cast, func, literal, select, true

from riskloop.core.errors import NotFound
from riskloop.core.span import Span
from riskloop.core.types import to_micros
from riskloop.store.database import Database
from riskloop.store.pieces import Segment
from riskloop.store.segments import Segments, last_decision
from riskloop.store.tables import case_events, case_notes, decisions, promotions, segments, windows
from riskloop.store.windows import Window, Windows

SAMPLE: Final = 2000
GAPS: Final = 200  # between segments, in one question: SQLite takes 500 parts of a union
POINTS: Final = 64  # rows that are looked at together


@dataclass(frozen=True, slots=True)
class WindowPage:
    """Some windows, oldest first, and the numbers at which the pages beside it end."""

    rows: list[Window]
    older: int | None
    newer: int | None


def window_page(store: Windows, size: int, until: int | None = None) -> WindowPage:
    """The newest ``size`` windows up to number ``until``."""
    rows, last = store.latest(size, until), store.count()
    if not rows:
        return WindowPage([], None, None)
    older = rows[0].id - 1 if rows[0].id > 1 else None
    newer = min(last, rows[-1].id + size) if rows[-1].id < last else None
    return WindowPage(rows, older, newer)


def window_of(store: Windows, number: int) -> Window:
    """One window, or NotFound."""
    found = store.get(number)
    if found is None:
        raise NotFound(f"There is no window {number}; the drift page lists them.")
    return found


# --------------------------------------------------------------------------- decisions in sum


@dataclass(frozen=True, slots=True)
class DecisionSummary:
    """Decisions in sum."""

    decisions: int
    sampled: int  # on which the means are
    mean_pd: float | None
    approval_rate: float | None


def served_since(database: Database, moment: datetime, version: int | None = None) -> DecisionSummary:
    """The decisions that were scored at or after ``moment``; with ``version`` the means are over its own alone."""
    with database.read() as connection:
        last = last_decision(connection)
        first = _first_since(connection, to_micros(moment), last)
        return _served(connection, Segments(database), first, last, version)


def counted_since(database: Database, moment: datetime) -> int:
    """How many decisions were scored at or after ``moment``: what open pages ask for every two seconds."""
    with database.read() as connection:
        last = last_decision(connection)
        return last + 1 - _first_since(connection, to_micros(moment), last)


def served_between(database: Database, first_id: int, last_id: int) -> DecisionSummary:
    """The decisions with ids from ``first_id`` to ``last_id``."""
    with database.read() as connection:
        return _served(connection, Segments(database), max(first_id, 1), last_id)


def _first_since(connection: Connection, moment: int, last: int) -> int:
    """The first id scored at or after a moment: ids are given in the order of scoring.

    Segments say from when they are; between them it is searched, many rows of the table at a time.
    """
    later = select(func.min(segments.c.first_id)).where(segments.c.scored_at >= moment)
    before = select(func.max(segments.c.first_id + segments.c.rows)).where(segments.c.scored_at < moment)
    found = connection.execute(select(before.scalar_subquery(), later.scalar_subquery())).one()
    low, high = int(found[0] or 1), int(found[1] or last + 1)
    while low < high:
        step = -(-(high - low) // POINTS)
        points = range(low, high, step)
        query = select(func.min(decisions.c.id)).where(decisions.c.id.in_(points), decisions.c.scored_at >= moment)
        young = connection.execute(query).scalar()
        if young is not None:
            low, high = max(low, int(young) - step + 1), int(young)
        else:
            low = points[-1] + 1
    return low


def _served(
    connection: Connection, segments: Segments, first: int, last: int, version: int | None = None
) -> DecisionSummary:
    """Means over a sample of the table and over whole segments, whose sums are on record; none of their rows is read.

    Where only a part of a segment is meant, its mean stands for the part. With ``version`` the means are over what
    that version decided; how many decisions there are is told of all.
    """
    count = max(0, last - first + 1)
    if not count:
        return DecisionSummary(0, 0, None, None)
    held = [
        (s, min(s.last_id, last) - max(s.first_id, first) + 1) for s in segments.within(connection, Span(first, last))
    ]
    rows = float(count - sum(inside for _, inside in held))
    meant = [(s, inside) for s, inside in held if version in (None, s.model_version)]
    total = sum(s.total / s.rows * inside for s, inside in meant)
    defaults = sum(s.declined / s.rows * inside for s, inside in meant)
    sampled = sum(inside for _, inside in meant)
    weight = float(sampled)
    if rows:
        share, seen, of_seen, declined = _sampled(connection, [s for s, _ in held], first, last, version)
        if seen:
            rows *= share
            sampled, total, defaults = sampled + seen, total + rows * of_seen / seen, defaults + rows * declined / seen
            weight += rows
    if not sampled:
        return DecisionSummary(count, 0, None, None)
    return DecisionSummary(count, sampled, total / weight, 1.0 - defaults / weight)


def _sampled(
    connection: Connection, held: Sequence[Segment], first: int, last: int, version: int | None
) -> tuple[float, int, float, float]:
    """Of a systematic sample of rows of the table the version's own: their share of the sample, how many, the sum of
    their probabilities, and who was declined. Without a version all are meant.
    """
    gaps, following = [], first
    for segment in held:
        gaps.append(range(following, segment.first_id))
        following = segment.last_id + 1
    gaps = [gap for gap in (*gaps, range(following, last + 1)) if gap]
    step = -(-sum(map(len, gaps)) // SAMPLE)
    own = true() if version is None else decisions.c.model_version == version
    there, sampled, total, defaults = 0, 0, 0.0, 0.0
    for start in range(0, len(gaps), GAPS):
        every = _every(gaps[start : start + GAPS], step)
        query = select(
            func.count(),
            func.count().filter(own),
            func.sum(decisions.c.probability).filter(own),
            func.sum(decisions.c.is_default).filter(own),
        )
        found = connection.execute(query.select_from(every).join(decisions, decisions.c.id == every.c.id)).one()
        there += int(found[0])
        sampled += int(found[1])
        total += found[2] or 0.0
        defaults += found[3] or 0.0
    return (sampled / there if there else 0.0), sampled, total, defaults


def _every(gaps: Sequence[range], step: int) -> CTE:
    """Every ``step``-th id of these ranges, counted by the database: a list of ids costs ten times as much."""
    starts = [select(_whole(gap[0]).label("id"), _whole(gap[-1]).label("last")) for gap in gaps]
    found = starts[0].cte("every", recursive=True)
    following = found.c.id + step
    return found.union_all(*starts[1:], select(following, found.c.last).where(following <= found.c.last))


def _whole(number: int) -> ColumnElement[int]:
    return cast(literal(number), BigInteger)


# --------------------------------------------------------------------------- what has changed


@dataclass(frozen=True, slots=True)
class Pulse:
    """Rises whenever something happens; what live pages poll."""

    promotions: int
    case_events: int
    case_notes: int
    windows: int
    decisions: int


def pulse(database: Database) -> Pulse:
    """The newest numbers of everything that grows."""
    columns = (promotions.c.seq, case_events.c.id, case_notes.c.id, windows.c.id)
    query = select(*(select(func.coalesce(func.max(column), 0)).scalar_subquery() for column in columns))
    with database.read() as connection:
        seq, event, note, window = (int(value) for value in connection.execute(query).one())
        return Pulse(seq, event, note, window, last_decision(connection))
