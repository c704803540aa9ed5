"""What pages read, in amounts that do not depend on how many decisions there are.

Findings come without their documents unless a page needs them; numbers over decisions come from ids, which are
consecutive, and from a systematic sample of at most `SAMPLE` rows.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, select

from riskloop.core.errors import NotFound
from riskloop.core.types import to_micros
from riskloop.store.database import Database
from riskloop.store.tables import case_events, decisions, promotions, windows
from riskloop.store.windows import Window, Windows

SAMPLE: Final = 2000


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


def served_since(database: Database, moment: datetime) -> DecisionSummary:
    """The decisions that were scored at or after ``moment``."""
    with database.read() as connection:
        last = _last_id(connection)
        return _served(connection, _first_since(connection, to_micros(moment), last), last)


def served_between(database: Database, first_id: int, last_id: int) -> DecisionSummary:
    """The decisions with ids from ``first_id`` to ``last_id``."""
    with database.read() as connection:
        return _served(connection, max(first_id, 1), last_id)


def _last_id(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(decisions.c.id), 0))).scalar_one())


def _first_since(connection: Connection, moment: int, last: int) -> int:
    """The first id scored at or after a moment, by bisection: ids are given in the order of scoring."""
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        at = connection.execute(select(decisions.c.scored_at).where(decisions.c.id == middle)).scalar()
        if at is not None and at >= moment:
            high = middle
        else:
            low = middle + 1
    return low


def _served(connection: Connection, first: int, last: int) -> DecisionSummary:
    count = max(0, last - first + 1)
    if not count:
        return DecisionSummary(0, 0, None, None)
    step = -(-count // SAMPLE)
    ids = range(first, last + 1, step)
    total = defaults = sampled = 0.0
    for start in range(0, len(ids), 500):
        query = select(func.count(), func.sum(decisions.c.probability), func.sum(decisions.c.is_default))
        found = connection.execute(query.where(decisions.c.id.in_(ids[start : start + 500]))).one()
        sampled += found[0]
        total += found[1] or 0.0
        defaults += found[2] or 0.0
    if not sampled:
        return DecisionSummary(count, 0, None, None)
    return DecisionSummary(count, int(sampled), total / sampled, 1.0 - defaults / sampled)


# --------------------------------------------------------------------------- what has changed


@dataclass(frozen=True, slots=True)
class Pulse:
    """Rises whenever something happens; what live pages poll."""

    promotions: int
    case_events: int
    windows: int
    decisions: int


def pulse(database: Database) -> Pulse:
    """The newest numbers of everything that grows."""
    columns = (promotions.c.seq, case_events.c.id, windows.c.id, decisions.c.id)
    query = select(*(select(func.coalesce(func.max(column), 0)).scalar_subquery() for column in columns))
    with database.read() as connection:
        return Pulse(*(int(value) for value in connection.execute(query).one()))
