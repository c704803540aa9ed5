"""PostgreSQL: one server for several API machines and workers.

Appending copies rows in binary form within the transaction that takes their ids from the counter's row; a row that is
locked makes the others wait, so ids are consecutive over all machines. One thing is new beside a file: a connection
can break after COMMIT was sent. Then nobody knows whether it happened, and it must be found out before the same
decisions are written again or their requests are answered: see `PostgresAppender.append`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import psycopg
from psycopg import errors
from sqlalchemy import Connection, Table, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from riskloop.core.chain import GENESIS, Link
from riskloop.core.errors import ConfigError, StorageError
from riskloop.core.types import Decisions, Ints
from riskloop.store.appender import DECISION_COLUMNS, ChunkKey, Logged, decision_tuples, linked_decisions, repeated
from riskloop.store.database import BUSY_SECONDS, Database
from riskloop.store.tables import links, links_kind, metadata

# Said here and not beside the table: SQLAlchemy would load this dialect for everybody who uses SQLite.
links_kind.dialect_kwargs["postgresql_where"] = links.c.kind != "decisions"

OLDEST: Final = 13  # major version of the server
PATIENCE: Final = 10.0  # seconds in which the fate of a COMMIT is looked for
_IMPATIENT: Final = 0.25  # seconds that an appender that must not wait waits for another one
_IDLE: Final = "5s"  # that long the transaction of an appender may stand still
_IDLE_READER: Final = "30min"  # … and another one, between whose queries segments are read
_LOOKS: Final = 3  # in which clients of a pooler are seen to share a session
_FIRST_PAUSE: Final = 0.02
_LAST_PAUSE: Final = 0.5
# What a network does silently is noticed: connecting has an end, and so has waiting for a machine that is gone.
_OPTIONS: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "riskloop",
    "client_encoding": "utf8",
}
_MIGRATING: Final = int.from_bytes(b"riskloop")
# What the role or the database is set to must not lose decisions, nor break off who reads a large log.
_OWN: Final = """
SELECT set_config('lock_timeout', %s, false),
       set_config('idle_in_transaction_session_timeout', %s, false),
       (SELECT count(set_config(name, '0', false)) FROM pg_settings
        WHERE name IN ('statement_timeout', 'transaction_timeout')),
       CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END
"""
_COPY: Final = f"COPY decisions ({DECISION_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_TYPES: Final = ("int8", "text", "int8", "int8", "int4", "float8", "int2", "bytea", "text")
_TAKE: Final = "UPDATE counters SET value = value + %s WHERE name = 'decisions' RETURNING value"
_LOCK: Final = "SELECT value FROM counters WHERE name = 'decisions' FOR UPDATE"
_FIND: Final = f"SELECT {DECISION_COLUMNS} FROM decisions WHERE id >= %s AND id < %s ORDER BY id"
_INSERT_CHUNK: Final = "INSERT INTO chunks (key, fingerprint, first_id, rows, at) VALUES (%s, %s, %s, %s, %s)"
_FIND_CHUNK: Final = "SELECT fingerprint, first_id, rows FROM chunks WHERE key = %s"
_TAKE_LINK: Final = "UPDATE counters SET value = value + 1 WHERE name = 'links' RETURNING value"
_LAST_LINK: Final = "SELECT link FROM links ORDER BY number DESC LIMIT 1"
_INSERT_LINK: Final = f"INSERT INTO links ({', '.join(Link._fields)}) VALUES (%s, %s, %s, %s, %s, %s, %s)"
_PROMOTED: Final = "SELECT coalesce(max(seq), 0) FROM promotions"
_SERVER: Final = """
SELECT current_setting('server_version_num')::int / 10000 AS version,
       pg_is_in_recovery() AS standby,
       current_setting('default_transaction_read_only')::bool AS read_only,
       current_setting('fsync')::bool AND current_setting('full_page_writes')::bool AS durable,
       pg_encoding_to_char(encoding) AS encoding,
       current_schema() AS schema,
       current_user AS role,
       pg_backend_pid() AS pid,
       CASE WHEN to_regclass('decisions') IS NULL
            THEN coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
            ELSE has_table_privilege('decisions', 'INSERT') END AS writes
