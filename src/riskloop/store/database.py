"""One connection policy for everything that is stored.

SQLite runs in WAL mode with full synchronisation: a commit that returned survives a power cut, readers never
wait for writers. A write transaction takes the write lock at its start (BEGIN IMMEDIATE), so that it can
never fail half-way for having read first.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError

from riskloop.core.errors import NotFound, StorageError

BUSY_SECONDS = 10.0


class Database:
    """An engine with `read` and `write` blocks; every failure of the database leaves as a StorageError."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self.engine = _engine(url)
        except (SQLAlchemyError, ImportError) as error:
            raise StorageError(f"The database URL '{url}' cannot be used: {error}") from None

    @property
    def is_sqlite(self) -> bool:
        """Whether this is a SQLite file (one machine) rather than a server."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading; its transaction is rolled back at the end."""
        with self._translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: committed durably when the block ends, rolled back when it raises."""
        with self._translated(), self.engine.connect() as connection:
            connection.info["write"] = True
            try:
                with connection.begin():
                    yield connection
            finally:
                connection.info["write"] = False

    def migrate(self) -> None:
        """Bring the tables to this version of riskloop. Safe to call from several processes at once."""
        from riskloop.store.migrations import upgrade

        with self._translated():
            upgrade(self.engine)

    def is_empty(self) -> bool:
        """Whether no table of riskloop exists yet."""
        with self._translated():
            return not inspect(self.engine).has_table("decisions")

    def close(self) -> None:
        """Return every pooled connection."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StorageError(
                f"The database {self.engine.url.render_as_string(hide_password=True)} refused: {error.orig}. "
                "Nothing was written; it can be tried again."
            ) from error
        except OverflowError:  # a number of a person's, beyond the 64 bits of the database's own
            raise NotFound(
                "So large a number names nothing here; numbers of decisions, versions and cases are small."
            ) from None


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    path = url.removeprefix("sqlite:///")
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
    if path and path != ":memory:":
        _follow_the_file(engine, path)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are opened below, not guessed by the driver
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get("write") else "BEGIN")

    return engine


def _follow_the_file(engine: Engine, path: str) -> None:
    """Never work on a file that lies somewhere else by now, nor give birth to an empty one in its place.

    An open SQLite file can be moved, deleted or replaced by a backup; its connections would not notice.
    """
    seen = False

    @event.listens_for(engine, "do_connect")
    def only_once_from_nothing(*_: Any) -> None:
        if seen and not Path(path).exists():
            raise sqlite3.OperationalError("the database file is gone")

    @event.listens_for(engine, "connect")
    def remember(_connection: Any, record: Any) -> None:
        nonlocal seen
        seen = True
        record.info["file"] = identity(path)

    @event.listens_for(engine, "checkout")
    def still_the_same(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info["file"] != identity(path):
            raise DisconnectionError("the database file was replaced")  # the pool connects anew


def identity(path: str) -> tuple[int, int] | None:
    """What tells a file from another one that has taken its place; None when there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - on the path of every commit
    except OSError:
        return None
    return status.st_dev, status.st_ino
