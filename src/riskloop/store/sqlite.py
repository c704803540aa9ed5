"""SQLite: one file on one machine, without a server.

It runs in WAL mode with full synchronisation: a commit that returned survives a power cut, readers never wait for
writers. A write transaction takes the only write lock at its start (BEGIN IMMEDIATE), so that it can never fail
half-way for having read first.
"""

import os
import sqlite3
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError

from riskloop.core.chain import GENESIS, Link
from riskloop.core.errors import ConfigError, StorageError
from riskloop.core.types import Decisions
from riskloop.store.appender import DECISION_COLUMNS, ChunkKey, Logged, decision_tuples, linked_decisions, repeated
from riskloop.store.database import BUSY_SECONDS, Database
from riskloop.store.files import make_file
from riskloop.store.wal import FilesChanged, OpenFiles

_NETWORKS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "9p", "afs", "lustre"})
_INSERT: Final = f"INSERT INTO decisions ({DECISION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_CHUNK: Final = "INSERT INTO chunks (key, fingerprint, first_id, rows, at) VALUES (?, ?, ?, ?, ?)"
_FIND_CHUNK: Final = "SELECT fingerprint, first_id, rows FROM chunks WHERE key = ?"
_TAKE: Final = "UPDATE counters SET value = value + ? WHERE name = 'decisions' RETURNING value"
_TAKE_LINK: Final = "UPDATE counters SET value = value + 1 WHERE name = 'links' RETURNING value"
_LAST_LINK: Final = "SELECT link FROM links ORDER BY number DESC LIMIT 1"
_INSERT_LINK: Final = f"INSERT INTO links ({', '.join(Link._fields)}) VALUES (?, ?, ?, ?, ?, ?, ?)"
_PROMOTED: Final = "SELECT coalesce(max(seq), 0) FROM promotions"
LOG_KEPT: Final = 64 * 2**20  # bytes to which the write-ahead log is cut when it begins anew
FEW_PAGES: Final = 500  # that many are moved in a few milliseconds, for which commits can wait
PASSES: Final = 5
_CACHE: Final = 32 * 2**10  # KiB of index pages: customers' ids come in no order
_TOUCH: Final = "SELECT 1 FROM sqlite_master LIMIT 1"  # opens the log and its index
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Sqlite(Database):
    """A database file."""

    scheme: ClassVar[str] = "sqlite:///"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            make_file(path)
        except OSError as error:
            raise StorageError(f"The database file {path} cannot be made: {error.strerror or error}.") from None
        self.files = OpenFiles(path, lambda: _connected(path, BUSY_SECONDS))
        self._kept = is_kept_from_writing(path)
        self.engine = _engine(path, self.files, self._kept)
        self._appenders: weakref.WeakSet[SqliteAppender] = weakref.WeakSet()

    @property
    def name(self) -> str:
        """The URL as riskloop.toml would have it; an odd character in it stands for itself."""
        return f"{self.scheme}{self.path}"

    def now(self, connection: Connection) -> int:
        """The machine's clock: there is one machine."""
        return time.time_ns() // 1000

    def alone(self, connection: Connection) -> None:
        """A write transaction is alone already."""

    def check(self) -> None:
        """A write-ahead log lives in memory that processes share, which no network file system offers."""
        mounts = Path("/proc/self/mounts")
        kind = file_system(self.path, mounts.read_text(encoding="utf-8") if mounts.exists() else "")
        if kind in _NETWORKS:
            raise ConfigError(
                f"The database {self.path} lies on a network file system ({kind}), where several machines would "
                "damage it. Use a local disk, or PostgreSQL (see docs/deploy.md)."
            )

    def appender(self, *, waits: bool = True, checkpoints: bool = True) -> "SqliteAppender":
        """See :class:`SqliteAppender`."""
        made = SqliteAppender(self.path, self.files, waits=waits, checkpoints=checkpoints)
        self._appenders.add(made)
        return made

    def trouble(self) -> str | None:
        """Whether the three files are still those that were opened. If not, all connections are let go of."""
        problem = self.files.lost()
        if problem is None:
            try:
                self.files.before_opening()
            except sqlite3.Error as error:
                problem = str(error)
        if problem is None:
            return None
        self._let_go()
        return f"The log {self.path} cannot be trusted: {problem}. Nothing is logged until it is right again."

    def _let_go(self) -> None:
        for appender in list(self._appenders):
            appender.let_go()
        self.engine.pool.dispose()  # the idle ones; not `engine.dispose`, whose old pool keeps those that are in use

    def examine(self) -> str | None:
        """SQLite's own quick check of every page. After damage nothing stays open: an index of the write-ahead log that
        fits it no more lives as long as any process has it, and only whoever opens it alone makes it anew.
        """
        try:
            with self.engine.connect() as connection:
                self._stop_examining = connection.connection.interrupt
                found = connection.exec_driver_sql("PRAGMA quick_check(3)").scalars().all()
        except DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
            if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise StorageError(f"The database {self.path} could not be checked: {error.orig}.") from error
            found = [str(error.orig)]
        finally:
            self._stop_examining = None
        if found == ["ok"]:
            return None
        self._let_go()
        said = "; ".join(" ".join(str(line).split()) for line in found)
        return f"The database {self.path} is damaged ({said}). Nothing is logged in it; restore a backup."

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if self._kept:
            raise StorageError(
                f"The database {self.path} may not be written here, only read; give this user the right to write the "
                "file and its folder, or run the command where they may be written."
            )
        with self.engine.connect() as connection:
            connection.info["write"] = True
            try:
                yield connection
            finally:
                connection.info["write"] = False
        problem = self.files.changed()
        if problem is not None:
            raise StorageError(
                f"While {self.path} was written, {problem}. Nobody knows whether this was kept; look before you repeat "
                "it."
            )