FROM pg_database WHERE datname = current_database()
"""
_CHECKS: Final = """
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'amcheck')
   AND coalesce(has_function_privilege(to_regprocedure('bt_index_check(regclass)'), 'EXECUTE'), false)
   AND coalesce(has_function_privilege(to_regprocedure(
       'verify_heapam(regclass,boolean,boolean,text,bigint,bigint)'), 'EXECUTE'), false)
"""
_RELATIONS: Final = """
SELECT t.relkind::text, t.oid::regclass::text FROM pg_class t
WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind = 'r' AND t.relname = ANY(:tables)
UNION ALL
SELECT i.relkind::text, i.oid::regclass::text FROM pg_index x
JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_am a ON a.oid = i.relam
WHERE t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(:tables) AND a.amname = 'btree'
"""
_CHECK: Final = {
    "r": "SELECT msg FROM verify_heapam(cast(:name AS regclass)) LIMIT 1",
    "i": "SELECT bt_index_check(cast(:name AS regclass))",
}
_DAMAGED: Final = ("XX001", "XX002")  # data_corrupted, index_corrupted


class Postgres(Database):
    """A database of a PostgreSQL server."""

    scheme: ClassVar[str] = "postgresql+psycopg://"

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):  # what they say may hold a part of the password
            raise ConfigError(
                "[storage] url cannot be read. It is postgresql+psycopg://USER@HOST:PORT/DATABASE, the port a number; "
                "signs such as @ : / # in a user or password are written as %40 %3A %2F %23. Better leave the "
                "password out: the driver reads PGPASSFILE and PGPASSWORD."
            ) from None
        self.engine = create_engine(parsed, pool_pre_ping=True, connect_args=_OPTIONS)
        self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

        @event.listens_for(self.engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            _prepare(connection, BUSY_SECONDS, _IDLE_READER)
            connection.commit()

    def now(self, connection: Connection) -> int:
        """The server's clock."""
        micros = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        return int(connection.execute(micros).scalar_one())

    def alone(self, connection: Connection) -> None:
        """An advisory lock, which needs no table; others wait as long as it takes."""
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})

    def check(self) -> None:
        """Ask the server what it is; a portfolio needs one that is durable, speaks UTF-8 and lets this role write."""
        with self.read() as connection:
            server = connection.execute(text(_SERVER)).one()
            own: Any = connection.connection.driver_connection
        problems = {
            f"it is PostgreSQL {server.version}; riskloop needs {OLDEST} or newer": server.version < OLDEST,
            "it is a standby, which only reads; name the primary server": server.standby,
            f"transactions of the role {server.role} only read": server.read_only,
            "it runs with fsync or full_page_writes off, so a power cut would lose decisions": not server.durable,
            f"its encoding is {server.encoding}; create it with ENCODING 'UTF8'": server.encoding != "UTF8",
            "no schema of the role's search_path exists": server.schema is None,
            f"the role {server.role} may not write in schema {server.schema}": not server.writes,
            "a pooler in front of it lets several clients share a session, so that each loses its settings; have it "
            "pool whole sessions (pool_mode = session in PgBouncer), or name the server itself": own.info.backend_pid
            != server.pid
            and self._is_shared(),
        }
        for problem, holds in problems.items():
            if holds:
                raise ConfigError(f"The database {self.name} cannot keep a portfolio: {problem}.")

    def _is_shared(self) -> bool:
        """Whether two clients that are there at the same time were given the same session of the server."""
        _, options = self.engine.dialect.create_connect_args(self.engine.url)
        seen: tuple[set[int], set[int]] = set(), set()
        with (
            psycopg.connect(**{**options, **_OPTIONS}, autocommit=True) as one,
            psycopg.connect(**{**options, **_OPTIONS}, autocommit=True) as two,
        ):
            for _ in range(_LOOKS):
                for connection, pids in zip((one, two), seen, strict=True):
                    pids.add(_value(connection.execute("SELECT pg_backend_pid()")))
        return bool(seen[0] & seen[1])

    def examine(self) -> str | None:
        """The server's amcheck, where it is installed and this role may use it: every index, and every page."""
        with self.read() as connection:
            if not connection.execute(text(_CHECKS)).scalar_one():
                return None
            names = connection.execute(text(_RELATIONS), {"tables": [*metadata.tables]}).all()
        for kind, name in names:
            try:
                with self.read() as connection:
                    self._stop_examining = connection.connection.cancel
                    found = [str(row[0]) for row in connection.execute(text(_CHECK[kind]), {"name": name})]
            except StorageError as error:
                state = getattr(getattr(error.__cause__, "orig", None), "sqlstate", None)
                if state not in _DAMAGED:
                    raise
                found = [error.message]
            finally:
                self._stop_examining = None
            if kind == "r" and found:
                return f"The table {name} of {self.name} is damaged ({found[0]}). Nothing is logged; restore a backup."
            if kind == "i" and found != [""]:
                return f"The index {name} of {self.name} is damaged ({found[0]}). Nothing is logged; see REINDEX."
        return None

    def appender(self, *, waits: bool = True, checkpoints: bool = True) -> "PostgresAppender":
        """See :class:`PostgresAppender`; the server makes its checkpoints itself."""
        _, options = self.engine.dialect.create_connect_args(self.engine.url)
        seconds = BUSY_SECONDS if waits else _IMPATIENT

        def connect() -> "psycopg.Connection[Any]":
            connection = psycopg.connect(**{**options, **_OPTIONS}, autocommit=True)
            _prepare(connection, seconds, _IDLE)  # a machine that was stopped must not keep all others waiting
            return connection

        return PostgresAppender(self.name, connect)

    def fill(self, connection: Connection, table: Table, columns: Mapping[str, Ints]) -> None:
        """By COPY, within the transaction."""
        names = ", ".join(f'"{name}"' for name in columns)
        own: Any = connection.connection.cursor()
        with own as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in zip(*(values.tolist() for values in columns.values()), strict=True):
                copy.write_row(row)

    def continue_numbers(self, connection: Connection) -> None:
        """Sequences know nothing of keys that they did not give."""
        for table in metadata.sorted_tables:
            for column in table.primary_key.columns:
                sequence = func.pg_get_serial_sequence(table.name, column.name)
                last = select(func.max(column)).scalar_subquery()
                if connection.execute(select(sequence)).scalar() is not None:
                    connection.execute(select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None))))

    def _too_large(self, error: DBAPIError) -> bool:
        return isinstance(error.orig, errors.NumericValueOutOfRange)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._reader.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection


