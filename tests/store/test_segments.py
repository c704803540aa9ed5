"""The same decisions as rows of the table and as segments: whoever reads the log cannot tell them apart."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from riskloop.core.errors import ArtefactError, Conflict, NotFound, NotReady
from riskloop.core.maturity import Maturity
from riskloop.core.span import EVERYTHING, Span
from riskloop.core.types import Decision, DecisionFrame, Decisions, PromotionKind, from_micros
from riskloop.store import listing
from riskloop.store.adapters import open_database
from riskloop.store.appender import ChunkKey
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.ledger import Ledger
from riskloop.store.listing import ListedDecision, Sought, SoughtLevel
from riskloop.store.migrations import upgrade
from riskloop.store.outcomes import Outcome, Outcomes
from riskloop.store.segment_files import SegmentFiles
from riskloop.store.segments import Segments

from .rows import DAY, MAY

NAMES = ("x", "time", "z")  # a feature may have the name of a column
SIZES = (3, 40, 1, 60, 5, 17)  # of the groups; every second one is a segment


def groups(seed: int) -> list[Decisions]:
    """Decisions with missing values, negative zero, customers who come again, flags and explored ones."""
    rng = np.random.default_rng(seed)
    made = []
    for number, n in enumerate(SIZES):
        features = rng.normal(size=(n, len(NAMES)))
        features[rng.random(features.shape) < 0.1] = np.nan
        features[rng.random(features.shape) < 0.1] = -0.0
        features[:, 1] = np.abs(np.rint(features[:, 1]))  # a category
        probabilities = rng.uniform(size=n)
        explored = (probabilities > 0.5) & (rng.random(n) < 0.3)
        flags = [
            json.dumps({"explored": True, "exploration_rate": 0.3}) if one else '{"missing": ["x"]}' if odd else None
            for one, odd in zip(explored, rng.random(n) < 0.2, strict=True)
        ]
        made.append(
            Decisions(
                customer_ids=[f"c{i}" for i in rng.integers(0, 60, n)],
                times=(MAY + rng.integers(0, 40, n) * DAY + rng.integers(0, 5, n)).tolist(),
                scored_at=MAY + number,
                model_version=1 + number // 3,
                probabilities=probabilities,
                defaults=(probabilities > 0.5) & ~explored,
                features=features,
                flags=flags,
            )
        )
    return made


@pytest.fixture
def segments(database: Database, tmp_path: Path) -> Segments:
    return Segments(database, tmp_path / "segments")


@pytest.fixture
def mixed(segments: Segments) -> DecisionLog:
    return DecisionLog(segments.database, segments)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[DecisionLog]:
    database = open_database("sqlite:///plain.db", tmp_path)
    upgrade(database)
    yield DecisionLog(database)
    database.close()


def log_both(plain: DecisionLog, mixed: DecisionLog, seed: int) -> None:
    for number, group in enumerate(groups(seed)):
        plain.append(group)
        if number % 2:
            written = mixed.segments.files.write(group, NAMES)
            assert mixed.segments.register(f"run{number}", "f", [written], seq=0) is not None
        else:
            mixed.append(group)
    rng = np.random.default_rng(seed + 100)
    known_at = from_micros(MAY + 200 * DAY)
    for log in (plain, mixed):
        outcomes = Outcomes(log.database, log.segments)
        rng = np.random.default_rng(seed)
        for _ in range(3):
            ids = rng.choice(sum(SIZES), 50, replace=False) + 1
            reported = [Outcome(bool(rng.random() < 0.3), known_at, decision_id=int(i)) for i in ids]
            reported += [Outcome(True, known_at, customer_id=f"c{i}") for i in rng.integers(0, 70, 6)]
            recorded = outcomes.record(reported, known_at)
            assert recorded.recorded > 0


def as_lists(frame: DecisionFrame) -> list[Any]:
    values = (getattr(frame, name) for name in frame.__slots__)
    return [v.tobytes() if isinstance(v, np.ndarray) else list(v) for v in values]


SPANS = [
    EVERYTHING,
    Span(2, 2),
    Span(4, 43),
    Span(10, 90),
    Span(start=MAY + 3 * DAY, end=MAY + 20 * DAY),
    Span(44, 110, MAY + DAY, MAY + 30 * DAY),
    Span(first_id=500),
    Span(end=MAY - 1),
]
KNOWN = [
    Maturity(MAY + 30 * DAY),
    Maturity(MAY + 10 * DAY, outcomes=70, silence="good"),
    Maturity(MAY + 90 * DAY, silence="good", silent_declined=True, held=((5, 30),)),
]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_log_reads_rows_and_segments_alike(plain: DecisionLog, mixed: DecisionLog, seed: int) -> None:
    log_both(plain, mixed, seed)
    total = sum(SIZES)
    assert mixed.count() == mixed.last_id() == plain.count() == total
    for number in range(1, total + 1):
        a, b = plain.get(number), mixed.get(number)
        assert a.features.tobytes() == b.features.tobytes()
        assert replace(a, features=None) == replace(b, features=None)  # type: ignore[arg-type]
        assert plain.scored_at(number) == mixed.scored_at(number)
    assert plain.scored_at(total + 1) is mixed.scored_at(total + 1) is None
    with pytest.raises(NotFound):
        mixed.get(total + 1)
    for customer in ("c1", "c7", "c59", "nobody"):
        for limit in (2, 100):
            found = [[d.decision_id for d in log.of_customer(customer, limit)] for log in (plain, mixed)]
            assert found[0] == found[1]
    for limit in (4, 30, 1000):
        assert [d.decision_id for d in plain.latest(limit)] == [d.decision_id for d in mixed.latest(limit)]
    whole = plain.extent()
    assert whole is not None
    assert plain.times() == mixed.times() == (whole.earliest, whole.latest)
    assert plain.exploration() == mixed.exploration()
    assert plain.exploration()[1] > 0
    for span in SPANS:
        assert plain.extent(span) == mixed.extent(span)
        some = [log.some(span, 2, 110, KNOWN[0], most=30) for log in (plain, mixed)]
        assert as_lists(some[0]) == as_lists(some[1])
        assert plain.holds(span) == mixed.holds(span) == (plain.extent(span) is not None)
        assert as_lists(plain.frame(span)) == as_lists(mixed.frame(span))


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("known", KNOWN)
def test_outcomes_count_alike(plain: DecisionLog, mixed: DecisionLog, known: Maturity, seed: int) -> None:
    log_both(plain, mixed, seed)
    first, second = (Outcomes(log.database, log.segments) for log in (plain, mixed))
    for span in SPANS:
        assert as_lists(plain.frame(span, known)) == as_lists(mixed.frame(span, known))
        assert plain.coverage(span, known) == mixed.coverage(span, known)
        assert first.reports(known, span=span) == second.reports(known, span=span)
    assert first.reports(known, after=40) == second.reports(known, after=40)
    ids = [120, 3, 44, 5, 6, 6, 999]
    assert as_lists(plain.chosen(ids, known)) == as_lists(mixed.chosen(ids, known))
    full, bare = plain.chosen(ids, known), mixed.chosen(ids, known, bare=True)
    nobody = replace(full, customer_ids=[""] * len(full), features=np.empty((len(full), 0)))
    assert as_lists(nobody) == as_lists(bare)
    for a, b in zip(first.reported_for(20), second.reported_for(20), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(plain.days(MAY, MAY + 35 * DAY, known), mixed.days(MAY, MAY + 35 * DAY, known), strict=True):
        np.testing.assert_array_equal(a, b)
    without = [Span(5, 50), Span(start=MAY + 20 * DAY, end=MAY + 22 * DAY)]
    for start in (0, MAY + 5 * DAY):
        assert first.matured(start, known, without) == second.matured(start, known, without)


@pytest.mark.parametrize("looked_at", [7, 100_000])
def test_lists_are_paged_alike(
    plain: DecisionLog, mixed: DecisionLog, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT", looked_at)
    log_both(plain, mixed, 6)
    day = MAY + 9 * DAY
    for wanted in [
        Sought(),
        Sought(customer="c5"),
        Sought(start=day, end=day + 6 * DAY),
        Sought(low=0.6),
        Sought(end=day, high=0.4),
        Sought(customer="c7", start=day, low=0.2),
        Sought(low=0.999),
        *(Sought(**one) for one in SIFTED),
        Sought(oldest=True),
        Sought(oldest=True, start=day, end=day + 6 * DAY),
        *(Sought(**one, start=day, oldest=True) for one in SIFTED),
    ]:
        assert walked(plain, wanted) == walked(mixed, wanted)


SIFTED: list[dict[str, Any]] = [
    {"version": 2},
    {"declined": True, "low": 0.7},
    {"declined": False, "first_id": 20, "last_id": 90},
    {"flagged": True},
    {"flagged": False, "version": 1},
    {"outcome": "defaulted"},
    {"outcome": "paid", "high": 0.8},
    {"outcome": "unknown"},
    {"level": SoughtLevel(1, 1.0)},
    {"level": SoughtLevel(1, 0.0), "outcome": "unknown", "customer": "c5"},
]


@pytest.mark.parametrize("asked", SIFTED, ids=str)
@pytest.mark.parametrize("oldest", [False, True])
def test_a_list_holds_exactly_what_was_asked_for(
    plain: DecisionLog, mixed: DecisionLog, asked: dict[str, Any], oldest: bool
) -> None:
    log_both(plain, mixed, 8)
    everything = mixed.latest(1000)
    happened = mixed.happened([d.decision_id for d in everything])
    said = {True: "defaulted", False: "paid", None: "unknown"}

    def fits(d: Decision) -> bool:
        checks = {
            "version": d.model_version == asked.get("version"),
            "declined": d.default == asked.get("declined"),
            "flagged": bool(d.flags) == asked.get("flagged"),
            "low": d.probability >= asked.get("low", 0.0),
            "high": d.probability <= asked.get("high", 1.0),
            "first_id": d.decision_id >= asked.get("first_id", 0),
            "last_id": d.decision_id <= asked.get("last_id", 1000),
            "customer": d.customer_id == asked.get("customer"),
            "outcome": said[happened.get(d.decision_id)] == asked.get("outcome"),
            "level": d.features[1] == asked.get("level", (1, -1.0))[1],
        }
        return all(checks[name] for name in asked)

    expected = [d.decision_id for d in everything if fits(d)]
    found = [row.id for row in walked(mixed, Sought(**asked, oldest=oldest))]
    assert found == (sorted(expected) if oldest else expected)
    assert expected or "customer" in asked


def walked(log: DecisionLog, wanted: Sought) -> list[ListedDecision]:
    rows, after = [], None
    for _ in range(200):
        found = log.page(wanted, after, 4)
        assert len(found.rows) <= 4
        rows += found.rows
        after = found.after
        if after is None:
            return rows
    raise AssertionError("the pages have no end")


def test_a_run_is_registered_once(segments: Segments) -> None:
    parts = [segments.files.write(group, NAMES) for group in groups(1)]
    made = segments.register("run", "f", parts, seq=0)
    assert made is not None
    assert [s.first_id for s in made] == [1, 4, 44, 45, 105, 110]
    again = [segments.files.write(group, NAMES) for group in groups(2)]  # a speculative copy: other files
    assert segments.register("run", "f", again, seq=0) == made == segments.of_run("run", "f")
    with pytest.raises(Conflict, match="other rows"):
        segments.register("run", "g", again, seq=0)
    assert segments.of_run("run-1", "f") == segments.of_run("ru", "f") == []
    log = DecisionLog(segments.database, segments)
    assert log.count() == log.last_id() == sum(SIZES)
    assert log.append(groups(1)[0]).first_id == sum(SIZES) + 1


def test_what_another_champion_decided_is_not_registered(segments: Segments) -> None:
    ledger, now = Ledger(segments.database), from_micros(MAY)
    written = segments.files.write(groups(1)[0], NAMES)
    ledger.register(created_at=now, learner="x", artefact="a", sha256="a", origin="train", auc=0.7)
    ledger.append(1, expected_seq=0, kind=PromotionKind.FIRST, at=now, by="ann", reason="")
    assert segments.register("run", "f", [written], seq=0) is None
    assert DecisionLog(segments.database, segments).last_id() == 0
    assert segments.register("run", "f", [written], seq=1) is not None


def test_a_file_that_went_through_the_api_is_not_decided_on_again(segments: Segments) -> None:
    log = DecisionLog(segments.database, segments)
    log.append(groups(1)[0], ChunkKey(f"run-0-{'a' * 32}", "f"))
    with pytest.raises(Conflict, match="--engine api"):
        segments.of_run("run", "f")
    assert segments.of_run("other", "f") == segments.of_run("run-0", "f") == []


def test_a_file_that_lies_in_segments_does_not_go_through_the_api_again(segments: Segments) -> None:
    segments.register("run", "f", [segments.files.write(groups(1)[1], NAMES)], seq=0)
    log = DecisionLog(segments.database, segments)
    with pytest.raises(Conflict, match="without the API"):
        log.find_chunk(ChunkKey(f"run-7-{'a' * 32}", "f"))
    for key in ("run", "run-7", f"run2-7-{'a' * 32}", f"a-run-7-{'a' * 32}"):
        assert log.find_chunk(ChunkKey(key, "f")) is None


def test_an_altered_or_missing_file_is_found_before_it_is_read(segments: Segments) -> None:
    written = segments.files.write(groups(1)[1], NAMES)
    segments.register("run", "f", [written], seq=0)
    path = Path(segments.files.root) / written.path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="not those that were registered"):
        DecisionLog(segments.database, segments).get(1)
    assert [segment.first_id for segment, _ in segments.altered()] == [1]
    path.unlink()
    with pytest.raises(ArtefactError, match="cannot be read"):
        DecisionLog(segments.database, segments).frame()


def test_segments_are_never_overlooked(segments: Segments) -> None:
    """Whoever does not know where the files lie is told so, instead of reading half of the log."""
    segments.register("run", "f", [segments.files.write(groups(1)[1], NAMES)], seq=0)
    blind = DecisionLog(segments.database)
    assert blind.count() == 40
    with pytest.raises(NotReady, match="segments"):
        blind.frame()


def test_files_that_nobody_registered_are_swept_after_a_day(segments: Segments) -> None:
    import os

    kept, left, fresh = (segments.files.write(group, NAMES) for group in groups(1)[:3])
    segments.register("run", "f", [kept], seq=0)
    root = Path(segments.files.root)
    old = (root / kept.path).stat().st_mtime - timedelta(days=2).total_seconds()
    for one in (kept, left):
        os.utime(root / one.path, (old, old))
    assert segments.sweep() == [left.path]
    assert segments.files.listed() == sorted([kept.path, fresh.path])


def test_the_same_decisions_have_the_same_file(tmp_path: Path) -> None:
    first, second = SegmentFiles(tmp_path / "a"), SegmentFiles(str(tmp_path / "b"))
    for group in groups(5):
        assert first.write(group, NAMES) == second.write(group, NAMES)


def test_segments_lie_in_any_file_system_of_arrow(segments: Segments, tmp_path: Path) -> None:
    files = SegmentFiles(f"file://{tmp_path}/elsewhere")
    (tmp_path / "elsewhere" / "2025-05-01").mkdir(parents=True)
    group = groups(1)[1]
    written = files.write(group, NAMES)
    table = files.read(written.path, written.sha256, ["probability"], slice(3, 7))
    np.testing.assert_array_equal(table["probability"].to_numpy(), group.probabilities[3:7])
    files.copy_to(segments.files, [written.path])
    assert segments.files.read(written.path, written.sha256, ["time"]).num_rows == 40