def is_kept_from_writing(path: Path) -> bool:
    """Whether this process may read the file but not write it, or not the log beside it: a read-only mount, a reader.

    Then `status` and whatever else only looks still works.
    """
    return os.access(path, os.R_OK) and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _engine(path: Path, files: OpenFiles, kept: bool) -> Engine:
    url = URL.create("sqlite", database=str(path))  # never as text: a folder's name may hold ? or %
    if kept:
        # Without a log nobody writes, and SQLite may be told so: else it would want to make one.
        how = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
        url = URL.create("sqlite", database=f"file:{quote(str(path.absolute()))}", query={"uri": "true"})
        url = url.update_query_string(how)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
    _follow_the_files(engine, files)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are opened below, not guessed by the driver
        if kept:
            return
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(_TOUCH)
        files.opened(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.info.get("write"):
            connection.exec_driver_sql("BEGIN")
            return
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        if files.changed() is not None:  # while it waited; with the write lock nobody begins another log
            connection.exec_driver_sql("ROLLBACK")
            raise StorageError(
                f"While others wrote to {path}, {files.changed()}. Nothing was written; it can be tried again."
            )

    return engine


def _follow_the_files(engine: Engine, files: OpenFiles) -> None:
    """Never work on files that lie somewhere else by now, nor give birth to an empty one in their place."""

    @event.listens_for(engine, "do_connect")
    def never_from_nothing(*_: Any) -> None:
        files.before_opening()

    @event.listens_for(engine, "checkout")
    def still_the_same(connection: Any, _record: Any, _proxy: Any) -> None:
        problem = files.changed()
        if problem is not None:
            files.rescue(connection)
            raise DisconnectionError(problem)  # the pool closes it and connects anew

    @event.listens_for(engine, "checkin")
    def not_kept(connection: Any, record: Any) -> None:
        if connection is not None and files.changed() is not None:
            files.rescue(connection)
            record.invalidate()

    @event.listens_for(engine, "close")
    def closed(connection: Any, _record: Any) -> None:
        connection.close()  # now, so that it is not counted as closed before it is
        files.closed(connection)


def _connected(path: Path, timeout: float) -> sqlite3.Connection:
    # mode=rw: a database that was moved away must fail, not be born again empty
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode=rw",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
    )


def file_system(path: Path, mounts: str) -> str:
    """The kind of file system that a path lies on, by a table like Linux's /proc/self/mounts; empty when unknown."""
    found, kind = Path(), ""
    for line in mounts.splitlines():
        _device, place, named, *_ = line.split(" ")
        mounted = Path(place.encode().decode("unicode_escape"))  # a space in it is written \040
        if path.absolute().is_relative_to(mounted) and len(mounted.parts) >= len(found.parts):
            found, kind = mounted, named
    return kind


