"""Moving everything from one database to another, of whichever kind, and proving that nothing changed on the way."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import zip_longest
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, delete, func, insert, select

from riskloop.core.errors import Conflict, StorageError
from riskloop.store.database import Database
from riskloop.store.leases import held
from riskloop.store.migrations import upgrade
from riskloop.store.tables import attempts, counters, cycles, leases, metadata, sessions

Tick = Callable[[str, float], None]  # a sentence and the share done, 0 to 1

BATCH: Final = 2000  # rows
_OWN: Final = {
    leases.name,
    cycles.name,
    sessions.name,
    attempts.name,
}  # who runs the loop or is logged in now is not on record


def quiet(_what: str, _share: float) -> None:
    """Hears of progress and says nothing."""


def move(source: Database, target: Database, tick: Tick = quiet) -> dict[str, int]:
    """Copy everything for good: as `copy`, and nobody may write to the source meanwhile.

    Raises Locked when a worker runs, Conflict when the source changed. Then the target stays empty.
    """

    def unchanged(count: dict[str, int]) -> None:
        with source.read() as later:
            if {name: _count(later, metadata.tables[name]) for name in count} != count:
                raise Conflict(
                    f"{source.name} was written while it was copied, so nothing was kept. Stop the API and the "
                    "worker, then copy it again."
                )

    upgrade(source)
    with held(source, "loop"):
        return copy(source, target, tick, unchanged)


def copy(
    source: Database,
    target: Database,
    tick: Tick = quiet,
    confirm: Callable[[dict[str, int]], None] = lambda _count: None,
) -> dict[str, int]:
    """Copy every row of one moment into an empty database and compare each; returns the rows of each table.

    ``confirm`` gets them before anything is kept, and may raise. Raises Conflict when the target holds rows,
    StorageError when a row came out different. Then the target stays empty.
    """
    upgrade(source)
    upgrade(target)
    tables = [table for table in metadata.sorted_tables if table.name not in _OWN]
    with source.read() as reading, target.write() as writing:
        target.alone(writing)
        _must_be_empty(target, writing, tables)
        writing.execute(delete(counters))
        count = {table.name: _count(reading, table) for table in tables}
        total, done = max(1, sum(count.values())), 0
        for table in tables:
            for rows in _batches(reading, table):
                writing.execute(insert(table), [dict(row._mapping) for row in rows])
                done += len(rows)
                tick(f"{table.name}: {done:,} of {total:,} rows copied", done / total / 2)
        target.continue_numbers(writing)
        for position, table in enumerate(tables):
            _compare(reading, writing, table)
            tick(f"{table.name}: compared", 0.5 + (position + 1) / len(tables) / 2)
        confirm(count)
    return count


def _must_be_empty(database: Database, connection: Connection, tables: list[Table]) -> None:
    for table in tables:
        if table is not counters and _count(connection, table):
            raise Conflict(f"{database.name} is not empty: its table {table.name} has rows. Name an empty database.")


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _rows(connection: Connection, table: Table) -> Iterator[Row[Any]]:
    query = select(table).order_by(*table.primary_key.columns)
    with connection.execution_options(yield_per=BATCH).execute(query) as found:
        yield from found


def _batches(connection: Connection, table: Table) -> Iterator[list[Row[Any]]]:
    batch: list[Row[Any]] = []
    for row in _rows(connection, table):
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _compare(reading: Connection, writing: Connection, table: Table) -> None:
    """Every row of both, by its key."""
    with closing(_sorted(reading, table)) as old, closing(_sorted(writing, table)) as new:
        for mine, yours in zip_longest(old, new):
            if mine is None or yours is None or tuple(mine) != tuple(yours):
                key = tuple((mine or yours)._mapping[column.name] for column in table.primary_key.columns)
                raise StorageError(f"The row {key} of {table.name} came out different, so nothing was kept.")


def _sorted(connection: Connection, table: Table) -> Generator[Row[Any]]:
    """Rows by key; keys that are text are sorted here, because databases disagree about the order of letters."""
    if all(column.type.python_type is int for column in table.primary_key.columns):
        yield from _rows(connection, table)
    else:
        keys = [column.name for column in table.primary_key.columns]
        yield from sorted(_rows(connection, table), key=lambda row: [row._mapping[key] for key in keys])
