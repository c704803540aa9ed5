"""Who a decision was about and what it was made on go, wherever they lie; the chain holds, and abuse is found."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, text

from riskloop.core.chain import personal_part
from riskloop.core.errors import NotFound
from riskloop.store import audit
from riskloop.store.archive import Archive
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.erasure import erase_customer
from riskloop.store.segments import Segments
from riskloop.store.tables import metadata
from riskloop.store.verify import recompute

from .rows import scored

NOW = datetime(2025, 6, 1, tzinfo=UTC)
WHO = "c2"  # in both the table and a segment


@pytest.fixture
def log(database: Database, tmp_path: Path) -> DecisionLog:
    """Decisions 1 to 5 in the table, 6 to 9 in a segment, of customers c0 to c4 and c1 to c4."""
    segments = Segments(database, tmp_path / "segments")
    log = DecisionLog(database, segments)
    log.append(scored(5))
    written = segments.files.write(scored(4, start=1), ("x", "y", "z"))
    assert segments.register("night", "f", [written], seq=0)
    return log


def erase(log: DecisionLog, who: str = WHO) -> tuple[int, ...]:
    return erase_customer(
        log.database, log.segments, Archive(None), who, by="ann", reason="a request", at=NOW
    ).decisions


def everything(log: DecisionLog, tmp_path: Path) -> bytes:
    """All that is kept anywhere, as bytes."""
    found = b"".join(path.read_bytes() for path in sorted((tmp_path / "segments").rglob("*.parquet")))
    with log.database.read() as connection:
        for table in metadata.sorted_tables:
            found += repr(connection.execute(select(table)).all()).encode()
    return found


def test_a_person_is_gone_from_the_table_and_from_segments(log: DecisionLog, tmp_path: Path) -> None:
    before = {decision.decision_id: decision for decision in log.of_customer(WHO)}
    assert set(before) == {3, 7}
    others = log.frame()
    assert erase(log) == (3, 7)
    assert log.of_customer(WHO) == []
    kept = everything(log, tmp_path)
    assert b"'c2'" not in kept
    for decision in before.values():
        assert decision.features.tobytes() not in kept
        assert repr(decision.features.tobytes()).encode() not in kept
    assert recompute(log.database).breaches == []
    assert list(log.segments.altered()) == []
    frame = log.frame()
    assert frame.ids.tolist() == [1, 2, 4, 5, 6, 8, 9]
    np.testing.assert_array_equal(frame.features, others.take(np.flatnonzero(~np.isin(others.ids, [3, 7]))).features)


def test_the_decision_itself_stays(log: DecisionLog) -> None:
    probability = log.get(3).probability
    erase(log)
    assert (log.count(), log.last_id()) == (9, 9)
    with log.database.read() as connection:
        row = connection.execute(text("SELECT probability, customer_id FROM decisions WHERE id = 3")).one()
    assert tuple(row) == (probability, "")
    for number in (3, 7):
        with pytest.raises(NotFound, match=rf"Decision {number} was erased on 2025-06-01 by ann \(a request\)"):
            log.get(number)
    (event,) = audit.latest(log.database)
    assert (event.action, event.by, event.document["count"]) == ("erase", "ann", 2)


def test_who_is_not_there_cannot_be_erased(log: DecisionLog) -> None:
    for who in ("mallory", ""):
        with pytest.raises(NotFound):
            erase(log, who)
    erase(log)
    with pytest.raises(NotFound):
        erase(log)
    assert recompute(log.database).breaches == []


@pytest.mark.parametrize(
    "change",
    [
        "probability = 0.9",
        "is_default = 1 - is_default",
        "time = time + 1",
        "customer_id = 'mallory'",
        "flags = NULL",
    ],
)
def test_an_erasure_hides_no_other_change(log: DecisionLog, change: str) -> None:
    erase(log)
    with log.database.engine.begin() as connection:
        connection.execute(text(f"UPDATE decisions SET {change} WHERE id = 3"))
    assert [(b.kind, b.what) for b in recompute(log.database).breaches] == [("decisions", "changed")]


def test_an_erasure_that_riskloop_did_not_make_is_found(log: DecisionLog) -> None:
    """Somebody blanks a row that is in the way, and writes a tombstone by hand."""
    with log.database.engine.begin() as connection:
        row = connection.execute(text("SELECT features FROM decisions WHERE id = 1")).one()
        blank = np.full(3, np.nan).tobytes()
        connection.execute(
            text("UPDATE decisions SET customer_id = '', features = :f, flags = '{\"erased\": true}' WHERE id = 1"),
            {"f": blank},
        )
    assert [b.what for b in recompute(log.database).breaches] == ["changed"]
    with log.database.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO erasures (decision_id, at, \"by\", reason, personal) VALUES (1, 1, 'x', 'x', :p)"),
            {"p": personal_part("c0", bytes(row.features), None)},
        )
    assert [(b.kind, b.what) for b in recompute(log.database).breaches] == [("erasures", "added")]
