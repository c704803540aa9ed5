"""The worked example of a new database holds: what is tested over every database passes on it, too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from riskloop.store.database import Database
from riskloop.store.migrations import upgrade

from .test_decisions import *  # noqa: F403 - these very tests, with the database below
from .test_leases import *  # noqa: F403
from .test_ledger import *  # noqa: F403
from .third import Journal


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Journal(tmp_path / "third.db")
    upgrade(database)
    yield database
    database.close()
