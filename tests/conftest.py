"""What tests of several rooms share."""

import os
import sqlite3
from collections.abc import Iterator
from typing import Final

import pytest
from sqlalchemy import Connection

from riskloop.store import migrations

from . import objects
from .objects import Bucket
from .postgres import Server, running

# What takes longest begins first, or one worker would end with it alone.
LONG: Final = (
    "tests/test_integration.py",
    "tests/web/test_browser.py",
    "tests/test_tutorials.py",
    "tests/serve/test_soundness.py",
    "tests/test_notebooks.py",
    "tests/deploy/test_step_by_step.py",
    "tests/loop/test_killed.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(file) if (file := item.nodeid.partition("::")[0]) in LONG else len(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests that wait for a server leave theirs to others."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; see `tests/postgres.py`."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """A bucket of an object store; see `tests/objects.py`."""
    with objects.bucket() as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def migrated_once() -> Iterator[None]:
    """The first new SQLite database of a session goes through the migrations; later ones begin as what they made of it.

    As `Server.fresh` does for PostgreSQL: hundreds of tests begin with a new database, and the migrations are most of
    what that costs. A database that holds anything is migrated as ever.
    """
    migrate, made = migrations.run, list[str]()

    def run(connection: Connection, target: str) -> None:
        if connection.dialect.name != "sqlite" or target != migrations.HEAD or _tables(connection):
            migrate(connection, target)
        elif made:
            for statement in made:
                connection.exec_driver_sql(statement)
        else:
            migrate(connection, target)
            made.extend(dumped(connection)[1:-1])  # without BEGIN and COMMIT

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "run", run)
        yield


def dumped(connection: Connection) -> list[str]:
    """All of an SQLite database, as statements."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return list(raw.iterdump())


def _tables(connection: Connection) -> list[str]:
    return list(connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars())
