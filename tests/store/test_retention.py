"""What is too old leaves for the archive; the chain goes on proving it, with the files and without them."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, text

from riskloop.core.errors import Conflict, NotFound, StorageError
from riskloop.core.span import Span
from riskloop.core.types import Decision, from_micros
from riskloop.store import audit
from riskloop.store.archive import AUDIT, DECISIONS, FEATURES, Archive
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.erasure import Erased, Tombstone, erase_again, erase_customer
from riskloop.store.matching import Outcome
from riskloop.store.outcomes import Outcomes
from riskloop.store.retention import Retention
from riskloop.store.segments import Segments
from riskloop.store.tables import metadata
from riskloop.store.verify import Verification, recompute

from .rows import MAY, scored

NOW = datetime(2027, 6, 1, tzinfo=UTC)
NAMES = ("x", "y", "z")


@pytest.fixture
def log(database: Database, tmp_path: Path) -> DecisionLog:
    """Decisions 1 to 3 and 4 to 8 in the table, 9 to 12 in a segment, 13 to 15 in the table; customers c0 to c14."""
    segments = Segments(database, tmp_path / "segments")
    log = DecisionLog(database, segments, Archive(tmp_path / "archive"))
    log.append(scored(3))
    appender = log.appender()
    appender.append([scored(2, start=3), scored(3, start=5, width=4, version=2)])  # one commit, two schemas
    appender.close()
    assert segments.register("night", "f", [segments.files.write(scored(4, start=8), NAMES)], seq=0)
    log.append(scored(3, start=12))
    return log


def work(log: DecisionLog) -> Retention:
    def names(version: int) -> Sequence[str]:
        return NAMES if version == 1 else (*NAMES, "w")

    return Retention(log.database, log.segments, log.archive, names, "ann", NOW)


def take(log: DecisionLog, kind: str, limit: int) -> list[tuple[int, int]]:
    return [(entry.first_id, entry.last_id) for entry in work(log).take(kind, limit)]


def verified(log: DecisionLog) -> Verification:
    return recompute(log.database, archive=log.archive)


def found(log: DecisionLog) -> list[tuple[str, str]]:
    return [(breach.kind, breach.what) for breach in verified(log).breaches]


def same(one: Decision, other: Decision) -> bool:
    return (
        one.features.tobytes() == other.features.tobytes()
        and (one.customer_id, one.time, one.scored_at, one.model_version, one.probability, one.default, one.flags)
        == (other.customer_id, other.time, other.scored_at, other.model_version, other.probability, other.default,
            other.flags)
    )  # fmt: skip


def everything(log: DecisionLog, tmp_path: Path) -> bytes:
    """All that is kept anywhere; Parquet as its rows, since its bytes are packed."""
    from pyarrow import parquet

    kept = b"".join(repr(parquet.read_table(p).to_pylist()).encode() for p in sorted(tmp_path.rglob("*.parquet")))
    with log.database.read() as connection:
        for table in metadata.sorted_tables:
            kept += repr(connection.execute(select(table)).all()).encode()
    return kept


@pytest.mark.parametrize("kind", [DECISIONS, FEATURES])
def test_decisions_go_to_the_archive_and_are_read_and_proven_there(log: DecisionLog, kind: str) -> None:
    before = {number: log.get(number) for number in range(1, 16)}
    young = log.frame(Span(13))
    assert take(log, kind, 12)[-1] == (9, 12)
    assert (log.count(), log.last_id(), log.horizon()) == (15, 15, 12)
    kept = log.frame()
    assert kept.ids.tolist() == [13, 14, 15]
    np.testing.assert_array_equal(kept.features, young.features)
    for number, decision in before.items():
        assert same(log.get(number), decision), number
    after = verified(log)
    assert (after.breaches, after.away) == ([], [])
    assert after.archived == (8 if kind == DECISIONS else 0)
    with log.database.read() as connection:
        left = connection.execute(text("SELECT id, customer_id FROM decisions ORDER BY id")).all()
    assert [row.id for row in left if row.id < 13] == ([] if kind == DECISIONS else [1, 2, 3, 4, 5, 6, 7, 8])
    assert all(row.customer_id == "" for row in left if row.id < 13)
    log.append(scored(2, start=20))
    assert log.last_id() == 17
    assert take(log, kind, 12) == []


@pytest.mark.parametrize("kind", [DECISIONS, FEATURES])
def test_without_the_files_the_links_still_stand_and_it_is_said(log: DecisionLog, kind: str, tmp_path: Path) -> None:
    take(log, kind, 15)
    shutil.move(tmp_path / "archive", tmp_path / "elsewhere")
    after = verified(log)
    assert after.breaches == []
    assert [entry.kind for entry in after.away] == [kind] * len(after.away) != []
    sentence = "left the log .* not there now" if kind == DECISIONS else r"older than \[retention\] features"
    for number in (2, 10):
        with pytest.raises(NotFound, match=sentence):
            log.get(number)
    shutil.move(tmp_path / "elsewhere", tmp_path / "archive")
    assert log.get(2).customer_id == "c1"


def test_features_first_then_the_decisions(log: DecisionLog) -> None:
    before = {number: log.get(number) for number in (1, 5, 8, 9, 12)}
    take(log, FEATURES, 12)
    take(log, DECISIONS, 12)
    assert found(log) == []
    for number, decision in before.items():
        assert same(log.get(number), decision), number


def test_commits_leave_whole(log: DecisionLog) -> None:
    assert [work(log).reach(DECISIONS, limit) for limit in (2, 6, 11, 14, 15)] == [0, 3, 8, 12, 15]
    assert take(log, DECISIONS, 6) == [(1, 3)]
    assert [work(log).reach(DECISIONS, limit) for limit in (6, 11, 15)] == [3, 8, 15]
    assert take(log, DECISIONS, 11) == [(4, 8)]
    assert take(log, DECISIONS, 15) == [(9, 12), (13, 15)]
    assert (log.last_id(), log.count(), found(log)) == (15, 15, [])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE decisions SET probability = 0.25 WHERE id = 2",
        "UPDATE decisions SET customer_id = 'mallory' WHERE id = 2",
        "DELETE FROM decisions WHERE id = 2",
    ],
)
def test_what_is_not_what_was_committed_is_not_taken_out(log: DecisionLog, change: str) -> None:
    with log.database.engine.begin() as connection:
        connection.execute(text(change))
    with pytest.raises(StorageError, match=r"none was taken out. Run `riskloop verify`"):
        take(log, DECISIONS, 12)
    assert log.horizon() == 0


@pytest.mark.parametrize("kind", [DECISIONS, FEATURES])
def test_whoever_changes_what_was_taken_out_is_found(log: DecisionLog, kind: str, tmp_path: Path) -> None:
    take(log, kind, 12)
    with log.database.engine.begin() as connection:
        connection.execute(text("UPDATE archives SET last_id = 7 WHERE first_id = 1"))
    assert ("archives", "changed") in found(log)
    with log.database.engine.begin() as connection:
        connection.execute(text("UPDATE archives SET last_id = 8 WHERE first_id = 1"))
    assert found(log) == []
    for path in (tmp_path / "archive").rglob("*.parquet"):
        kept = path.read_bytes()
        path.write_bytes(kept[:-1] + b"\x00")
        assert ("archives", "changed") in found(log), path
        path.write_bytes(kept)
    assert found(log) == []
    with log.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM archives WHERE first_id = 1"))
    assert ("archives", "missing") in found(log)


def test_a_row_that_is_put_back_is_found_with_the_files_and_without(log: DecisionLog, tmp_path: Path) -> None:
    take(log, DECISIONS, 12)
    columns = "customer_id, time, scored_at, model_version, probability, is_default, features, flags"
    with log.database.engine.begin() as connection:
        connection.execute(
            text(f"INSERT INTO decisions (id, {columns}) SELECT 2, {columns} FROM decisions WHERE id = 13")
        )
    assert found(log) == [("decisions", "added")]
    shutil.move(tmp_path / "archive", tmp_path / "elsewhere")
    assert found(log) == [("decisions", "added")]


def test_nothing_is_kept_where_no_archive_is_named(log: DecisionLog, tmp_path: Path) -> None:
    log.archive = Archive(None)
    take(log, DECISIONS, 12)
    assert found(log) == []
    assert b"'c2'" not in everything(log, tmp_path)
    with pytest.raises(NotFound, match="kept nowhere"):
        log.get(2)


def test_an_archived_decision_takes_no_outcome_and_says_why(log: DecisionLog) -> None:
    take(log, DECISIONS, 12)
    reported = [Outcome(True, NOW, number) for number in (2, 10, 13, 99)]
    told = Outcomes(log.database, log.segments).record(reported, NOW)
    assert told.recorded == 1
    assert told.reasons == (
        "decision 2 is archived ([retention])",
        "decision 10 is archived ([retention])",
        "there is no decision 99",
    )


def test_rows_that_were_scored_and_archived_are_not_answered_again(log: DecisionLog) -> None:
    take(log, FEATURES, 12)
    with pytest.raises(Conflict, match="archived"):
        log.chunk(1, 3)
    take(log, DECISIONS, 12)
    with pytest.raises(Conflict, match="run 'night' are archived"):
        log.segments.of_run("night", "f")


def test_until_when_rows_are_old(log: DecisionLog) -> None:
    day = timedelta(days=1)
    first = from_micros(MAY)
    assert work(log).until(DECISIONS, first) == 0
    assert work(log).until(DECISIONS, first + 4 * day) == 4  # decision 5 is of that day
    assert work(log).until(DECISIONS, first + 9 * day) == 8  # within the segment
    assert work(log).until(DECISIONS, NOW) == 15
    take(log, DECISIONS, 15)
    assert work(log).until(DECISIONS, NOW) == 15


# --------------------------------------------------------------------------- the audit trail


def test_the_audit_trail_goes_to_the_archive(log: DecisionLog, tmp_path: Path) -> None:
    for number in range(6):
        audit.write(log.database, by="ann", action="look", subject=f"model {number}")
    assert take(log, AUDIT, 4) == [(1, 4)]
    assert [event.subject for event in audit.latest(log.database)] == ["Audit events 1 to 4", "model 5", "model 4"]
    after = verified(log)
    assert (after.breaches, after.archived) == ([], 4)
    (path,) = (tmp_path / "archive").rglob("*.parquet")
    path.unlink()
    after = verified(log)
    assert (after.breaches, after.archived, len(after.away)) == ([], 0, 1)
    with log.database.engine.begin() as connection:
        connection.execute(text("UPDATE audit SET \"by\" = 'bob' WHERE id = 5"))
    assert found(log) == [("audit", "changed")]


# --------------------------------------------------------------------------- erasure


def erase(log: DecisionLog, who: str, kept: list[Tombstone] | None = None) -> Erased:
    keep = (lambda _tombstone: None) if kept is None else kept.append
    database, segments, archive = log.database, log.segments, log.archive
    return erase_customer(database, segments, archive, who, by="bea", reason="a request", at=NOW, keep=keep)


@pytest.mark.parametrize("who", ["c1", "c6", "c9", "c13"])
@pytest.mark.parametrize("kinds", [(FEATURES,), (DECISIONS,), (FEATURES, DECISIONS)])
def test_erasure_reaches_the_archive(log: DecisionLog, tmp_path: Path, kinds: tuple[str, ...], who: str) -> None:
    (decision,) = log.of_customer(who)
    number = decision.decision_id
    others = {other: log.get(other) for other in range(1, 16) if other != number}
    for kind in kinds:
        take(log, kind, 12)
    assert erase(log, who).decisions == (number,)
    assert f"'{who}'".encode() not in everything(log, tmp_path)
    assert found(log) == []
    with pytest.raises(NotFound, match=rf"Decision {number} was erased on 2027-06-01 by bea \(a request\)"):
        log.get(number)
    for other, as_it_was in others.items():
        assert same(log.get(other), as_it_was), other
    with pytest.raises(NotFound):
        erase(log, who)


def test_who_was_erased_before_stays_so_in_the_archive(log: DecisionLog, tmp_path: Path) -> None:
    for who in ("c1", "c9"):
        erase(log, who)
    take(log, FEATURES, 12)
    take(log, DECISIONS, 12)
    assert found(log) == []
    assert b"'c1'" not in everything(log, tmp_path)
    for number in (2, 10):
        with pytest.raises(NotFound, match="was erased"):
            log.get(number)


def test_files_that_are_away_are_named_to_the_person(log: DecisionLog, tmp_path: Path) -> None:
    take(log, DECISIONS, 8)
    shutil.move(tmp_path / "archive", tmp_path / "elsewhere")
    done = erase(log, "c9")
    assert [one.rpartition("/")[2].partition(" ")[2] for one in done.away] == ["(decisions 1 to 8)"]
    with pytest.raises(NotFound, match=r"Not looked at, because it is not there: .*decisions 1 to 8"):
        erase(log, "c1")


def test_an_erasure_while_a_file_is_written_is_not_lost(log: DecisionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    files = log.archive.files
    assert files is not None
    keep = files.keep

    def meanwhile(folder: str, encoded: object) -> tuple[str, str]:
        monkeypatch.undo()
        erase(log, "c1")
        return keep(folder, encoded)

    monkeypatch.setattr(files, "keep", meanwhile)
    with pytest.raises(StorageError, match="Somebody was erased"):
        take(log, DECISIONS, 12)
    assert take(log, DECISIONS, 12) == [(1, 8), (9, 12)]
    with pytest.raises(NotFound, match="was erased"):
        log.get(2)


@pytest.mark.parametrize("kinds", [(), (FEATURES,), (DECISIONS,)])
def test_who_comes_back_with_an_older_state_is_erased_again(
    log: DecisionLog, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    for kind in kinds:
        take(log, kind, 12)
    kept: list[Tombstone] = []
    database = log.database
    older = Path(tmp_path / "older")
    shutil.copytree(tmp_path, older, ignore=shutil.ignore_patterns("older"))
    with database.read() as connection:
        rows = {table: connection.execute(select(table)).all() for table in metadata.sorted_tables}
    for who in ("c1", "c9"):
        erase(log, who, kept)
    with database.write() as connection:  # the older state comes back
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        for table, old in rows.items():
            if old:
                connection.execute(table.insert(), [dict(row._mapping) for row in old])
        database.continue_numbers(connection)
    for name in ("segments", "archive"):
        if (older / name).exists():
            shutil.rmtree(tmp_path / name)
            shutil.copytree(older / name, tmp_path / name)
    shutil.rmtree(older)
    if DECISIONS not in kinds:
        assert len(log.of_customer("c13")) == 1
    forged = Tombstone(NOW, "mallory", "envy", ((13, bytes(32)),))
    assert erase_again(database, log.segments, log.archive, [*kept, forged]) == [2, 10]
    assert erase_again(database, log.segments, log.archive, kept) == []
    assert found(log) == []
    assert b"'c1'" not in everything(log, tmp_path)
    for number in (2, 10):
        with pytest.raises(NotFound, match=r"by bea \(a request\)"):
            log.get(number)
    assert log.get(13).customer_id == "c12"
