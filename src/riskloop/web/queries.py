"""What pages read, in amounts that do not depend on how many decisions there are.

Windows come without their profiles and findings without their documents unless a page needs them; numbers over
decisions come from ids, which are consecutive, and from a systematic sample of at most `SAMPLE` rows.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from riskloop.core.errors import NotFound
from riskloop.core.types import Action, Diagnosis, Rung, from_micros, to_micros
from riskloop.store import documents
from riskloop.store.database import Database
from riskloop.store.tables import case_events, decisions, promotions, windows

SAMPLE: Final = 2000


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A window as lists show it."""

    id: int
    name: str
    first_time: datetime
    end_time: datetime
    first_id: int
    last_id: int
    rows: int
    model_version: int
    closed_at: datetime
    matured_at: datetime | None
    diagnosis: Diagnosis
    confirmed: bool
    action: Action
    sentence: str
    report: str | None
    quarantined: bool
    case_id: int | None


_MOMENTS: Final = ("first_time", "end_time", "closed_at", "matured_at")
_COLUMNS: Final = tuple(windows.c[name] for name in WindowRow.__slots__)


def latest_windows(database: Database, limit: int, until: int | None = None) -> list[WindowRow]:
    """The newest windows (up to number ``until``), oldest of them first."""
    query = select(*_COLUMNS).order_by(windows.c.id.desc()).limit(limit)
    if until is not None:
        query = query.where(windows.c.id <= until)
    with database.read() as connection:
        return [_window(row) for row in reversed(connection.execute(query).all())]


@dataclass(frozen=True, slots=True)
class WindowPage:
    """Some windows, oldest first, and the numbers at which the pages beside it end."""

    rows: list[WindowRow]
    older: int | None
    newer: int | None


def window_page(database: Database, size: int, until: int | None = None) -> WindowPage:
    """The newest ``size`` windows up to number ``until``."""
    rows = latest_windows(database, size, until)
    with database.read() as connection:
        last = int(connection.execute(select(func.coalesce(func.max(windows.c.id), 0))).scalar_one())
    if not rows:
        return WindowPage([], None, None)
    older = rows[0].id - 1 if rows[0].id > 1 else None
    newer = min(last, rows[-1].id + size) if rows[-1].id < last else None
    return WindowPage(rows, older, newer)


def window_row(database: Database, number: int) -> WindowRow:
    """One window, or NotFound."""
    found = latest_windows(database, 1, number)
    if not found or found[0].id != number:
        raise NotFound(f"There is no window {number}; the drift page lists them.")
    return found[0]


def rungs_of(database: Database, number: int) -> list[Rung]:
    """The ladder of one window's diagnosis."""
    with database.read() as connection:
        text = connection.execute(select(windows.c.rungs).where(windows.c.id == number)).scalar_one()
    return [documents.rung(rung) for rung in json.loads(text)]


def windows_of_case(database: Database, number: int) -> list[WindowRow]:
    """The windows that belong to a case, oldest first."""
    query = select(*_COLUMNS).where(windows.c.case_id == number).order_by(windows.c.id)
    with database.read() as connection:
        return [_window(row) for row in connection.execute(query)]


def _window(row: Row[Any]) -> WindowRow:
    values = dict(row._mapping)
    for name in _MOMENTS:
        values[name] = None if values[name] is None else from_micros(values[name])
    return WindowRow(**{**values, "diagnosis": Diagnosis(values["diagnosis"]), "action": Action(values["action"])})


# --------------------------------------------------------------------------- decisions in sum


@dataclass(frozen=True, slots=True)
class Served:
    """Decisions in sum."""

    decisions: int
    sampled: int  # on which the means are
    mean_pd: float | None
    approval_rate: float | None


def served_since(database: Database, moment: datetime) -> Served:
    """The decisions that were scored at or after ``moment``."""
    with database.read() as connection:
        last = _last_id(connection)
        return _served(connection, _first_since(connection, to_micros(moment), last), last)


def served_between(database: Database, first_id: int, last_id: int) -> Served:
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


def _served(connection: Connection, first: int, last: int) -> Served:
    count = max(0, last - first + 1)
    if not count:
        return Served(0, 0, None, None)
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
        return Served(count, 0, None, None)
    return Served(count, int(sampled), total / sampled, 1.0 - defaults / sampled)


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
