"""How often requests were refused, by hour, field and problem: a broken feed shows here before anywhere else."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from riskloop.store.database import Database
from riskloop.store.tables import refusals

HOUR: Final = 3_600_000_000  # microseconds


class Refusal(NamedTuple):
    """One kind of refusal in one hour."""

    hour: int  # the hour's start in microseconds
    field: str  # empty when the whole body was refused
    code: str  # the problem in words, or the error's code


def add_refusals(database: Database, counts: Mapping[Refusal, int]) -> None:
    """Add to the stored counts in one transaction."""
    with database.write() as connection:
        for refusal, count in sorted(counts.items()):  # in one order, so that two at once cannot lock each other out
            same = [refusals.c[name] == value for name, value in refusal._asdict().items()]
            add = update(refusals).where(*same).values(count=refusals.c.count + count)
            if connection.execute(add).rowcount:
                continue
            try:
                with connection.begin_nested():
                    connection.execute(insert(refusals).values(**refusal._asdict(), count=count))
            except IntegrityError:  # another process was the first
                connection.execute(add)


def refusal_counts(database: Database, start: int, end: int) -> dict[Refusal, int]:
    """The counts of the hours that begin in [start, end), microseconds."""
    query = select(refusals).where(refusals.c.hour >= start, refusals.c.hour < end)
    with database.read() as connection:
        return {Refusal(r.hour, r.field, r.code): int(r._mapping["count"]) for r in connection.execute(query)}