def _prepare(connection: Any, seconds: float, idle: str) -> None:
    connection.execute(_OWN, (f"{int(seconds * 1000)}ms", idle))


class PostgresAppender:
    """Appends through a connection of its own, by binary COPY."""

    remote = True

    def __init__(self, name: str, connect: "Callable[[], psycopg.Connection[Any]]") -> None:
        self.name = name
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None

    def append(
        self, groups: Sequence[Decisions], chunk: ChunkKey | None = None, *, seq: int | None = None
    ) -> list[Logged] | None:
        """See :meth:`Appender.append`.

        A connection that breaks before COMMIT was sent has written nothing; one that was stale is replaced. After
        that its outcome is unknown: the ids are looked up under the counter's lock, which the lost transaction holds
        until it has ended. If they hold these very decisions, they were committed; if not, they never will be.
        """
        sent: list[Logged] | None = None  # places for which COMMIT was sent and not answered
        until, pause, tries = time.monotonic() + PATIENCE, _FIRST_PAUSE, 0
        while True:
            tries += 1
            try:
                connection = self._connection or self._open()
                logged, link = _written(connection, groups, chunk, sent, seq)
                if link is not None:
                    sent = logged
                    with connection.pipeline():  # one round trip
                        connection.execute(_INSERT_LINK, link)
                        connection.execute("COMMIT")
                else:
                    connection.execute("ROLLBACK")
            except psycopg.Error as error:
                locked = isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected)
                gone = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) or self._is_gone()
                self.close()
                if sent is None and locked:
                    return None
                if sent is None and (tries > 1 or not gone):
                    raise self._refused(error) from error
                if sent is not None and time.monotonic() > until:
                    raise self._unknown(error) from error
            except BaseException:
                self.close()
                raise
            else:
                return logged
            if tries > 1:
                time.sleep(pause)
                pause = min(2 * pause, _LAST_PAUSE)

    def busy(self) -> StorageError:
        """See :meth:`Appender.busy`."""
        return StorageError(
            f"Another process holds the lock of {self.name} that gives ids for too long. Nothing was logged; it can "
            "be tried again."
        )

    def tidy(self) -> None:
        """The server keeps house itself."""

    def close(self) -> None:
        """See :meth:`Appender.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> "psycopg.Connection[Any]":
        self._connection = self._connect()
        return self._connection

    def _is_gone(self) -> bool:
        return self._connection is None or self._connection.closed

    def _refused(self, error: Exception) -> StorageError:
        return StorageError(
            f"The decision log {self.name} cannot be written: {_first_line(error)}. Nothing was logged; it can be "
            "tried again."
        )

    def _unknown(self, error: Exception) -> StorageError:
        return StorageError(
            f"The connection to the decision log {self.name} broke while it committed ({_first_line(error)}), and the "
            f"database did not come back within {PATIENCE:.0f} seconds. These decisions may be on record or not; look "
            "for the customers before you send them again."
        )


def _written(
    connection: "psycopg.Connection[Any]",
    groups: Sequence[Decisions],
    chunk: ChunkKey | None,
    sent: list[Logged] | None,
    seq: int | None,
) -> tuple[list[Logged], Link | None]:
    """Write the groups in a transaction that is left open, without their link; None when they were found, or the
    ledger has gone on: then there is nothing to commit."""
    count = sum(len(group) for group in groups)
    if sent is None and chunk is None:
        with connection.pipeline():  # one round trip
            connection.execute("BEGIN")
            taken = connection.execute(_TAKE, (count,))
            link = connection.execute(_TAKE_LINK)
            last, before = connection.execute(_PROMOTED), connection.execute(_LAST_LINK)
        if seq is not None and _value(last) != seq:
            return [], None
        return _copied(connection, groups, _value(taken) - count + 1, _value(link), before.fetchone())
    connection.execute("BEGIN")
    connection.execute(_LOCK)
    if chunk is not None:
        known = connection.execute(_FIND_CHUNK, (chunk.key,)).fetchone()
        if known is not None:
            again = repeated(chunk, *known)
            own = Logged(again.first_id, again.rows)
            return [own if sent == [own] else again], None
    elif sent is not None and _is_there(connection, groups, sent):
        return sent, None
    if seq is not None and _value(connection.execute(_PROMOTED)) != seq:
        return [], None
    first_id = _value(connection.execute(_TAKE, (count,))) - count + 1
    number = _value(connection.execute(_TAKE_LINK))
    logged, linked = _copied(connection, groups, first_id, number, connection.execute(_LAST_LINK).fetchone())
    if chunk is not None:
        place = logged[0]
        values = (chunk.key, chunk.fingerprint, place.first_id, place.rows, groups[0].scored_at)
        connection.execute(_INSERT_CHUNK, values)
    return logged, linked


def _copied(
    connection: "psycopg.Connection[Any]",
    groups: Sequence[Decisions],
    first_id: int,
    number: int,
    before: tuple[bytes] | None,
) -> tuple[list[Logged], Link]:
    """Send the rows; returns their places, and the link that has to go with them."""
    logged, rows = [], list[tuple[Any, ...]]()
    with connection.cursor().copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for group in groups:
            rows += decision_tuples(first_id, group)
            logged.append(Logged(first_id, len(group)))
            first_id += len(group)
        for row in rows:
            copy.write_row(row)
    return logged, linked_decisions(number, GENESIS if before is None else before[0], rows)


def _is_there(connection: "psycopg.Connection[Any]", groups: Sequence[Decisions], places: Sequence[Logged]) -> bool:
    """Whether these ids hold these decisions, every value of them; another machine may have been given the ids."""
    wanted = [
        row for group, place in zip(groups, places, strict=True) for row in decision_tuples(place.first_id, group)
    ]
    first = places[0].first_id
    found = connection.execute(_FIND, (first, first + len(wanted))).fetchall()
    return bool(found == [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in wanted])


def _value(cursor: "psycopg.Cursor[Any]") -> int:
    row = cursor.fetchone()
    if row is None:
        raise errors.NoDataFound("the table `counters` lacks the row of the decisions")
    return int(row[0])


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
