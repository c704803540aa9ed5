"""Consecutive numbers without gaps, over any number of processes and machines.

A counter is a row. Who raises it holds its lock until the transaction ends, so numbers are given in the order of the
commits, and a transaction that is rolled back gives its numbers back.
"""

from typing import Final

from sqlalchemy import Connection, Table, select, update

from riskloop.store.tables import archives, counters, decisions, links, models, outcomes

COUNTED: Final = {
    "decisions": decisions.c.id,
    "models": models.c.version,
    "outcomes": outcomes.c.id,
    "links": links.c.number,
    "archives": archives.c.id,
}


def take(connection: Connection, counted: Table, count: int = 1) -> int:
    """The first of the next ``count`` numbers; others who want one wait until this transaction ends."""
    raised = update(counters).where(counters.c.name == counted.name).values(value=counters.c.value + count)
    return int(connection.execute(raised.returning(counters.c.value)).scalar_one()) - count + 1


def lock(connection: Connection, counted: Table) -> None:
    """Keep others from taking numbers until this transaction ends: what is read from now on stays true until then."""
    connection.execute(select(counters.c.value).where(counters.c.name == counted.name).with_for_update()).one()


def last(connection: Connection, counted: Table) -> int:
    """The last number that was given; without `lock` the next one may be somebody else's."""
    return int(connection.execute(select(counters.c.value).where(counters.c.name == counted.name)).scalar_one())
