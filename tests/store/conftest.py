"""A database of every kind: whatever is tested with `database` is tested on all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from riskloop.store.adapters import ADAPTERS, open_database
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.migrations import upgrade


@pytest.fixture(params=ADAPTERS)
def url(request: pytest.FixtureRequest) -> str:
    """Where a new database may be made, for each adapter."""
    if request.param == "postgresql+psycopg://":
        return str(request.getfixturevalue("postgres").fresh())
    assert request.param == "sqlite:///", "a new adapter needs a place for its tests"
    return "sqlite:///riskloop.db"


@pytest.fixture(params=ADAPTERS)
def empty_url(request: pytest.FixtureRequest) -> str:
    """As `url`, for a database without tables."""
    if request.param == "postgresql+psycopg://":
        return str(request.getfixturevalue("postgres").empty())
    return "sqlite:///riskloop.db"


@pytest.fixture
def database(url: str, tmp_path: Path) -> Iterator[Database]:
    database = open_database(url, tmp_path)
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def log(database: Database) -> DecisionLog:
    return DecisionLog(database)
