"""The server dies for good and its standby takes over; the disk is full; somebody holds the log. On real servers."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import psycopg
import pytest
from sqlalchemy import text
from tests.postgres import Cluster, cluster

from riskloop.core.errors import StorageError
from riskloop.core.types import Decisions
from riskloop.store import postgres as adapter
from riskloop.store.appender import Logged
from riskloop.store.decisions import DecisionLog
from riskloop.store.migrations import upgrade
from riskloop.store.postgres import Postgres
from riskloop.store.verify import recompute

from .rows import scored

if TYPE_CHECKING:
    from tests.postgres import Server


@pytest.fixture
def primary() -> Iterator[Cluster]:
    with cluster() as made:
        made.start("max_connections=30")
        yield made


def wait_until(true: Callable[[], bool], sentence: str) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, sentence
        time.sleep(0.01)


def check(database: Postgres, answered: dict[int, str]) -> None:
    """What was said to be logged is there once, ids have no gap, and the chain holds."""
    frame = DecisionLog(database).frame()
    assert frame.ids.tolist() == list(range(1, len(frame) + 1))
    there = dict(zip(frame.ids.tolist(), frame.customer_ids, strict=True))
    assert {number: there.get(number) for number in answered} == answered
    assert len(set(there.values())) == len(there)
    assert recompute(database).breaches == []


def test_a_standby_takes_over_and_nothing_is_lost_or_doubled(primary: Cluster) -> None:
    """Two machines log through a server with a synchronous standby; the server is killed, the standby promoted."""
    upgrade(first := Postgres(primary.url))
    first.close()
    with tempfile.TemporaryDirectory(dir=primary.folder.parent, ignore_cleanup_errors=True) as place:
        standby = Cluster.standby(primary, Path(place))
        standby.start("max_connections=30")
        try:
            with psycopg.connect(primary.url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
                connection.execute("SELECT pg_reload_conf()")
                said = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
                wait_until(lambda: connection.execute(said).fetchone() == (1,), "the standby does not follow")
            hosts = "&".join(f"host={quote(str(one.folder))}" for one in (primary, standby))
            database = Postgres(f"postgresql+psycopg://riskloop@/postgres?{hosts}&target_session_attrs=read-write")
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
            wait_until(lambda: len(answered) >= 60, "nothing is logged")
            primary.stop("immediate")  # and it never comes back
            standby.promote()
            before = len(answered)
            wait_until(lambda: len(answered) >= before + 60, "the new primary logs nothing")
            stop.set()
            for thread in threads:
                thread.join()
            check(database, answered)
            database.check()
            database.close()
        finally:
            standby.stop("immediate")


def limit_files(server: Cluster, size: str) -> None:
    """No process of the server may make a file longer: what a full disk looks like, without one."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="utf-8").split()
    for pid in (str(server.pid), *children):  # a child may have ended meanwhile
        done = subprocess.run(["prlimit", "--pid", pid, f"--fsize={size}:"], user=server.user, capture_output=True)
        assert done.returncode == 0 or pid != str(server.pid), done.stderr


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed (Debian: util-linux)")
def test_a_full_disk_refuses_and_loses_nothing(primary: Cluster) -> None:
    database = Postgres(primary.url)
    upgrade(database)
    rng, answered, said = np.random.default_rng(0), dict[int, str](), list[str]()
    limit_files(primary, "18000000")  # its log's files have 16 MB and are there already
    appender = database.appender()

    def append(number: int) -> bool:
        wide = rng.random((2, 50_000))
        group = Decisions([f"{number}-0", f"{number}-1"], [1, 2], 3, 1, wide[:, 0], wide[:, 0] > 0.5, wide)
        try:
            logged = appender.append([group])
        except StorageError as error:
            said.append(error.message)
            return False
        assert logged is not None
        answered.update({logged[0].first_id + i: name for i, name in enumerate(group.customer_ids)})
        return True

    number = 0
    while len(said) < 3:
        number += 1
        append(number)
        assert number < 60
    assert all("extend file" in sentence and "Nothing was logged" in sentence for sentence in said), said
    check(database, answered)
    limit_files(primary, "unlimited")  # somebody made room
    assert append(number + 1)
    assert len(answered) == max(answered)
    check(database, answered)
    appender.close()
    database.close()


def test_who_waits_for_a_lock_too_long_is_told_and_logs_later(
    postgres: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as somebody holds the log, nothing is logged, and that is said; afterwards each group is there once."""
    monkeypatch.setattr(adapter, "BUSY_SECONDS", 0.3)
    database = Postgres(postgres.fresh())
    appender = database.appender()
    with database.write() as connection:
        connection.execute(text("SELECT 1 FROM counters FOR UPDATE"))
        for _ in range(3):
            assert appender.append([scored(2)]) is None
            assert "Nothing was logged" in appender.busy().message
    assert appender.append([scored(2)]) == [Logged(1, 2)]
    assert DecisionLog(database).count() == 2
    appender.close()
    database.close()
