"""What was handed in together as outcomes: when, by whom, up to where it is complete, and whether it counts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, func, select, update

from riskloop.core.types import Finding, Ints, from_micros
from riskloop.store import chain, documents
from riskloop.store.database import Database
from riskloop.store.tables import deliveries
from riskloop.store.watermark import watermark
from riskloop.store.windows import judge_again


@dataclass(frozen=True)
class Delivery:
    """One file or request with outcomes."""

    id: int
    at: datetime
    by: str
    first_id: int | None  # outcome ids; None: nothing new was in it
    last_id: int | None
    recorded: int
    repeated: int
    corrected: int
    unmatched: int
    complete_until: datetime | None  # the watermark, exclusive
    reason: str | None  # why the watermark went back to that; None: it did not
    definition: str  # version of the definition of default
    examined: bool
    held: bool  # in quarantine
    case_id: int | None
    findings: tuple[Finding, ...]

    @property
    def released(self) -> bool:
        """Whether a person let it count after it was held."""
        return self.case_id is not None and not self.held

    @property
    def name(self) -> str:
        """For people."""
        return f"delivery {self.id} of {self.at:%Y-%m-%d}"


class Deliveries:
    """Reads deliveries; the watermark is theirs."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def latest(self, limit: int = 60) -> list[Delivery]:
        """The newest deliveries, oldest of them first."""
        return self._read(select(deliveries).order_by(deliveries.c.id.desc()).limit(limit))[::-1]

    def unexamined(self) -> list[Delivery]:
        """Deliveries that nobody has looked at yet, oldest first."""
        return self._read(select(deliveries).where(~deliveries.c.examined).order_by(deliveries.c.id))

    def of_case(self, number: int) -> list[Delivery]:
        """The deliveries that a case holds, oldest first."""
        return self._read(select(deliveries).where(deliveries.c.case_id == number).order_by(deliveries.c.id))

    def containing(self, numbers: Sequence[int]) -> list[Delivery]:
        """The deliveries with these outcome ids, oldest first."""
        ids = np.asarray(sorted(numbers), dtype=np.int64)
        found = self._read(select(deliveries).where(deliveries.c.first_id.is_not(None)).order_by(deliveries.c.id))
        return [d for d in found if _any_between(ids, d.first_id or 0, d.last_id or 0)]

    def since(self, moment: int) -> list[Delivery]:
        """The deliveries with outcomes since ``moment``, microseconds, oldest first."""
        query = select(deliveries).where(deliveries.c.first_id.is_not(None), deliveries.c.at >= moment)
        return self._read(query.order_by(deliveries.c.id))

    def held(self) -> list[Delivery]:
        """The deliveries in quarantine, oldest first."""
        return self._read(select(deliveries).where(deliveries.c.held).order_by(deliveries.c.id))

    def watermark(self) -> datetime | None:
        """Up to where the feed is complete, as it says itself; None when it never did."""
        with self.database.read() as connection:
            return watermark(connection)

    def last_at(self) -> datetime | None:
        """When something was handed in last."""
        with self.database.read() as connection:
            found = connection.execute(select(func.max(deliveries.c.at))).scalar()
        return None if found is None else from_micros(found)

    def _read(self, query: Any) -> list[Delivery]:
        with self.database.read() as connection:
            return [_delivery(row) for row in connection.execute(query)]


def _any_between(ids: Ints, first: int, last: int) -> bool:
    at = int(np.searchsorted(ids, first))
    return at < ids.size and int(ids[at]) <= last


def examined(connection: Connection, numbers: Sequence[int], found: Sequence[Finding] = ()) -> None:
    """Store what was found in deliveries that were looked at together, in the caller's transaction."""
    values = {"examined": True, "findings": documents.dumps(list(found))}
    connection.execute(update(deliveries).where(deliveries.c.id.in_(numbers)).values(**values))
    chain.note(connection, deliveries, *numbers)


def hold(connection: Connection, numbers: Sequence[int], case_id: int) -> None:
    """Quarantine deliveries, in the caller's transaction; windows that they decided are judged again."""
    _set(connection, numbers, held=True, case_id=case_id)


def release(connection: Connection, numbers: Sequence[int]) -> None:
    """Let deliveries count again, in the caller's transaction; windows that they speak about are judged again."""
    _set(connection, numbers, held=False)


def _set(connection: Connection, numbers: Sequence[int], **values: object) -> None:
    chosen = deliveries.c.id.in_(numbers)
    connection.execute(update(deliveries).where(chosen).values(**values))
    chain.note(connection, deliveries, *numbers)
    first = connection.execute(select(func.min(deliveries.c.first_id)).where(chosen)).scalar()
    if first is not None:
        judge_again(connection, int(first))


def _delivery(row: Row[Any]) -> Delivery:
    values = dict(row._mapping)
    until = values["complete_until"]
    found = tuple(documents.finding(document) for document in json.loads(values["findings"]))
    return Delivery(
        **{
            **values,
            "at": from_micros(values["at"]),
            "complete_until": None if until is None else from_micros(until),
            "findings": found,
        }
    )
