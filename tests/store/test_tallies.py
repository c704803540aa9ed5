"""Counts that are kept say the same as the log, whatever came since, and nobody who asks counts the log for them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text, update
from sqlalchemy.event import listen

from riskloop.core.errors import ArtefactError
from riskloop.core.maturity import Maturity
from riskloop.core.span import EVERYTHING, Span
from riskloop.core.types import Ints, from_micros
from riskloop.store import reported, tallies
from riskloop.store.adapters import open_database
from riskloop.store.archive import Archive
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.deliveries import Deliveries, hold, release
from riskloop.store.migrations import upgrade
from riskloop.store.outcomes import Outcome, Outcomes
from riskloop.store.proof import _tallies
from riskloop.store.retention import Retention
from riskloop.store.segments import Segments
from riskloop.store.tables import tallies as table

from .rows import DAY, MAY
from .test_segments import NAMES, SIZES, groups

KNOWN_AT = from_micros(MAY + 200 * DAY)
SPANS = [
    EVERYTHING,
    Span(start=MAY + 3 * DAY + 2, end=MAY + 20 * DAY + 3),  # both cut an hour
    Span(start=MAY + DAY, end=MAY + 30 * DAY),
    Span(start=MAY + 7 * DAY + 1, end=MAY + 7 * DAY + 4),  # within an hour
    Span(end=MAY + 9 * DAY + 1),
    Span(start=MAY + 12 * DAY + 4),
]


@pytest.fixture
def segments(database: Database, tmp_path: Path) -> Segments:
    return Segments(database, tmp_path / "segments")


def log_one(log: DecisionLog, seed: int, number: int) -> None:
    group = groups(seed)[number]
    if number % 2:
        written = log.segments.files.write(group, NAMES)
        assert log.segments.register(f"run{number}", "f", [written], seq=0) is not None
    else:
        log.append(group)


def report(log: DecisionLog, rng: np.random.Generator, most: int) -> None:
    last = log.last_id()
    ids = rng.choice(last, min(last, most), replace=False) + 1
    labels = [Outcome(bool(rng.random() < 0.3), KNOWN_AT, decision_id=int(i)) for i in ids]
    Outcomes(log.database, log.segments).record(labels, KNOWN_AT)


def now(database: Database) -> Maturity:
    held = tuple((d.first_id or 0, d.last_id or 0) for d in Deliveries(database).held() if d.first_id is not None)
    return Maturity(0, outcomes=Outcomes(database).last_id(), held=held)


def both(segments: Segments, span: Span, known: Maturity) -> tuple[Ints, Ints]:
    with segments.database.read() as connection:
        return (
            tallies.by_hour(connection, segments, span, known),
            tallies.count(connection, segments, span, known),
        )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kept_counts_are_those_of_the_log_whatever_came_since(segments: Segments, seed: int) -> None:
    """Decisions, outcomes, corrections, quarantine and release in any order; counted on at any moment, or not."""
    database, rng = segments.database, np.random.default_rng(seed)
    log = DecisionLog(database, segments)
    for number in range(len(SIZES)):
        log_one(log, seed, number)
        report(log, rng, 30)
        if rng.random() < 0.7:
            tallies.keep(database, segments, now(database), least=int(rng.integers(0, 30)))
        if number == 3:
            with database.write() as connection:
                hold(connection, [Deliveries(database).latest()[-1].id], case_id=1)
        if number == 4:
            with database.write() as connection:
                release(connection, [d.id for d in Deliveries(database).held()])
        for span in [*SPANS, Span(3, 70)]:
            there = log.coverage(span, now(database))
            assert log.decided(span, now(database)) == (there.approved, there.declined)
        for span in SPANS:
            np.testing.assert_array_equal(*both(segments, span, now(database)))
        past = Maturity(0, outcomes=now(database).outcomes // 2)
        np.testing.assert_array_equal(*both(segments, EVERYTHING, past))
    with database.read() as connection:
        assert tallies.altered(connection, segments).tolist() == []


def test_what_is_counted_is_not_counted_again(
    segments: Segments, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For a kept log only cut hours and what came since are counted: no segment's file is read, and no other row."""
    database, rng = segments.database, np.random.default_rng(1)
    log = DecisionLog(database, segments)
    for number in range(4):
        log_one(log, 1, number)
    report(log, rng, 60)
    known = now(database)
    days, explored = log.days(MAY + 2, MAY + 30 * DAY, known), log.exploration(known)
    log.keep_tallies(known)
    counted: list[Span] = []

    def watched(connection: Any, segments: Segments, span: Span, known: Maturity) -> Ints:
        counted.append(span)
        return genuine(connection, segments, span, known)

    genuine = tallies.count
    monkeypatch.setattr(tallies, "count", watched)
    log.keep_tallies(known)
    for a, b in zip(days, log.days(MAY + 2, MAY + 30 * DAY, known), strict=True):
        np.testing.assert_array_equal(a, b)
    assert log.exploration(known) == explored
    assert counted == [Span(start=MAY + 2, end=MAY + tallies.HOUR), Span(start=MAY + 30 * DAY, end=MAY + 30 * DAY + 1)]
    counted.clear()
    last = log.last_id()
    log_one(log, 1, 4)
    assert log.days(MAY, MAY + 40 * DAY - 1, known)[1].sum() >= days[1].sum()
    assert counted == [Span(first_id=last + 1, start=MAY, end=MAY + 40 * DAY)]
    for file in (tmp_path / "segments").rglob("*.parquet"):
        file.unlink()
    assert log.exploration(known)[0] >= explored[0]
    monkeypatch.setattr(tallies, "_kept", lambda *_: None)
    with pytest.raises(ArtefactError):
        log.exploration(known)


