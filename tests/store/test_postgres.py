"""What only a server does: it goes away, it is a standby, it lets some roles read, it leaves a COMMIT unanswered."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import cycle, islice
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import text

from riskloop.core.errors import ConfigError, Locked, StorageError
from riskloop.store import leases, postgres
from riskloop.store.appender import ChunkKey, Logged
from riskloop.store.decisions import DecisionLog
from riskloop.store.leases import Lease
from riskloop.store.migrations import upgrade
from riskloop.store.postgres import Postgres, PostgresAppender
from riskloop.store.verify import recompute

from .rows import scored

if TYPE_CHECKING:
    from tests.postgres import Cluster, Server


@pytest.fixture
def database(postgres: "Server") -> Iterator[Postgres]:
    database = Postgres(postgres.fresh())
    yield database
    database.close()


@pytest.fixture
def log(database: Postgres) -> DecisionLog:
    return DecisionLog(database)


# --------------------------------------------------------------------------- what cannot work


def refusal(url: str) -> str:
    database = Postgres(url)
    with pytest.raises(ConfigError) as refused:
        database.check()
    database.close()
    return refused.value.message


def test_a_role_that_only_reads_is_refused(postgres: "Server", database: Postgres) -> None:
    name = database.engine.url.database
    postgres.run("DROP ROLE IF EXISTS viewer")
    postgres.run("CREATE ROLE viewer LOGIN")
    as_viewer = database.engine.url.set(username="viewer").render_as_string(hide_password=False)
    assert "the role viewer may not write" in refusal(as_viewer)
    fresh = Postgres(postgres.empty())
    empty = fresh.engine.url.set(username="viewer").render_as_string(hide_password=False)
    assert "the role viewer may not write in schema public" in refusal(empty)
    postgres.run(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert "only read" in refusal(database.engine.url.render_as_string(hide_password=False))
    fresh.close()


def test_tables_go_where_the_search_path_says(postgres: "Server") -> None:
    """A bank's administrators give a schema, not `public`; one that is not there is said."""
    url = postgres.empty()
    at = f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3Drisk"
    assert "no schema of the role's search_path exists" in refusal(at)
    first = Postgres(url)
    with first.write() as connection:
        connection.execute(text("CREATE SCHEMA risk"))
    database = Postgres(at)
    database.check()
    upgrade(database)
    DecisionLog(database).append(scored(2))
    assert DecisionLog(database).count() == 2
    assert recompute(database).breaches == []
    with first.read() as connection:
        where = text("SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname IN ('public', 'risk')")
        assert connection.execute(where).scalars().all() == ["risk"]
    database.close()
    first.close()


def test_a_database_of_another_encoding_is_refused(postgres: "Server") -> None:
    url = postgres.empty(encoding="SQL_ASCII")
    assert "its encoding is SQL_ASCII" in refusal(url)


def test_a_server_that_does_not_answer_is_said_without_the_password() -> None:
    database = Postgres("postgresql+psycopg://ann:secret@127.0.0.1:1/bank")
    with pytest.raises(StorageError, match=r"ann:\*\*\*@127\.0\.0\.1") as refused:
        database.check()
    assert "secret" not in refused.value.message
    appender = database.appender()
    with pytest.raises(StorageError, match="Nothing was logged") as refused:
        appender.append([scored(1)])
    assert "secret" not in refused.value.message


