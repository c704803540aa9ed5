"""What tests of several rooms share."""

from collections.abc import Iterator

import pytest

from .postgres import Server, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; see `tests/postgres.py`."""
    with running() as server:
        yield server
