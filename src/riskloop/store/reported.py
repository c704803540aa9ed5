"""The outcomes that count, in SQL and as arrays: for whoever asks what became of decisions, wherever those lie."""

from itertools import chain
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, and_, select

from riskloop.core.maturity import Maturity
from riskloop.core.types import Bools, Floats, Ints
from riskloop.store.tables import decisions, outcomes


def counted(known: Maturity) -> ColumnElement[bool]:
    """The outcomes that were there and are not in quarantine."""
    held = (outcomes.c.id.between(first, last) for first, last in known.held)
    return and_(outcomes.c.id <= known.outcomes, *(~one for one in held))


def is_reported(known: Maturity) -> ColumnElement[bool]:
    """Whether a row of `decisions` has a report that is not in quarantine, however early it came."""
    return select(outcomes.c.id).where(outcomes.c.decision_id == decisions.c.id, counted(known)).exists()


def reported_on(connection: Connection, ids: Ints, known: Maturity) -> Floats:
    """The latest outcome that counts of each decision (n,), NaN where there is none; ``ids`` ascending."""
    found = np.full(len(ids), np.nan)
    if not len(ids):
        return found
    query = (
        select(outcomes.c.decision_id, outcomes.c.defaulted)
        .where(outcomes.c.decision_id.between(int(ids[0]), int(ids[-1])), counted(known))
        .order_by(outcomes.c.id)
    )
    about, values = integers(connection, query, 2)
    places = np.searchsorted(ids, about)
    there = (places < len(ids)) & (ids[np.minimum(places, len(ids) - 1)] == about)
    found[places[there]] = values[there]  # in the order of their ids: the latest stays
    return found


def has_report(connection: Connection, ids: Ints, known: Maturity) -> Bools:
    """Which decisions have a report that is not in quarantine, however early it came; ``ids`` ascending."""
    return ~np.isnan(reported_on(connection, ids, known))


def integers(connection: Connection, query: Select[Any], columns: int) -> tuple[Ints, ...]:
    """The columns of a query that has whole numbers only, each (n,)."""
    rows = connection.execute(query).all()
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=len(rows) * columns)
    return tuple(np.ascontiguousarray(column) for column in flat.reshape(-1, columns).T)
