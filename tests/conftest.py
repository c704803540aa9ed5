"""What tests of several rooms share."""

from collections.abc import Iterator

import pytest

from . import objects
from .objects import Bucket
from .postgres import Server, running


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
