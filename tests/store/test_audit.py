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


def test_events_are_found_by_who_what_when_and_to_what(database: Database) -> None:
    deeds = [("ann", "look", "case 1", 1), ("bob", "look", "case 12", 2), ("ann", "promote", "model 2", 3)]
    for by, action, subject, day in deeds:
        with database.write() as connection:
            at = datetime(2025, 5, day, tzinfo=UTC)
            audit.record(connection, at=at, by=by, action=action, subject=subject, document={})

    def found(wanted: audit.AuditFilter, limit: int = 10) -> list[int]:
        return [event.at.day for _, event in audit.search(database, wanted, limit)]

    assert found(audit.AuditFilter()) == [3, 2, 1]
    assert found(audit.AuditFilter(), 2) == [3, 2]
    assert found(audit.AuditFilter(by="ann")) == [3, 1]
    assert found(audit.AuditFilter(action="look", subject="case 1")) == [2, 1]
    assert found(audit.AuditFilter(subject="%")) == []
    assert found(audit.AuditFilter(since=datetime(2025, 5, 2, tzinfo=UTC), until=datetime(2025, 5, 3, tzinfo=UTC))) == [
        2
    ]
    assert found(audit.AuditFilter(before=2)) == [1]
    assert audit.actions(database) == ["look", "promote"]


def test_a_spreadsheet_runs_nothing_that_somebody_wrote_into_the_trail() -> None:
    event = audit.AuditEvent(MAY, "=cmd()", "look", "@x", {"n": 1})
    assert audit.as_csv([event]).splitlines()[1] == '2025-05-01T00:00:00.000000Z,\'=cmd(),look,\'@x,"{""n"": 1}"'


def test_what_changed_in_the_settings_is_on_record_once(database: Database) -> None:
    audit.record_settings(database, "f0", {"gate.alpha": 0.01}, "ann")
    assert audit.latest(database) == []  # nothing is on record yet
    audit.write(database, by="ann", action="look", subject="")
    audit.record_settings(database, "f1", {"gate.alpha": 0.05, "serve.port": 1}, "ann")
    audit.record_settings(database, "f1", {"gate.alpha": 0.05, "serve.port": 1}, "ann")
    audit.record_settings(database, "f2", {"gate.alpha": 0.5, "serve.port": 1}, "bob")
    newest, first, _ = audit.latest(database)
    assert (newest.by, newest.document["changed"]) == ("bob", {"gate.alpha": [0.05, 0.5]})
    assert first.document["fingerprint"] == "f1"
    database.settings = "f2"
    with database.write() as connection:
        audit.record(connection, at=MAY, by="ann", action="look", subject="", document={"n": 1})
    assert audit.latest(database)[0].document == {"n": 1, "settings": "f2"}
