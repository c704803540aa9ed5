"""Decisions: a search that never reads more than a fixed number of rows, and one decision with its reasons."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from riskloop.core.errors import DataError
from riskloop.core.types import Decision, Json, from_micros, to_micros
from riskloop.results import ReplayResult
from riskloop.scoring.answers import described
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.tables import decisions, outcomes, windows
from riskloop.web.guard import Serving

SIZE: Final = 50
LOOKED_AT: Final = 100_000  # rows that one page looks through at most; the next page goes on from there
OTHERS: Final = 10  # other decisions on the same customer
DAY: Final = 86_400_000_000  # microseconds
FIELDS: Final = ("customer", "since", "until", "low", "high")

_COLUMNS: Final = (
    decisions.c.id,
    decisions.c.customer_id,
    decisions.c.time,
    decisions.c.probability,
    decisions.c.is_default,
    decisions.c.model_version,
    decisions.c.flags,
)


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; everything that is None is not asked for."""

    customer: str | None = None
    since: date | None = None  # days in UTC, both included
    until: date | None = None
    low: float | None = None  # probabilities in percent, both included
    high: float | None = None

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> "Search":
        """From the fields of the form; DataError for what cannot be read."""
        return cls(
            asked.get("customer", "").strip() or None,
            _day(asked, "since"),
            _day(asked, "until"),
            _percent(asked, "low"),
            _percent(asked, "high"),
        )

    @property
    def by_time(self) -> bool:
        """Whether the walk goes through the index of times; else it goes through the ids."""
        return self.customer is None and (self.since is not None or self.until is not None)

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """On customer and time: what the walk starts from."""
        found: list[ColumnElement[bool]] = []
        if self.customer is not None:
            found.append(decisions.c.customer_id == self.customer)
        if self.since is not None:
            found.append(decisions.c.time >= _micros(self.since))
        if self.until is not None:
            found.append(decisions.c.time < _micros(self.until) + DAY)
        return found


def _day(asked: Mapping[str, str], field: str) -> date | None:
    text = asked.get(field, "").strip()
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise DataError(f"'{text}' is not a day; write it as 2025-05-31.") from None


def _percent(asked: Mapping[str, str], field: str) -> float | None:
    text = asked.get(field, "").strip().rstrip("%")
    try:
        value = float(text) if text else None
    except ValueError:
        raise DataError(f"'{text}' is not a probability; write it in percent, as 12.5.") from None
    if value is not None and not 0.0 <= value <= 100.0:
        raise DataError(f"A probability lies between 0 and 100 percent, not at {text}.")
    return value


def _micros(day: date) -> int:
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC))


def number_of(text: str) -> int:
    """A decision's number; DataError for what cannot be one."""
    if re.fullmatch(r"\d{1,18}", text) is None:
        raise DataError(f"'{text[:40]}' is not a decision's number; they are whole numbers.")
    return int(text)


# --------------------------------------------------------------------------- the search


@dataclass(frozen=True, slots=True)
class PageEnd:
    """Where a page ends; the next one begins after it."""

    id: int
    time: int

    @classmethod
    def of(cls, text: str | None) -> "PageEnd | None":
        """From a link; DataError for anything else."""
        if not text:
            return None
        found = re.fullmatch(r"(\d{1,18})\.(-?\d{1,18})", text)
        if found is None:
            raise DataError(f"'{text}' is no place in the list of decisions; search again.")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.id}.{self.time}"


def search(database: Database, decisions: DecisionLog, asked: Mapping[str, str]) -> Json:
    """A page of decisions, newest first, after the key in ``after``."""
    wanted = Search.of(asked)
    with database.read() as connection:
        rows, after, stopped = _walk(connection, wanted, PageEnd.of(asked.get("after")))
    fields = {name: asked[name] for name in FIELDS if asked.get(name)}
    return {
        "rows": rows,
        "asked": asked,
        "searched": bool(fields),
        "stopped": stopped,
        "looked_at": LOOKED_AT,
        "first": f"/dashboard/decisions?{urlencode(fields)}" if asked.get("after") else None,
        "older": None if after is None else f"/dashboard/decisions?{urlencode({**fields, 'after': str(after)})}",
        "total": decisions.last_id(),
        "from_micros": from_micros,
    }


