"""What shadows said is kept apart, proven like the log, and goes with the person whom it was about."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from riskloop.store.adapters import open_database
from riskloop.store.archive import DECISIONS, FEATURES, Archive
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.erasure import erase_customer
from riskloop.store.retention import Retention
from riskloop.store.segments import Segments
from riskloop.store.shadow import ShadowRun, ShadowScores
from riskloop.store.transfer import copy
from riskloop.store.verify import recompute

from .rows import scored

NOW = datetime(2025, 6, 1, tzinfo=UTC)
N, RUNS = 40, ((1, 7), (8, 8), (9, 30), (31, 40))


def run_of(version: int, first: int, last: int) -> ShadowRun:
    return ShadowRun(version, first, last, 1, 0, 0, 0.5, np.arange(first, last + 1) / 100.0 + version)


@pytest.fixture
def log(database: Database, tmp_path: Path) -> DecisionLog:
    """Decisions 1 to 25 in the table, 26 to 40 in a segment; two shadows begin at the first one."""
    segments = Segments(database, tmp_path / "segments")
    log = DecisionLog(database, segments)
    log.append(scored(25))
    written = segments.files.write(scored(15, start=25), ("x", "y", "z"))
    assert segments.register("night", "f", [written], seq=0)
    for version in (2, 3):
        ShadowScores(database).begin(version, 0, NOW)
    return log


def expected(version: int, gone: set[int]) -> list[float]:
    return [np.nan if n in gone else n / 100.0 + version for n in range(1, N + 1)]


def test_scores_come_back_by_decision_and_go_with_the_person(log: DecisionLog, tmp_path: Path) -> None:
    kept, ids = ShadowScores(log.database), np.arange(1, N + 1)
    rng = np.random.default_rng(1)
    gone: set[int] = set()
    for number, (first, last) in enumerate(RUNS):
        before, after = rng.choice(np.arange(first, last + 1), 2)
        for who in {f"c{before - 1}"} if number % 2 else ():  # erased between reading and keeping
            gone |= set(erase(log, who))
        for version in (2, 3):
            kept.keep(run_of(version, first, last), NOW)
        if after not in gone:
            gone |= set(erase(log, f"c{after - 1}"))
    assert len(gone) > len(RUNS)
    for version in (2, 3):
        np.testing.assert_array_equal(kept.scores(version, ids), expected(version, gone))
        np.testing.assert_array_equal(
            kept.scores(version, ids[[39, 0, 8]]), np.array(expected(version, gone))[[39, 0, 8]]
        )
    for decision in ids.tolist():
        said = {} if decision in gone else {2: decision / 100.0 + 2, 3: decision / 100.0 + 3}
        assert kept.of(decision) == said
    two = kept.count(2)
    assert two is not None
    assert (two.first_id, two.last_id, two.scored, two.both_decline, two.champion_total) == (1, N, N, 4, 2.0)
    assert kept.count(4) is None
    assert recompute(log.database).breaches == []
    with closing(open_database("sqlite:///copy.db", tmp_path)) as other:  # whatever the kind of the first
        assert copy(log.database, other)["shadow_scores"] == 2 * (1 + len(RUNS))
        np.testing.assert_array_equal(ShadowScores(other).scores(3, ids), expected(3, gone))


def erase(log: DecisionLog, who: str) -> tuple[int, ...]:
    return erase_customer(
        log.database, log.segments, Archive(None), who, by="ann", reason="a request", at=NOW
    ).decisions


@pytest.mark.parametrize("kind", [DECISIONS, FEATURES])
def test_scores_go_when_retention_takes_what_they_were_made_on(log: DecisionLog, kind: str) -> None:
    kept, ids = ShadowScores(log.database), np.arange(1, N + 1)
    kept.keep(run_of(2, 1, 30), NOW)
    taking = Retention(log.database, log.segments, Archive(None), lambda _: (), "ann", NOW)
    assert sum(entry.rows for entry in taking.take(kind, 25)) == 25
    kept.keep(run_of(2, 31, 40), NOW)
    kept.keep(run_of(3, 1, 40), NOW)  # read before, kept after
    for version in (2, 3):
        np.testing.assert_array_equal(kept.scores(version, ids), expected(version, set(range(1, 26))))
    assert recompute(log.database).breaches == []