class SqliteAppender:
    """Appends through a connection of its own.

    With ``waits=False`` no call waits for another process. With ``checkpoints=False`` no commit moves the write-ahead
    log into the database, which would triple its time; somebody has to call `tidy`.
    """

    remote = False

    def __init__(self, path: Path, files: OpenFiles, *, waits: bool, checkpoints: bool) -> None:
        self.path = path
        self._files = files
        self._waits = waits
        self._checkpoints = checkpoints
        self._connection: sqlite3.Connection | None = None
        self._using = RLock()  # who lets go of lost files is another thread

    def append(
        self, groups: Sequence[Decisions], chunk: ChunkKey | None = None, *, seq: int | None = None
    ) -> list[Logged] | None:
        """See :meth:`Appender.append`."""
        committed = False
        with self._using:
            try:
                connection = self._connection or self._open()
                cursor = connection.cursor()
                self._files.require()
                if not _begin(cursor):
                    return None
                if seq is not None and int(cursor.execute(_PROMOTED).fetchone()[0]) != seq:
                    cursor.execute("ROLLBACK")
                    return []
                logged = _known(cursor, chunk) if chunk is not None else []
                if not logged:
                    logged = _insert(cursor, groups, chunk)
                self._files.require()
                cursor.execute("COMMIT")
                committed = True
                self._files.require()
            except FilesChanged as error:
                self.let_go()
                raise self._refused(error, committed=committed) from error
            except (sqlite3.Error, OSError) as error:
                self.close()
                raise self._refused(error) from error
            except BaseException:
                self.close()
                raise
        return logged

    def busy(self) -> StorageError:
        """See :meth:`Appender.busy`."""
        return StorageError(
            f"Another process holds the write lock of {self.path} for too long. Nothing was logged; it can be tried "
            "again."
        )

    def tidy(self) -> None:
        """Keep the write-ahead log short. Each pass leaves only what was written meanwhile; few pages end it."""
        moved = 0
        for _ in range(PASSES):
            held = self.checkpoint()
            if held - moved <= FEW_PAGES:
                self.checkpoint(restart=True)
                return
            moved = held

    def checkpoint(self, *, restart: bool = False) -> int:
        """Move committed pages from the write-ahead log into the database; returns how many the log holds.

        The log begins at its start again only after a moment with none left to move, which under steady load never
        comes by itself: ``restart`` keeps writers out while the last ones are moved.
        """
        with self._using:
            try:
                connection = self._connection or self._open()
                self._files.require()
                mode = "RESTART" if restart else "PASSIVE"
                _busy, total, _moved = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            except FilesChanged as error:
                self.let_go()
                raise self._refused(error) from error
            except (sqlite3.Error, OSError) as error:
                self.close()
                raise self._refused(error) from error
        return int(total)

    def let_go(self) -> None:
        """After a file was lost: save what the log of this connection holds, and close it."""
        with self._using:
            connection = self._connection
            if connection is not None:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._files.rescue(connection)
            self.close()

    def close(self) -> None:
        """See :meth:`Appender.close`."""
        with self._using:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            try:
                connection.close()
            except sqlite3.Error:  # the file went away under it; there is nothing left to save
                return
            finally:
                self._files.closed(connection)

    def _open(self) -> sqlite3.Connection:
        self._files.before_opening()
        connection = _connected(self.path, BUSY_SECONDS if self._waits else 0.0)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={LOG_KEPT}")
        connection.execute(f"PRAGMA cache_size=-{_CACHE}")
        if not self._checkpoints:
            connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute(_TOUCH)
        self._files.opened(connection)
        self._connection = connection
        return connection

    def _refused(self, error: Exception, *, committed: bool = False) -> StorageError:
        fate = "These decisions may be on record or not" if committed else "Nothing was logged"
        return StorageError(f"The decision log {self.path} cannot be written: {error}. {fate}; it can be tried again.")


def _begin(cursor: sqlite3.Cursor) -> bool:
    try:
        cursor.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in _LOCKED:
            return False
        raise
    return True


def _known(cursor: sqlite3.Cursor, chunk: ChunkKey) -> list[Logged]:
    found = cursor.execute(_FIND_CHUNK, (chunk.key,)).fetchone()
    return [] if found is None else [repeated(chunk, *found)]


def _insert(cursor: sqlite3.Cursor, groups: Sequence[Decisions], chunk: ChunkKey | None) -> list[Logged]:
    logged = []
    count = sum(len(group) for group in groups)
    following = int(cursor.execute(_TAKE, (count,)).fetchone()[0]) - count + 1
    rows: list[tuple[Any, ...]] = []
    for group in groups:
        rows += decision_tuples(following, group)
        logged.append(Logged(following, len(group)))
        following += len(group)
    cursor.executemany(_INSERT, rows)
    number = int(cursor.execute(_TAKE_LINK).fetchone()[0])
    before = cursor.execute(_LAST_LINK).fetchone()
    cursor.execute(_INSERT_LINK, linked_decisions(number, GENESIS if before is None else before[0], rows))
    if chunk is not None:
        first = logged[0]
        cursor.execute(_INSERT_CHUNK, (chunk.key, chunk.fingerprint, first.first_id, first.rows, groups[0].scored_at))
    return logged
