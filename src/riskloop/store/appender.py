"""Appending to the decision log: one durable transaction for whatever is committed together.

Ids are consecutive and given inside the write transaction, so a gap would be a lost decision. Appending goes
straight to the driver: at tens of thousands of decisions a second, a layer between costs more than the disk.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final
from urllib.parse import quote

from riskloop.core.errors import Conflict, StorageError
from riskloop.core.types import Decisions
from riskloop.store.database import BUSY_SECONDS, identity

_INSERT: Final = (
    "INSERT INTO decisions (id, customer_id, time, scored_at, model_version, probability, is_default, features, flags)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_CHUNK: Final = "INSERT INTO chunks (key, fingerprint, first_id, rows, at) VALUES (?, ?, ?, ?, ?)"
_FIND_CHUNK: Final = "SELECT fingerprint, first_id, rows FROM chunks WHERE key = ?"
_PROMOTED: Final = "SELECT coalesce(max(seq), 0) FROM promotions"
LOG_KEPT: Final = 64 * 2**20  # bytes to which the write-ahead log is cut when it begins anew
_CACHE: Final = 32 * 2**10  # KiB of index pages: customers' ids come in no order
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file under an idempotency key."""

    key: str
    fingerprint: str  # of the body: the same key with other rows is a mistake, not a repetition


@dataclass(frozen=True, slots=True)
class Logged:
    """Where decisions are in the log."""

    first_id: int
    rows: int
    repeated: bool = False  # they were there before: the chunk had been sent already


class Appender:
    """One connection that appends decisions. It belongs to one thread at a time.

    After any failure the connection is opened anew by the next call, so that a full disk or a locked file heals
    by itself. With ``waits=False`` no call waits for another process. With ``checkpoints=False`` no commit moves the
    write-ahead log into the database, which would triple its time; somebody has to call `checkpoint`.
    """

    def __init__(self, path: str, *, waits: bool, checkpoints: bool) -> None:
        self.path = path
        self._waits = waits
        self._checkpoints = checkpoints
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def append(self, groups: Sequence[Decisions], chunk: Chunk | None = None) -> list[Logged] | None:
        """Log the groups in one durable transaction, in order.

        With ``chunk`` there is one group, and it is logged once however often it is sent. Returns None when
        another process holds the write lock: nothing was written, try again.
        Raises StorageError when the log cannot be written; then nothing is in it. Raises Conflict when the
        chunk's key was used with other rows.
        """
        try:
            connection = self._connection or self._open()
            cursor = connection.cursor()
            if not _begin(cursor):
                return None
            logged = _known(cursor, chunk) if chunk is not None else []
            if not logged:
                logged = _insert(cursor, groups, chunk)
            self._still_there()
            cursor.execute("COMMIT")
            self._still_there()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise _refused(self.path, error) from error
        except BaseException:
            self.close()
            raise
        return logged

    def promoted(self) -> int:
        """The number of the last promotion at this moment, 0 before the first; StorageError when it cannot be read."""
        try:
            connection = self._connection or self._open()
            return int(connection.execute(_PROMOTED).fetchone()[0])
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise _refused(self.path, error) from error

    def checkpoint(self, *, restart: bool = False) -> int:
        """Move committed pages from the write-ahead log into the database; returns how many the log holds.

        The log begins at its start again only after a moment with none left to move, which under steady load never
        comes by itself: ``restart`` keeps writers out while the last ones are moved.
        """
        try:
            connection = self._connection or self._open()
            mode = "RESTART" if restart else "PASSIVE"
            _busy, total, _moved = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise _refused(self.path, error) from error
        return int(total)

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:  # the file went away under it; there is nothing left to save
                return

    def _open(self) -> sqlite3.Connection:
        # mode=rw: a database that was moved away must fail, not be born again empty
        connection = sqlite3.connect(
            f"file:{quote(self.path)}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS if self._waits else 0.0,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={LOG_KEPT}")
        connection.execute(f"PRAGMA cache_size=-{_CACHE}")
        if not self._checkpoints:
            connection.execute("PRAGMA wal_autocheckpoint=0")
        self._file = identity(self.path)
        self._connection = connection
        return connection

    def _still_there(self) -> None:
        """A deleted file still takes commits; nobody could ever read them."""
        if self._file is None or identity(self.path) != self._file:
            raise OSError("the database file is gone or was replaced")


def _begin(cursor: sqlite3.Cursor) -> bool:
    try:
        cursor.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in _LOCKED:
            return False
        raise
    return True


def _known(cursor: sqlite3.Cursor, chunk: Chunk) -> list[Logged]:
    found = cursor.execute(_FIND_CHUNK, (chunk.key,)).fetchone()
    if found is None:
        return []
    return [repeated(chunk, *found)]


def repeated(chunk: Chunk, fingerprint: str, first_id: int, rows: int) -> Logged:
    """A chunk that is in the log already; Conflict when its key was used with other rows."""
    if fingerprint != chunk.fingerprint:
        raise Conflict(
            f"The idempotency key '{chunk.key}' was used before with other rows; use a new key for new rows. "
            "Nothing was logged."
        )
    return Logged(first_id, rows, repeated=True)


def _insert(cursor: sqlite3.Cursor, groups: Sequence[Decisions], chunk: Chunk | None) -> list[Logged]:
    logged = []
    following = _next_id(cursor)
    for decisions in groups:
        cursor.executemany(_INSERT, _tuples(following, decisions))
        logged.append(Logged(following, len(decisions)))
        following += len(decisions)
    if chunk is not None:
        first = logged[0]
        cursor.execute(_INSERT_CHUNK, (chunk.key, chunk.fingerprint, first.first_id, first.rows, groups[0].scored_at))
    return logged


def _next_id(cursor: sqlite3.Cursor) -> int:
    """The write lock is held, so nobody else can take it. (A server database would lock a counter row here.)"""
    return int(cursor.execute("SELECT coalesce(max(id), 0) + 1 FROM decisions").fetchone()[0])


def _tuples(first_id: int, decisions: Decisions) -> Iterable[tuple[Any, ...]]:
    width = decisions.features.shape[1] * 8
    content = memoryview(decisions.features.astype("<f8", copy=False).tobytes())
    return zip(
        range(first_id, first_id + len(decisions)),
        decisions.customer_ids,
        decisions.times,
        repeat(decisions.scored_at),
        repeat(decisions.model_version),
        decisions.probabilities.tolist(),
        decisions.defaults.tolist(),
        (content[i : i + width] for i in range(0, len(decisions) * width, width)),
        repeat(None) if decisions.flags is None else decisions.flags,
        strict=False,  # `repeat` has no end
    )


def locked(path: str) -> StorageError:
    """What a caller says when the write lock did not come free in time."""
    return StorageError(
        f"Another process holds the write lock of {path} for too long. Nothing was logged; it can be tried again."
    )


def _refused(path: str, error: Exception) -> StorageError:
    return StorageError(
        f"The decision log {path} cannot be written: {error}. Nothing was logged; it can be tried again."
    )
