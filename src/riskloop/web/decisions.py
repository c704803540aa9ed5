"""Decisions: a search that never reads more than a fixed number of rows, and one decision with its reasons."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from urllib.parse import urlencode

from sqlalchemy import select

from riskloop.core.errors import DataError
from riskloop.core.types import Decision, Json, from_micros, to_micros
from riskloop.results import ReplayResult
from riskloop.scoring.answers import described
from riskloop.store import listing
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.listing import Place, Sought
from riskloop.store.tables import outcomes, windows
from riskloop.web.guard import Serving

SIZE: Final = 50
OTHERS: Final = 10  # other decisions on the same customer
DAY: Final = 86_400_000_000  # microseconds
FIELDS: Final = ("customer", "since", "until", "low", "high")


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
    def wanted(self) -> Sought:
        """What the store looks for."""
        return Sought(
            self.customer,
            None if self.since is None else _micros(self.since),
            None if self.until is None else _micros(self.until) + DAY,
            None if self.low is None else self.low / 100.0,
            None if self.high is None else self.high / 100.0,
        )


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


def _place(text: str | None) -> Place | None:
    """Where the page before ended, from a link; DataError for anything else."""
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,18})\.(-?\d{1,18})", text)
    if found is None:
        raise DataError(f"'{text}' is not a position in the list of decisions; search again.")
    return Place(int(found[1]), int(found[2]))


def search(decisions: DecisionLog, asked: Mapping[str, str]) -> Json:
    """A page of decisions, newest first, after the key in ``after``."""
    rows, after, stopped = decisions.page(Search.of(asked).wanted, _place(asked.get("after")), SIZE)
    fields = {name: asked[name] for name in FIELDS if asked.get(name)}
    return {
        "rows": rows,
        "asked": asked,
        "searched": bool(fields),
        "stopped": stopped,
        "looked_at": listing.LOOKED_AT,
        "first": f"/dashboard/decisions?{urlencode(fields)}" if asked.get("after") else None,
        "older": None
        if after is None
        else f"/dashboard/decisions?{urlencode({**fields, 'after': f'{after.id}.{after.time}'})}",
        "total": decisions.last_id(),
        "from_micros": from_micros,
    }


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
