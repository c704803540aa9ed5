"""The decision log: every scored customer, committed before the answer leaves.

Ids are consecutive and given inside the write transaction, so a gap would be a lost decision. Appending goes
straight to the driver: at tens of thousands of decisions a second, a layer between costs more than the disk.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, func, select

from riskloop.core.errors import ConfigError, Conflict, DataError, NotFound, StorageError
from riskloop.core.exploration import EXPLORED, rate_of
from riskloop.core.types import Bools, Decision, DecisionFrame, Floats, from_micros
from riskloop.store.database import BUSY_SECONDS, Database
from riskloop.store.tables import chunks, decisions, outcomes

_INSERT: Final = (
    "INSERT INTO decisions (id, customer_id, time, scored_at, model_version, probability, is_default, features, flags)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_CHUNK: Final = "INSERT INTO chunks (key, fingerprint, first_id, rows, at) VALUES (?, ?, ?, ?, ?)"
_FIND_CHUNK: Final = "SELECT fingerprint, first_id, rows FROM chunks WHERE key = ?"
LOG_KEPT: Final = 64 * 2**20  # bytes to which the write-ahead log is cut when it begins anew
_CACHE: Final = 32 * 2**10  # KiB of index pages: customers' ids come in no order
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@dataclass(frozen=True, slots=True)
class Scored:
    """Decisions of one model that have no ids yet, column by column."""

    customer_ids: Sequence[str]
    times: Sequence[int]  # microseconds
    scored_at: int  # microseconds
    model_version: int
    probabilities: Floats
    defaults: Bools
    features: Floats  # (n, k), C-contiguous
    flags: Sequence[str | None] | None = None  # JSON texts; None: nothing to say about any row

    def __len__(self) -> int:
        return len(self.customer_ids)


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


class Span(NamedTuple):
    """How many decisions lie in a range, and from where to where."""

    rows: int
    first: int  # ids
    last: int
    earliest: int  # times in microseconds
    latest: int


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
        self._inode: tuple[int, int] | None = None

    def append(self, groups: Sequence[Scored], chunk: Chunk | None = None) -> list[Logged] | None:
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
            cursor.execute("COMMIT")
            self._still_there()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise _refused(self.path, error) from error
        except BaseException:
            self.close()
            raise
        return logged

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
        status = os.stat(self.path)  # noqa: PTH116 - on the path of every commit
        self._inode = (status.st_dev, status.st_ino)
        self._connection = connection
        return connection

    def _still_there(self) -> None:
        """A deleted file still takes commits; nobody could ever read them."""
        status = os.stat(self.path)  # noqa: PTH116
        if (status.st_dev, status.st_ino) != self._inode:
            raise OSError("the database file was replaced")


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
    return [_repeated(chunk, *found)]


def _repeated(chunk: Chunk, fingerprint: str, first_id: int, rows: int) -> Logged:
    if fingerprint != chunk.fingerprint:
        raise Conflict(
            f"The idempotency key '{chunk.key}' was used before with other rows; use a new key for new rows. "
            "Nothing was logged."
        )
    return Logged(first_id, rows, repeated=True)


def _insert(cursor: sqlite3.Cursor, groups: Sequence[Scored], chunk: Chunk | None) -> list[Logged]:
    logged = []
    following = _next_id(cursor)
    for scored in groups:
        cursor.executemany(_INSERT, _tuples(following, scored))
        logged.append(Logged(following, len(scored)))
        following += len(scored)
    if chunk is not None:
        first = logged[0]
        cursor.execute(_INSERT_CHUNK, (chunk.key, chunk.fingerprint, first.first_id, first.rows, groups[0].scored_at))
    return logged


def _next_id(cursor: sqlite3.Cursor) -> int:
    """The write lock is held, so nobody else can take it. (A server database would lock a counter row here.)"""
    return int(cursor.execute("SELECT coalesce(max(id), 0) + 1 FROM decisions").fetchone()[0])


def _tuples(first_id: int, scored: Scored) -> Iterable[tuple[Any, ...]]:
    width = scored.features.shape[1] * 8
    content = memoryview(scored.features.astype("<f8", copy=False).tobytes())
    return zip(
        range(first_id, first_id + len(scored)),
        scored.customer_ids,
        scored.times,
        repeat(scored.scored_at),
        repeat(scored.model_version),
        scored.probabilities.tolist(),
        scored.defaults.tolist(),
        (content[i : i + width] for i in range(0, len(scored) * width, width)),
        repeat(None) if scored.flags is None else scored.flags,
        strict=False,  # `repeat` has no end
    )


class DecisionLog:
    """Reads the log, and hands out appenders for it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def appender(self, *, waits: bool = True, checkpoints: bool = True) -> Appender:
        """A connection of its own for appending; see :class:`Appender`."""
        path = self.database.engine.url.database
        if not self.database.is_sqlite or not path or path == ":memory:":
            raise ConfigError(
                f"The decision log needs a SQLite file as [storage] url, not '{self.database.url}'; "
                "write it as sqlite:///riskloop.db."
            )
        return Appender(path, waits=waits, checkpoints=checkpoints)

    def append(self, scored: Scored, chunk: Chunk | None = None) -> Logged:
        """Log one group of decisions durably; StorageError when that is impossible now."""
        appender = self.appender()
        try:
            logged = appender.append([scored], chunk)
        finally:
            appender.close()
        if logged is None:
            raise locked(appender.path)
        return logged[0]

    def find_chunk(self, chunk: Chunk) -> Logged | None:
        """Where a chunk was logged, None when it was not; Conflict when its key belongs to other rows."""
        query = select(chunks.c.fingerprint, chunks.c.first_id, chunks.c.rows).where(chunks.c.key == chunk.key)
        with self.database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _repeated(chunk, *row)

    def scored(self, first_id: int, rows: int) -> Scored:
        """A chunk's decisions as they were logged; they share one model version and one moment."""
        query = select(decisions).where(decisions.c.id >= first_id, decisions.c.id < first_id + rows)
        with self.database.read() as connection:
            found = connection.execute(query.order_by(decisions.c.id)).all()
        frame = _frame(
            [
                (r.id, r.customer_id, r.time, r.model_version, r.probability, r.features, r.is_default, r.flags)
                for r in found
            ]
        )
        return Scored(
            customer_ids=frame.customer_ids,
            times=frame.times.tolist(),
            scored_at=int(found[0].scored_at),
            model_version=int(found[0].model_version),
            probabilities=frame.probabilities,
            defaults=np.array([r.is_default for r in found], dtype=np.bool_),
            features=frame.features,
            flags=[r.flags for r in found],
        )

    def get(self, decision_id: int) -> Decision:
        """One decision; NotFound when there is none of that number."""
        with self.database.read() as connection:
            row = connection.execute(select(decisions).where(decisions.c.id == decision_id)).first()
        if row is None:
            raise NotFound(f"There is no decision {decision_id} in the log.")
        return _decision(row)

    def of_customer(self, customer_id: str, limit: int = 100) -> list[Decision]:
        """The decisions on one customer, newest first."""
        query = select(decisions).where(decisions.c.customer_id == customer_id)
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(decisions.c.id.desc()).limit(limit)).all()
        return [_decision(row) for row in rows]

    def latest(self, limit: int = 20) -> list[Decision]:
        """The newest decisions, newest first."""
        with self.database.read() as connection:
            rows = connection.execute(select(decisions).order_by(decisions.c.id.desc()).limit(limit)).all()
        return [_decision(row) for row in rows]

    def count(self) -> int:
        """How many decisions are logged."""
        with self.database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(decisions)).scalar_one())

    def last_id(self) -> int:
        """The id of the newest decision, 0 when there is none. Without gaps it equals `count`."""
        with self.database.read() as connection:
            return int(connection.execute(select(func.coalesce(func.max(decisions.c.id), 0))).scalar_one())

    def span(self, after_id: int = 0) -> tuple[int, int, int] | None:
        """(rows, earliest time, latest time) of the decisions after an id; None when there are none."""
        query = select(func.count(), func.min(decisions.c.time), func.max(decisions.c.time))
        with self.database.read() as connection:
            rows, first, last = connection.execute(query.where(decisions.c.id > after_id)).one()
        return (int(rows), int(first), int(last)) if rows else None

    def ids(
        self,
        *,
        first_id: int | None = None,
        last_id: int | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> "Span | None":
        """What lies between the limits, which are those of `frame`; None when nothing does."""
        number, time = decisions.c.id, decisions.c.time
        query = select(func.count(), func.min(number), func.max(number), func.min(time), func.max(time))
        with self.database.read() as connection:
            row = connection.execute(query.where(*_between(first_id, last_id, start, end))).one()
        return Span(*(int(value) for value in row)) if row[0] else None

    def frame(
        self,
        *,
        first_id: int | None = None,
        last_id: int | None = None,
        start: int | None = None,
        end: int | None = None,
        matured_by: int | None = None,
    ) -> DecisionFrame:
        """Decisions by id (both ends included) and by time in microseconds (``end`` excluded), ordered by id.

        Outcomes are NaN unless ``matured_by`` is given: then those of decisions up to that time are filled in,
        where known. Raises DataError when the rows were logged under schemas of different length.
        """
        condition = _between(first_id, last_id, start, end)
        columns = (
            decisions.c.id,
            decisions.c.customer_id,
            decisions.c.time,
            decisions.c.model_version,
            decisions.c.probability,
            decisions.c.features,
            decisions.c.is_default,
            decisions.c.flags,
        )
        query = select(*columns).where(*condition).order_by(decisions.c.id)
        with self.database.read() as connection:
            frame = _frame(connection.execute(query).all())
            if matured_by is not None:
                _fill_outcomes(connection, frame, [*condition, decisions.c.time <= matured_by])
        return frame


def locked(path: str) -> StorageError:
    """What a caller says when the write lock did not come free in time."""
    return StorageError(
        f"Another process holds the write lock of {path} for too long. Nothing was logged; it can be tried again."
    )


def _refused(path: str, error: Exception) -> StorageError:
    return StorageError(
        f"The decision log {path} cannot be written: {error}. Nothing was logged; it can be tried again."
    )


def _decision(row: Row[Any]) -> Decision:
    return Decision(
        decision_id=row.id,
        customer_id=row.customer_id,
        time=from_micros(row.time),
        scored_at=from_micros(row.scored_at),
        model_version=row.model_version,
        probability=row.probability,
        default=bool(row.is_default),
        features=np.frombuffer(row.features, dtype="<f8").astype(np.float64),
        flags=json.loads(row.flags) if row.flags else {},
    )


def _between(
    first_id: int | None, last_id: int | None, start: int | None, end: int | None
) -> list[ColumnElement[bool]]:
    limits = (
        (first_id, decisions.c.id.__ge__),
        (last_id, decisions.c.id.__le__),
        (start, decisions.c.time.__ge__),
        (end, decisions.c.time.__lt__),
    )
    return [compare(limit) for limit, compare in limits if limit is not None]


def _frame(rows: Sequence[Row[Any] | tuple[Any, ...]]) -> DecisionFrame:
    columns = zip(*rows, strict=True) if rows else ((),) * 8
    ids, customers, times, versions, probabilities, features, defaults, flags = columns
    if len({len(vector) for vector in features}) > 1:
        raise DataError(
            "These decisions were logged under schemas with different numbers of features and cannot be one frame; "
            "choose a narrower range."
        )
    matrix = np.frombuffer(b"".join(features), dtype="<f8").astype(np.float64)
    # Most rows have no flag, and of those that have one few are explored: only these are parsed.
    rates = [rate_of(json.loads(text)) if text is not None and EXPLORED in text else 0.0 for text in flags]
    exploration = np.array(rates, dtype=np.float64)
    return DecisionFrame(
        ids=np.array(ids, dtype=np.int64),
        customer_ids=customers,
        times=np.array(times, dtype=np.int64),
        model_versions=np.array(versions, dtype=np.int64),
        probabilities=np.array(probabilities, dtype=np.float64),
        features=matrix.reshape(len(ids), -1) if ids else np.empty((0, 0)),
        outcomes=np.full(len(ids), np.nan),
        refused=np.array(defaults, dtype=np.bool_) | (exploration > 0.0),
        exploration=exploration,
    )


def _fill_outcomes(connection: Connection, frame: DecisionFrame, condition: Sequence[ColumnElement[bool]]) -> None:
    """The latest outcome of each decision; the frame is not handed out yet, so its array may be written."""
    query = (
        select(outcomes.c.decision_id, outcomes.c.defaulted)
        .join(decisions, decisions.c.id == outcomes.c.decision_id)
        .where(*condition)
        .order_by(outcomes.c.id)
    )
    known = {number: float(value) for number, value in connection.execute(query)}
    for position, number in enumerate(frame.ids.tolist()):
        frame.outcomes[position] = known.get(number, np.nan)