@pytest.fixture
def pooled(own: "Cluster") -> Iterator[Callable[[str], str]]:
    """The URL of the server behind PgBouncer, by how it pools."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: pgbouncer).")
    running: list[subprocess.Popen[bytes]] = []

    def start(mode: str) -> str:
        folder = own.folder / mode  # as short as a socket's path has to be
        folder.mkdir()
        config = folder / "ini"
        config.write_text(
            f"[databases]\npostgres = host={own.folder} user=riskloop\n[pgbouncer]\nunix_socket_dir = {folder}\n"
            f"listen_port = 6432\nauth_type = any\npool_mode = {mode}\n"
        )
        if own.user is not None:
            shutil.chown(folder, own.user)
        running.append(subprocess.Popen([program, "-q", str(config)], user=own.user, stderr=subprocess.DEVNULL))
        until = time.monotonic() + 30
        while not (folder / ".s.PGSQL.6432").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        return f"postgresql+psycopg://riskloop@/postgres?host={quote(str(folder))}&port=6432"

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_a_pooler_that_shares_sessions_is_refused(pooled: Callable[[str], str]) -> None:
    assert "have it pool whole sessions" in refusal(pooled("transaction"))
    database = Postgres(pooled("session"))
    database.check()
    upgrade(database)
    log = DecisionLog(database)
    log.append(scored(3))
    assert log.count() == 3
    database.close()


@pytest.mark.parametrize("secret", ["p@ss:hunter2/w", "hunter2:x", "a/hunter2:b@c"])
def test_a_url_that_cannot_be_read_is_said_without_its_password(secret: str) -> None:
    with pytest.raises(ConfigError, match="signs such as @ : / # in a user or password") as refused:
        Postgres(f"postgresql+psycopg://ann:{secret}@127.0.0.1:port/bank")
    assert "hunter2" not in refused.value.message


def test_a_password_among_the_options_is_used_and_not_shown() -> None:
    database = Postgres("postgresql+psycopg://ann@127.0.0.1:1/bank?password=hunter2&sslmode=disable")
    assert database.name == "postgresql+psycopg://ann@127.0.0.1:1/bank?password=…&sslmode=disable"
    with pytest.raises(StorageError) as refused:
        database.check()
    assert "hunter2" not in refused.value.message
    _, options = database.engine.dialect.create_connect_args(database.engine.url)
    assert options["password"] == "hunter2"


def test_every_commit_is_synchronised_whatever_the_role_is_set_to(postgres: "Server", database: Postgres) -> None:
    postgres.run(f'ALTER DATABASE "{database.engine.url.database}" SET synchronous_commit = off')
    again = Postgres(database.engine.url.render_as_string(hide_password=False))
    with again.write() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
    appender = again.appender()
    appender.append([scored(1)])
    assert appender._connection is not None
    assert appender._connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    appender.close()
    again.close()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("statement_timeout", "20ms"), ("idle_in_transaction_session_timeout", "50ms"), ("lock_timeout", "1ms")],
)
def test_what_the_role_is_set_to_breaks_off_nobody(
    postgres: "Server", database: Postgres, setting: str, value: str
) -> None:
    """A guard of the server's administrator against forgotten sessions must not end a cycle over a large log."""
    postgres.run(f"ALTER DATABASE \"{database.engine.url.database}\" SET {setting} = '{value}'")
    again = Postgres(database.engine.url.render_as_string(hide_password=False))
    with again.read() as connection:
        assert connection.execute(text("SELECT current_setting(:name)"), {"name": setting}).scalar() != value
        connection.execute(text("SELECT pg_sleep(0.1)"))
        time.sleep(0.15)
        assert connection.execute(text("SELECT 1")).scalar() == 1
    appender = again.appender()
    with database.write() as connection:
        connection.execute(text("SELECT 1 FROM counters FOR UPDATE"))
        waiting = Thread(target=appender.append, args=([scored(1)],))
        waiting.start()
        time.sleep(0.15)
    waiting.join()
    assert DecisionLog(database).count() == 1
    appender.close()
    again.close()