def _walk(connection: Connection, wanted: Search, after: PageEnd | None) -> tuple[list[Row[Any]], PageEnd | None, bool]:
    """The next rows, where the page after them begins, and whether the walk stopped before it had found a page."""
    walk = _in_order(select(*_COLUMNS), wanted, after)
    scored = wanted.low is not None or wanted.high is not None
    if not scored:
        rows = list(connection.execute(walk.limit(SIZE + 1)))
        return rows[:SIZE], _key(rows[SIZE - 1]) if len(rows) > SIZE else None, False
    looked = walk.limit(LOOKED_AT).subquery()
    query = select(looked)
    if wanted.low is not None:
        query = query.where(looked.c.probability >= wanted.low / 100.0)
    if wanted.high is not None:
        query = query.where(looked.c.probability <= wanted.high / 100.0)
    rows = list(connection.execute(query.limit(SIZE + 1)))
    if len(rows) > SIZE:
        return rows[:SIZE], _key(rows[SIZE - 1]), False
    ends = _in_order(select(decisions.c.id, decisions.c.time), wanted, after).offset(LOOKED_AT - 1).limit(2)
    last = connection.execute(ends).all()
    return (rows, _key(last[0]), True) if len(last) > 1 else (rows, None, False)


def _in_order(query: Select[Any], wanted: Search, after: PageEnd | None) -> Select[Any]:
    """Newest first along one index: by time where times are asked for, by id elsewhere."""
    query = query.where(*wanted.conditions)
    if not wanted.by_time:
        if after is not None:
            query = query.where(decisions.c.id < after.id)
        return query.order_by(decisions.c.id.desc())
    if after is not None:
        beyond = or_(decisions.c.time < after.time, and_(decisions.c.time == after.time, decisions.c.id < after.id))
        query = query.where(decisions.c.time <= after.time, beyond)
    return query.order_by(decisions.c.time.desc(), decisions.c.id.desc())


def _key(row: Row[Any]) -> PageEnd:
    return PageEnd(int(row.id), int(row.time))


# --------------------------------------------------------------------------- one decision


def decision(service: Serving, number: int, replayed: ReplayResult | None) -> Json:
    """One decision: inputs, contributions, what became of it, and the same scored again where that was asked for."""
    home = service.home
    found = home.decisions.get(number)
    model = service.reloader.version(found.model_version)
    parts = model.contributions(found.features.reshape(1, -1))[0]
    names = model.schema.names
    order = sorted(range(len(names)), key=lambda i: -abs(parts[i]))
    values = model.schema.decode(found.features)
    return {
        "decision": found,
        "inputs": [(names[i], values[names[i]], float(parts[i]), model.schema.features[i].protected) for i in order],
        "largest": max(1e-12, max(abs(float(parts[i])) for i in order)),
        "answer": described(model, found, home.settings.serve.max_reasons),
        "outcome": _outcome(home.database, number),
        "matures": found.time + home.settings.portfolio.outcome_window,
        "window": _window(home.database, found),
        "others": [
            other for other in home.decisions.of_customer(found.customer_id, OTHERS + 1) if other.decision_id != number
        ]
        if found.customer_id
        else [],
        "newer": number + 1 if number < home.decisions.last_id() else None,
        "older": number - 1 if number > 1 else None,
        "replayed": replayed,
    }


def _outcome(database: Database, number: int) -> tuple[bool, datetime] | None:
    """The latest outcome and when it became known."""
    query = select(outcomes.c.defaulted, outcomes.c.known_at).where(outcomes.c.decision_id == number)
    with database.read() as connection:
        row = connection.execute(query.order_by(outcomes.c.id.desc()).limit(1)).first()
    return None if row is None else (bool(row.defaulted), from_micros(row.known_at))


def _window(database: Database, found: Decision) -> tuple[int, str] | None:
    """The closed window that the decision belongs to."""
    at = to_micros(found.time)
    query = select(windows.c.id, windows.c.name).where(windows.c.first_time <= at, windows.c.end_time > at)
    with database.read() as connection:
        row = connection.execute(query.limit(1)).first()
    return None if row is None else (int(row.id), str(row.name))
