"""How far the watch over each promoted champion has come."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from riskloop.core.types import from_micros, to_micros
from riskloop.store import chain
from riskloop.store.database import Database
from riskloop.store.tables import probations


@dataclass(frozen=True, slots=True)
class Watched:
    """The latest look at a new champion."""

    seq: int  # of its promotion
    state: str  # a `ProbationState`
    spent: float  # of the probation's alpha so far
    matured: int  # outcomes at the last look at outcomes
    decisions: int  # at the last look at estimates
    at: datetime
    sentence: str


def watched(database: Database, seq: int) -> Watched | None:
    """The latest look at the champion of a promotion; None before the first one."""
    with database.read() as connection:
        row = connection.execute(select(probations).where(probations.c.seq == seq)).first()
    return None if row is None else Watched(**{**row._mapping, "at": from_micros(row.at)})


def remember(connection: Connection, look: Watched) -> None:
    """Keep a look in place of the one before, in the caller's transaction."""
    connection.execute(delete(probations).where(probations.c.seq == look.seq))
    connection.execute(
        insert(probations).values(
            seq=look.seq,
            state=look.state,
            spent=look.spent,
            matured=look.matured,
            decisions=look.decisions,
            at=to_micros(look.at),
            sentence=look.sentence,
        )
    )
    chain.note(connection, probations, look.seq)
