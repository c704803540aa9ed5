"""What every adapter promises: the conformance suite. The fixture `database` runs it over all of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest
from sqlalchemy import func, insert, select

from riskloop.core.errors import ConfigError, NotFound
from riskloop.core.types import from_micros
from riskloop.store import counters
from riskloop.store.adapters import open_database
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.tables import audit, decisions, models, outcomes


def add(database: Database, count: int = 1) -> None:
    with database.write() as connection:
        row = {"at": 1, "by": "ann", "action": "look", "subject": "", "document": "{}"}
        connection.execute(insert(audit), [row] * count)


def rows(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(audit)).scalar_one()


def test_a_block_that_raises_writes_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            row = {"at": 1, "by": "ann", "action": "look", "subject": "", "document": "{}"}
            connection.execute(insert(audit), [row])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert rows(database) == 0


def test_a_reader_sees_one_moment(database: Database) -> None:
    add(database)
    count = select(func.count()).select_from(audit)
    with database.read() as connection:
        assert connection.execute(count).scalar_one() == 1
        add(database)
        assert connection.execute(count).scalar_one() == 1
    assert rows(database) == 2


def test_the_clock_runs_and_tells_the_time(database: Database) -> None:
    with database.write() as connection:
        first, second = database.now(connection), database.now(connection)
    assert first <= second
    assert abs(from_micros(first) - datetime.now(UTC)) < timedelta(minutes=5)


def test_numbers_are_consecutive_and_given_back(database: Database) -> None:
    def give_back() -> None:
        with database.write() as connection:
            assert counters.take(connection, models, 5) == 4
            raise KeyError

    with database.write() as connection:
        assert counters.take(connection, models) == 1
        assert counters.take(connection, models, 2) == 2
    with pytest.raises(KeyError):
        give_back()
    with database.write() as connection:
        assert counters.take(connection, models) == 4
        assert counters.take(connection, outcomes) == 1


def test_writers_side_by_side_get_numbers_of_their_own(database: Database) -> None:
    barrier, given = Barrier(4), []

    def run() -> None:
        barrier.wait()
        for _ in range(10):
            with database.write() as connection:
                given.append(counters.take(connection, decisions))

    together(run, run, run, run)
    assert sorted(given) == list(range(1, 41))


def test_a_locked_counter_keeps_others_out_until_the_end(database: Database) -> None:
    """Each writer reads, waits for the other to try, and writes what it read plus one: nothing is lost."""
    barrier = Barrier(2)

    def run() -> None:
        barrier.wait()
        with database.write() as connection:
            counters.lock(connection, outcomes)
            known = connection.execute(select(func.count()).select_from(audit)).scalar_one()
            row = {"at": known + 1, "by": "ann", "action": "look", "subject": "", "document": "{}"}
            connection.execute(insert(audit), [row])

    for _ in range(5):
        together(run, run)
    with database.read() as connection:
        assert sorted(connection.execute(select(audit.c.at)).scalars()) == list(range(1, 11))


def together(*runs: object) -> None:
    threads = [Thread(target=run) for run in runs]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("number", [2**31, 2**63, 2**70, -(2**70)])
def test_a_number_too_large_names_nothing(database: Database, number: int) -> None:
    with pytest.raises(NotFound):
        DecisionLog(database).get(number)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "riskloop.db",
        "mysql://ann:secret@host/db",
        "postgresql://ann:secret@host/db",
        "postgresql+asyncpg://ann:secret@host/db",
        "postgres://ann:secret@host/db",
        "sqlite:x.db",
    ],
)
def test_an_unknown_database_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"must begin with sqlite:/// or postgresql\+psycopg://") as refused:
        open_database(url, tmp_path)
    assert "secret" not in refused.value.message
    assert not list(tmp_path.iterdir())
