"""The audit trail is written in the transaction of the deed, and nothing that decides reads it."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import riskloop
from riskloop.store import audit
from riskloop.store.database import Database

MAY = datetime(2025, 5, 1, tzinfo=UTC)
DECIDING = ("cases", "decide", "gate", "loop", "monitor", "promote", "retrain", "train", "backtest")


def test_an_event_comes_back_newest_first(database: Database) -> None:
    for number in (1, 2):
        with database.write() as connection:
            audit.record(connection, at=MAY, by="ann", action="look", subject=f"case {number}", document={"n": number})
    newest, _ = audit.latest(database)
    assert (newest.at, newest.by, newest.action, newest.subject) == (MAY, "ann", "look", "case 2")
    assert newest.document == {"n": 2}


def test_a_deed_that_fails_leaves_no_record(database: Database) -> None:
    def deed() -> None:
        with database.write() as connection:
            audit.record(connection, at=MAY, by="ann", action="look", subject="case 1", document={})
            raise KeyError

    with pytest.raises(KeyError):
        deed()
    assert audit.latest(database) == []


def test_what_decides_does_not_read_the_trail() -> None:
    reading = re.compile(r"audit\.latest|tables import [^\n]*\baudit\b")
    source = Path(riskloop.__file__).parent
    rooms = [path for room in DECIDING for path in sorted((source / room).rglob("*.py"))]
    assert len(rooms) > 50
    assert [path.name for path in rooms if reading.search(path.read_text(encoding="utf-8"))] == []
