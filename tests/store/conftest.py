from collections.abc import Iterator
from pathlib import Path

import pytest

from riskloop.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/riskloop.db")
    database.migrate()
    yield database
    database.close()
