"""One decision: its inputs, its reasons, what became of it, and a replay."""

import re
from datetime import datetime
from typing import Final

from sqlalchemy import select

from riskloop.core.errors import DataError
from riskloop.core.types import Decision, Floats, Json, Reason, from_micros, to_micros
from riskloop.results import ReplayResult
from riskloop.scoring.answers import described
from riskloop.scoring.model import Model
from riskloop.store.database import Database
from riskloop.store.tables import outcomes, windows
from riskloop.web.guard import Serving

OTHERS: Final = 10  # other decisions on the same customer


def number_of(text: str) -> int:
    """A decision's number; DataError for what cannot be one."""
    if re.fullmatch(r"\d{1,18}", text) is None:
        raise DataError(f"'{text[:40]}' is not a decision's number; they are whole numbers.")
    return int(text)


# --------------------------------------------------------------------------- one decision


def principal(model: Model, found: Decision, parts: Floats, most: int) -> list[Reason]:
    """The ``most`` strongest reasons of a decline: what raised the risk. Protected features are never among them.

    Source: 12 CFR 1002.9(b)(2), principal reasons of an adverse action. None where the customer was approved.
    """
    if not found.default:
        return []
    protected = {model.schema.names[i] for i in model.schema.protected_columns}
    reasons = model.reasons(found.features, parts, len(model.schema))
    return [r for r in reasons if r.contribution > 0.0 and r.feature not in protected][:most]


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
        "principal": principal(model, found, parts, home.settings.serve.max_reasons),
        "features": home.settings.features,
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
