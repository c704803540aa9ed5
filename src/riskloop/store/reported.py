"""The outcomes that count, in SQL and as arrays: for whoever asks what became of decisions, wherever those lie."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, and_, select

from riskloop.core.maturity import Maturity
from riskloop.core.types import Bools, Floats, Ints
from riskloop.store.tables import decisions, outcomes

# Along the index of decisions. Ordered by id alone, SQLite would go through all outcomes to save itself the sorting.
BY_DECISION: Final = (outcomes.c.decision_id, outcomes.c.id)
PART: Final = 500  # below SQLite's oldest limit of 999 bound variables
DENSE: Final = 20  # rows that are read for one that is wanted, before single numbers are asked for
_LOOKED: Final = 10_000  # numbers that are looked at together


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
    query = select(outcomes.c.decision_id, outcomes.c.defaulted).where(counted(known)).order_by(*BY_DECISION)
    for condition in ranged(outcomes.c.decision_id, ids):
        about, values = integers(connection, query.where(condition), 2)
        places = np.minimum(np.searchsorted(ids, about), len(ids) - 1)
        there = ids[places] == about
        found[places[there]] = values[there]  # of each decision in the order of their ids: the latest stays
    return found


def has_report(connection: Connection, ids: Ints, known: Maturity) -> Bools:
    """Which decisions have a report that is not in quarantine, however early it came; ``ids`` ascending."""
    there = np.zeros(len(ids), dtype=np.bool_)
    # By the index alone, and in its order: no row of the table is read.
    query = select(outcomes.c.decision_id).where(counted(known)).distinct()
    for condition in ranged(outcomes.c.decision_id, ids):
        (about,) = integers(connection, query.where(condition), 1)
        places = np.minimum(np.searchsorted(ids, about), len(ids) - 1)
        there[places[ids[places] == about]] = True
    return there


def integers(connection: Connection, query: Select[Any], columns: int) -> tuple[Ints, ...]:
    """The columns of a query that has whole numbers only, each (n,)."""
    with connection.execute(query) as result:
        # Whole numbers need no conversion, and a million of SQLAlchemy's rows takes longer than the query.
        rows = result.all() if result.cursor is None else result.cursor.fetchall()
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=len(rows) * columns)
    return tuple(np.ascontiguousarray(column) for column in flat.reshape(-1, columns).T)


def ranged(column: ColumnElement[Any], numbers: Ints) -> Iterator[ColumnElement[bool]]:
    """Conditions that together are true for all of ``numbers``, ascending, and for some between them."""
    for start in range(0, len(numbers), _LOOKED):
        part = numbers[start : start + _LOOKED]
        if len(part) > PART and part[-1] - part[0] < DENSE * len(part):
            yield column.between(int(part[0]), int(part[-1]))
            continue
        for first in range(0, len(part), PART):
            yield column.in_(part[first : first + PART].tolist())
