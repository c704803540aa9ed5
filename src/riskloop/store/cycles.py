"""How the loop's last cycle ended. A worker that is dead says nothing, so others have to see that it is silent."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from riskloop.core.english import counted
from riskloop.core.errors import Locked, NotReady, RiskloopError
from riskloop.core.types import from_micros
from riskloop.store.database import Database
from riskloop.store.tables import cycles, leases, promotions


@dataclass(frozen=True, slots=True)
class LoopState:
    """The loop as the database knows it; ages are by its clock."""

    finished_at: datetime | None  # the last cycle that went well; None: none yet
    age: timedelta | None  # since then
    waits: timedelta | None  # since then, else since the first promotion; None: there is nothing to watch
    failures: int  # cycles in a row that failed
    problem: str | None  # of the last failure
    given_up: bool  # the worker is not started again
    under_way: bool  # some process holds the lease

    def stands_still(self, late: timedelta) -> bool:
        """Whether no cycle has finished for so long that somebody has to look."""
        return self.given_up or (self.waits is not None and self.waits > late)

    def trouble(self, late: timedelta) -> str | None:
        """What is wrong, in a sentence; None when nothing is."""
        since = "yet" if self.finished_at is None else f"since {self.finished_at:%Y-%m-%d %H:%M} UTC"
        failed = f" {counted(self.failures, 'cycle')} failed: {self.problem}" if self.failures else ""
        if self.given_up:
            return f"The loop stands still: {self.problem} No cycle has finished {since}."
        if self.stands_still(late):
            hint = "One is under way." if self.under_way else "Run `riskloop up` or `riskloop watch`."
            return f"The loop stands still: no cycle has finished {since}.{failed} {hint}"
        return failed.strip() or None


# What runs again and again: the cycle, and what follows it.
LOOP, MLFLOW, LINEAGE, SHADOW = "loop", "mlflow", "lineage", "shadow"


def loop_state(database: Database, name: str = LOOP) -> LoopState:
    """How the loop, or what runs after it, stands now."""
    with database.read() as connection:
        now = database.now(connection)
        row = connection.execute(select(cycles).where(cycles.c.name == name)).first()
        first = connection.execute(select(promotions.c.at).order_by(promotions.c.seq).limit(1)).scalar()
        held = select(leases.c.name).where(leases.c.name == name, leases.c.expires_at > now)
        under_way = connection.execute(held).first() is not None
    if row is None:
        return LoopState(None, None, None if first is None else _age(now, first), 0, None, False, under_way)
    waits = first if row.finished_at is None else row.finished_at
    return LoopState(
        finished_at=None if row.finished_at is None else from_micros(row.finished_at),
        age=None if row.finished_at is None else _age(now, row.finished_at),
        waits=None if waits is None else _age(now, waits),
        failures=row.failures,
        problem=row.problem,
        given_up=row.given_up,
        under_way=under_way,
    )


def _age(now: int, then: int) -> timedelta:
    return timedelta(microseconds=max(0, now - then))


@contextmanager
def recorded(database: Database) -> Iterator[None]:
    """A block that is a cycle: how it ends is on record. To be told to wait is no failure."""
    try:
        yield
    except (Locked, NotReady):
        raise
    except Exception as error:
        failed(database, error.message if isinstance(error, RiskloopError) else f"{type(error).__name__}: {error}")
        raise
    finished(database)


def finished(database: Database, name: str = LOOP) -> None:
    """Keep that it went well just now."""
    with database.write() as connection:
        values = {"finished_at": database.now(connection), "failures": 0, "problem": None, "given_up": False}
        _write(connection, name, values)


def failed(database: Database, problem: str, name: str = LOOP) -> None:
    """Keep that it failed once more, and why."""
    try:
        with database.write() as connection:
            _write(connection, name, {"failures": cycles.c.failures + 1, "problem": problem})
    except RiskloopError:  # the database is what is wrong; the cycle's own error says so
        return


def give_up(database: Database, problem: str) -> None:
    """The worker ended too often; until a cycle finishes, everybody is told so."""
    with database.write() as connection:
        _write(connection, LOOP, {"given_up": True, "problem": problem})


def _write(connection: Connection, name: str, values: dict[str, Any]) -> None:
    """Into the row of ``name``, which is made at its first time: the migration made the loop's."""
    if connection.execute(select(cycles.c.name).where(cycles.c.name == name)).first() is None:
        connection.execute(insert(cycles).values(name=name, finished_at=None, failures=0, problem=None, given_up=False))
    connection.execute(update(cycles).where(cycles.c.name == name).values(**values))
