"""A third database, as docs/architecture.md tells to write one: what an adapter needs, and nothing that makes it fast.

It is a SQLite file with a rollback journal instead of a write-ahead log, and its appender is written in what
`store/` has for every database.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import Connection, create_engine, event, func, insert, select

from riskloop.core.chain import decisions_digest
from riskloop.core.errors import StorageError
from riskloop.core.types import Decisions
from riskloop.store import chain, counters
from riskloop.store.appender import DECISION_COLUMNS, ChunkKey, Logged, decision_tuples, repeated
from riskloop.store.database import Database
from riskloop.store.tables import chunks, decisions, promotions


class Journal(Database):
    """A database file that one process at a time uses."""

    scheme: ClassVar[str] = "journal:///"

    def __init__(self, path: Path) -> None:
        self.engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

        @event.listens_for(self.engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.isolation_level = None  # transactions are opened below, not guessed by the driver

        @event.listens_for(self.engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get("write") else "BEGIN")

    def now(self, connection: Connection) -> int:
        return time.time_ns() // 1000  # there is one machine

    def alone(self, connection: Connection) -> None:
        """A write transaction is alone already."""

    def check(self) -> None:
        """Every file will do."""

    def examine(self) -> str | None:
        with self.read() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        return None if found == "ok" else f"The database {self.name} is damaged ({found})."

    def appender(self, *, waits: bool = True, checkpoints: bool = True) -> "JournalAppender":
        return JournalAppender(self)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            connection.info["write"] = True
            try:
                yield connection
            finally:
                connection.info["write"] = False


class JournalAppender:
    """Appends decisions by a write block of its database."""

    remote = False

    def __init__(self, database: Journal) -> None:
        self.database = database

    def append(
        self, groups: Sequence[Decisions], chunk: ChunkKey | None = None, *, seq: int | None = None
    ) -> list[Logged] | None:
        try:
            return self._append(groups, chunk, seq)
        except StorageError as error:
            raise StorageError(f"Nothing was logged in {self.database.name}: {error}") from error

    def busy(self) -> StorageError:
        return StorageError(f"Others write to {self.database.name} for too long. Nothing was logged.")

    def tidy(self) -> None:
        """A rollback journal needs none."""

    def close(self) -> None:
        """It has no connection of its own."""

    def _append(self, groups: Sequence[Decisions], chunk: ChunkKey | None, seq: int | None) -> list[Logged]:
        names = DECISION_COLUMNS.split(", ")
        with self.database.write() as connection:
            if (
                seq is not None
                and connection.execute(select(func.coalesce(func.max(promotions.c.seq), 0))).scalar() != seq
            ):
                return []
            if chunk is not None:
                known = select(chunks.c.fingerprint, chunks.c.first_id, chunks.c.rows).where(chunks.c.key == chunk.key)
                if (found := connection.execute(known).one_or_none()) is not None:
                    return [repeated(chunk, *found)]
            first = following = counters.take(connection, decisions, sum(map(len, groups)))
            rows: list[tuple[Any, ...]] = []
            logged = []
            for group in groups:
                rows += decision_tuples(following, group)
                logged.append(Logged(following, len(group)))
                following += len(group)
            connection.execute(insert(decisions), [dict(zip(names, row, strict=True)) for row in rows])
            chain.note_group(connection, decisions, first, following - 1, decisions_digest(rows))
            if chunk is not None:
                kept = {"key": chunk.key, "fingerprint": chunk.fingerprint, "first_id": first}
                connection.execute(insert(chunks), [{**kept, "rows": logged[0].rows, "at": groups[0].scored_at}])
        return logged