def test_sqlite_goes_through_no_table_of_outcomes_for_a_few_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the plans of the statements that are sent: outcomes are found by their decision, or by their newest ids."""
    monkeypatch.setattr(reported, "PART", 1)  # two ids are many, and asked for as a range
    database = open_database("sqlite:///riskloop.db", tmp_path)
    upgrade(database)
    log, rng = DecisionLog(database, Segments(database, tmp_path / "segments")), np.random.default_rng(1)
    for number in range(4):
        log_one(log, 1, number)
        report(log, rng, 60)
        log.keep_tallies(now(database))
    report(log, rng, 60)
    sent: list[tuple[str, Any]] = []
    listen(database.engine, "before_cursor_execute", lambda *said: sent.append((said[2], said[3])))
    known = Maturity(MAY + 90 * DAY, outcomes=now(database).outcomes)
    log.days(MAY + 2, MAY + 30 * DAY, known)
    log.chosen([4, 5, 6, 7, 8, 44, 60], known)
    log.happened([3, 20, 44, 60])
    plans = []
    with database.read() as connection:
        for statement, parameters in [one for one in sent if "outcomes" in one[0] and "EXISTS" not in one[0]]:
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans += [row[3] for row in found if "outcomes" in row[3] and "max" not in statement]
    assert len(plans) >= 5
    for plan in plans:
        assert "outcomes_decision (decision_id" in plan or "PRIMARY KEY (rowid>?" in plan, plan
    database.close()


def test_few_new_rows_are_left_for_later(segments: Segments) -> None:
    database = segments.database
    log = DecisionLog(database, segments)
    log_one(log, 1, 1)
    tallies.keep(database, segments, now(database))  # the first time always

    def kept() -> int:
        with database.read() as connection:
            return int(connection.execute(text("SELECT decisions FROM tallied")).scalar_one())

    assert kept() == SIZES[1]
    log_one(log, 1, 2)
    tallies.keep(database, segments, now(database), least=2)
    assert kept() == SIZES[1]
    tallies.keep(database, segments, now(database), least=1)
    assert kept() == SIZES[1] + SIZES[2]


def test_what_left_the_log_is_counted_out_at_the_next_turn(segments: Segments) -> None:
    database = segments.database
    log = DecisionLog(database, segments, Archive(None))
    for number in range(4):
        log_one(log, 2, number)
    log.keep_tallies(now(database))
    taking = Retention(database, segments, Archive(None), lambda _v: NAMES, "test", datetime.now(KNOWN_AT.tzinfo))
    assert list(taking.take("decisions", sum(SIZES[:2])))
    np.testing.assert_array_equal(*both(segments, EVERYTHING, now(database)))
    log.keep_tallies(now(database))
    np.testing.assert_array_equal(*both(segments, EVERYTHING, now(database)))
    with database.read() as connection:
        assert tallies._kept(connection, now(database)) is not None


def test_verify_finds_counts_that_somebody_changed(segments: Segments) -> None:
    database = segments.database
    log = DecisionLog(database, segments)
    log_one(log, 3, 1)
    log.keep_tallies(now(database))
    assert list(_tallies(database, segments)) == []
    with database.write() as connection:
        connection.execute(update(table).where(table.c.approved > 0).values(reported=table.c.approved))
    (breach,) = _tallies(database, segments)
    assert "are not those of the log" in breach.sentence