def test_many_processes_migrate_one_database_at_once(postgres: "Server") -> None:
    databases = [Postgres(postgres.empty())]
    url = databases[0].engine.url.render_as_string(hide_password=False)
    databases += [Postgres(url) for _ in range(3)]
    failed: list[Exception] = []

    def migrate(database: Postgres) -> None:
        try:
            upgrade(database)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must see it
            failed.append(error)

    threads = [Thread(target=migrate, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for database in databases:
        database.close()


# --------------------------------------------------------------------------- a COMMIT without an answer


class Flaky:
    """A connection whose COMMIT breaks it, before the server or after it has done its work."""

    def __init__(self, connection: "psycopg.Connection[Any]", fate: str) -> None:
        self._connection, self._fate = connection, fate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, query: str, *arguments: Any) -> Any:
        if query != "COMMIT" or self._fate == "whole":
            return self._connection.execute(query.encode(), *arguments)
        if self._fate == "committed":
            self._connection.execute("COMMIT")
        if self._fate == "later":  # the server goes on after its client has lost it
            Thread(target=self._commit_later).start()
        else:
            self._connection.close()
        raise psycopg.OperationalError("the connection broke")

    def close(self) -> None:
        if self._fate != "later":
            self._connection.close()

    def _commit_later(self) -> None:
        time.sleep(0.5)
        self._connection.execute("COMMIT")
        self._connection.close()


def flaky(database: Postgres, *fates: str) -> PostgresAppender:
    """An appender whose connections meet these fates, one after the other; then all is well."""
    appender, left = database.appender(), list(fates)
    connect = appender._connect

    def connected() -> Any:
        fate = left.pop(0) if left else "whole"
        if fate == "refused":
            raise psycopg.OperationalError("the server is starting up")
        return Flaky(connect(), fate)

    appender._connect = connected
    return appender


@pytest.mark.parametrize("chunk", [None, ChunkKey("run", "f")])
@pytest.mark.parametrize(
    "fates", [("committed",), ("lost",), ("later",), ("committed", "refused", "refused"), ("lost", "lost", "committed")]
)
def test_a_commit_without_an_answer_is_looked_up(
    log: DecisionLog, database: Postgres, fates: tuple[str, ...], chunk: ChunkKey | None
) -> None:
    log.append(scored(3))
    appender = flaky(database, *fates)
    assert appender.append([scored(5, start=10)], chunk) == [Logged(4, 5)]
    assert appender.append([scored(2, start=20)]) == [Logged(9, 2)]
    appender.close()
    frame = log.frame()
    assert frame.ids.tolist() == list(range(1, 11))
    assert list(frame.customer_ids) == [f"c{i}" for i in (0, 1, 2, 10, 11, 12, 13, 14, 20, 21)]


def test_ids_that_went_to_another_machine_are_not_taken_for_ours(log: DecisionLog, database: Postgres) -> None:
    appender = flaky(database, "lost")
    connect = appender._connect

    def meanwhile() -> Any:
        if appender._connection is None and log.count() == 0 and first:
            log.append(scored(2, start=50))  # the same ids, other customers
        first.append(1)
        return connect()

    first: list[int] = []
    appender._connect = meanwhile
    assert appender.append([scored(2)]) == [Logged(3, 2)]
    appender.close()
    assert list(log.frame().customer_ids) == ["c50", "c51", "c0", "c1"]


def test_a_commit_whose_fate_cannot_be_found_out_is_not_called_unwritten(
    database: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PATIENCE", 0.1)
    appender = flaky(database, "committed", *["refused"] * 100)
    with pytest.raises(StorageError, match="may be on record or not") as unknown:
        appender.append([scored(1)])
    assert "Nothing was logged" not in unknown.value.message


def test_a_write_block_whose_commit_breaks_says_that_nobody_knows(database: Postgres) -> None:
    def broken() -> None:
        with database.write() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            connection.execute(text("UPDATE counters SET value = value"))
            with database.write() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    with pytest.raises(StorageError, match="nobody knows whether this was written"):
        broken()
    with database.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


# --------------------------------------------------------------------------- servers that go away


def kill_backends(database: Postgres) -> None:
    with database.write() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
        )


def test_a_stale_connection_is_replaced_unseen(log: DecisionLog, database: Postgres) -> None:
    appender = database.appender(waits=False)
    assert appender.append([scored(1)]) == [Logged(1, 1)]
    for following in (2, 3):
        kill_backends(database)
        assert appender.append([scored(1)]) == [Logged(following, 1)]
    appender.close()
    assert log.count() == 3


def test_a_lock_that_is_held_is_not_waited_for(log: DecisionLog, database: Postgres) -> None:
    appender = database.appender(waits=False)
    with database.write() as connection:
        connection.execute(text("SELECT 1 FROM counters FOR UPDATE"))
        assert appender.append([scored(1)]) is None
    assert appender.append([scored(1)]) == [Logged(1, 1)]
    appender.close()


def test_a_machine_that_stands_still_loses_the_lock(database: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was stopped between taking ids and committing; the others go on, and its decisions are logged once."""
    monkeypatch.setattr(postgres, "_IDLE", "200ms")
    stopped, other = database.appender(), database.appender()
    calls: list[int] = []

    def copied(*arguments: Any) -> Any:
        logged = genuine(*arguments)
        if not calls:
            calls.append(1)
            time.sleep(0.6)
        return logged

    genuine = postgres._copied
    monkeypatch.setattr(postgres, "_copied", copied)
    done: list[Any] = []
    thread = Thread(target=lambda: done.append(stopped.append([scored(1)])))
    thread.start()
    while not calls:
        time.sleep(0.01)
    assert other.append([scored(1, start=9)]) == [Logged(1, 1)]
    thread.join()
    assert done == [[Logged(2, 1)]]
    stopped.close()
    other.close()


def test_a_role_without_a_connection_left_is_told(postgres: "Server", database: Postgres) -> None:
    postgres.run("DROP ROLE IF EXISTS few")
    postgres.run("CREATE ROLE few LOGIN CONNECTION LIMIT 1")
    few = Postgres(database.engine.url.set(username="few").render_as_string(hide_password=False))
    with few.read(), pytest.raises(StorageError, match='too many connections for role "few"'):
        few.appender().append([scored(1)])
    few.close()


def test_a_lease_goes_by_the_databases_clock(database: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines whose clocks are five minutes apart agree about who holds it."""
    Lease(database, "loop").take()

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return super().now(tz).replace(year=2100)

    monkeypatch.setattr(time, "time", lambda: 4e9)
    monkeypatch.setattr(time, "time_ns", lambda: 4 * 10**18)
    monkeypatch.setattr(leases, "datetime", Later, raising=False)
    monkeypatch.setattr(leases, "_is_gone", lambda _holder: False)
    with pytest.raises(Locked):
        Lease(database, "loop").take()


@pytest.fixture
def own() -> Iterator["Cluster"]:
    """A server that may be killed."""
    from tests.postgres import cluster

    with cluster() as made:
        made.start("max_connections=30")
        yield made


def test_killed_again_and_again_under_load_nothing_is_lost_or_doubled(own: "Cluster") -> None:
    """Two machines log through one server; what was said to be logged is there once, and ids have no gaps.

    RISKLOOP_TEST_KILLS names another number of kills.
    """
    database = Postgres(own.url)
    upgrade(database)
    answered: dict[int, str] = {}
    stop = Event()

    def machine(number: int) -> None:
        appender, sent = database.appender(), 0
        while not stop.is_set():
            sent += 1
            group = scored(1 + sent % 3, start=number * 10**6 + sent * 10)
            with suppress(StorageError):  # 503: the client was told
                logged = appender.append([group])
                if logged is not None:
                    answered.update({logged[0].first_id + i: name for i, name in enumerate(group.customer_ids)})
        appender.close()

    threads = [Thread(target=machine, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()

    def more(than: int) -> None:
        until = time.monotonic() + 60
        while len(answered) < than and time.monotonic() < until:
            time.sleep(0.01)

    for kill in islice(cycle((kill_one_backend, kill_server)), int(os.environ.get("RISKLOOP_TEST_KILLS", "4"))):
        more(len(answered) + 30)
        kill(own)
    more(len(answered) + 30)
    stop.set()
    for thread in threads:
        thread.join()
    frame = DecisionLog(database).frame()
    assert frame.ids.tolist() == list(range(1, len(frame) + 1))
    there = dict(zip(frame.ids.tolist(), frame.customer_ids, strict=True))
    assert len(answered) >= 150
    assert {number: there.get(number) for number in answered} == answered
    assert len(set(there.values())) == len(there)
    assert recompute(database).breaches == []
    database.close()


def kill_one_backend(own: "Cluster") -> None:
    """By -9, after which the server restarts all of its processes."""
    children = f"/proc/{own.pid}/task/{own.pid}/children"
    with open(children, encoding="utf-8") as file:  # noqa: PTH123 - no ordinary file
        pids = [int(pid) for pid in file.read().split()]
    clients = [pid for pid in pids if b"riskloop" in _command(pid)]
    with suppress(ProcessLookupError):
        os.kill((clients or pids)[-1], signal.SIGKILL)


def kill_server(own: "Cluster") -> None:
    """By -9, and start it again."""
    pid = own.pid
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 60
    while True:
        try:
            own.start("max_connections=30")
        except RuntimeError:  # its children still hold the memory that they shared
            assert time.monotonic() < until
            time.sleep(0.2)
        else:
            return


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return b""


BACKWARDS = """
CREATE EXTENSION amcheck;
CREATE FUNCTION backwards(a int8, b int8) RETURNS int LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT btint8cmp(a, b)';
CREATE OPERATOR CLASS backwards_ops FOR TYPE int8 USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 backwards(int8, int8);
CREATE INDEX decisions_backwards ON decisions (id backwards_ops);
"""


def test_a_damaged_index_is_found_where_amcheck_is_there(database: Postgres, log: DecisionLog) -> None:
    log.append(scored(50))
    assert database.examine() is None, "without the extension nothing is said"
    with database.engine.connect() as connection:
        for statement in BACKWARDS.split(";\n"):
            connection.execute(text(statement)) if statement.strip() else None
        connection.commit()
    assert database.examine() is None
    with database.engine.connect() as connection:
        connection.execute(
            text(
                "CREATE OR REPLACE FUNCTION backwards(a int8, b int8) RETURNS int LANGUAGE sql IMMUTABLE STRICT "
                "AS 'SELECT btint8cmp(b, a)'"
            )
        )
        connection.commit()
    database.engine.dispose()  # sessions keep a plan of the function
    assert "decisions_backwards" in str(database.examine())
