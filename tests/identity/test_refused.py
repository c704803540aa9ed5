"""Refused keys in the audit trail: counted, bounded, and never lost."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from riskloop.core.errors import StorageError
from riskloop.identity.refused import MOST, RefusedKeyLog
from riskloop.store import audit
from riskloop.store.adapters import open_database
from riskloop.store.database import Database
from riskloop.store.migrations import upgrade

NOW = datetime(2025, 5, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database("sqlite:///riskloop.db", tmp_path)
    upgrade(database)
    yield database
    database.close()


def entries(database: Database) -> dict[tuple[str, str], int]:
    return {(e.by, e.document["address"]): e.document["count"] for e in audit.latest(database, limit=100)}


def test_each_name_and_address_is_one_entry_with_its_count(database: Database) -> None:
    log = RefusedKeyLog(database)
    for name, address in [("ann", "10.0.0.1")] * 3 + [("", "10.0.0.2")]:
        log.refused(name, address)
    log.flush(NOW)
    log.flush(NOW)  # nothing new, nothing written
    assert entries(database) == {("ann", "10.0.0.1"): 3, ("(unknown)", "10.0.0.2"): 1}


def test_a_flood_of_addresses_is_a_few_entries_and_every_try_counts(database: Database) -> None:
    log = RefusedKeyLog(database)
    for number in range(500):
        log.refused("", f"10.0.{number // 250}.{number % 250}")
    log.refused("", "10.0.0.0")  # known before, so still counted by itself
    log.flush(NOW)
    found = entries(database)
    assert len(found) == MOST + 1
    assert sum(found.values()) == 501
    assert found["(unknown)", "10.0.0.0"] == 2


def test_what_could_not_be_written_is_written_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, write = RefusedKeyLog(database), database.write

    def full() -> Any:
        raise StorageError("The disk is full.")

    log.refused("ann", "10.0.0.1")
    monkeypatch.setattr(database, "write", full)
    with pytest.raises(StorageError):
        log.flush(NOW)
    log.refused("ann", "10.0.0.1")
    monkeypatch.setattr(database, "write", write)
    log.flush(NOW)
    assert entries(database) == {("ann", "10.0.0.1"): 2}
