from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, insert, select

from riskloop.core.chain import rows_digest
from riskloop.core.errors import DataError
from riskloop.core.types import Decisions, to_micros
from riskloop.store import chain
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.matching import Labels, _decisions_on
from riskloop.store.outcomes import Outcome, Outcomes
from riskloop.store.segments import Segments
from riskloop.store.tables import decisions, deliveries, outcomes

MAY = datetime(2025, 5, 1, tzinfo=UTC)
JUNE = MAY + timedelta(days=31)


@pytest.fixture
def book(database: Database) -> Outcomes:
    rows = [
        {
            "id": number,
            "customer_id": customer,
            "time": to_micros(time),
            "scored_at": 0,
            "model_version": 1,
            "probability": 0.5,
            "is_default": 0,
            "features": b"",
        }
        for number, customer, time in [(1, "a", MAY), (2, "b", MAY), (3, "a", JUNE)]
    ]
    with database.write() as connection:
        connection.execute(insert(decisions), rows)
    return Outcomes(database)


def stored(book: Outcomes) -> list[tuple[int, int]]:
    with book.database.read() as connection:
        rows = connection.execute(select(outcomes.c.decision_id, outcomes.c.defaulted).order_by(outcomes.c.id))
        return [(row.decision_id, row.defaulted) for row in rows]


def test_a_customer_means_the_latest_decision_before_it_was_known(book: Outcomes) -> None:
    book.record([Outcome(True, MAY + timedelta(days=9), customer_id="a")], JUNE)
    book.record([Outcome(False, JUNE + timedelta(days=9), customer_id="a")], JUNE)
    assert stored(book) == [(1, 1), (3, 0)]


def test_the_same_file_twice_changes_nothing(book: Outcomes) -> None:
    reported = [Outcome(True, JUNE, decision_id=1), Outcome(False, JUNE, decision_id=2)]
    assert book.record(reported, JUNE).recorded == 2
    again = book.record(reported, JUNE)
    assert (again.recorded, again.repeated) == (0, 2)
    assert len(stored(book)) == 2


def test_a_correction_is_kept_beside_the_first_report(book: Outcomes) -> None:
    book.record([Outcome(False, JUNE, decision_id=1)], JUNE)
    assert book.record([Outcome(True, JUNE, decision_id=1)], JUNE).corrected == 1
    assert stored(book) == [(1, 0), (1, 1)]


def scored(database: Database, *customers: str) -> Outcomes:
    columns = {"scored_at": 0, "model_version": 1, "probability": 0.5, "is_default": 0, "features": b""}
    rows = [
        {"id": number, "customer_id": customer, "time": to_micros(MAY), **columns}
        for number, customer in enumerate(customers, 1)
    ]
    with database.write() as connection:
        connection.execute(insert(decisions), rows)
    return Outcomes(database)


@pytest.mark.parametrize(
    ("known", "reported", "said"),
    [
        (["00123", "x"], "123", "'00123'"),
        (["123", "01234"], "00123", "'123'"),
        (["0123"], "000123", "'0123'"),
        (["000"], "0", "'000'"),
        (["00123", "0123", "1230"], "123", "'0123' and '00123'"),
    ],
)
def test_ids_that_differ_in_leading_zeros_only_are_named_and_never_matched(
    database: Database, known: list[str], reported: str, said: str
) -> None:
    book = scored(database, *known)
    one = Outcome(True, JUNE, customer_id=reported, place="line 2")
    found = book.record([one, Outcome(True, JUNE, customer_id=known[-1])], JUNE)
    assert found.recorded == 1
    assert found.unmatched == (reported,)
    (reason,) = found.reasons
    assert f"no decision on customer '{reported}' is on record, but on {said}; export ids as text" in reason
    with pytest.raises(DataError, match=f"but on {said}; export ids as text") as caught:
        book.record([one], JUNE, undecided=Labels.of([]))
    assert [problem.field for problem in caught.value.details] == ["line 2"]


@pytest.mark.parametrize("reported", ["1230", "0A123", "12", "-123", "1_23", "٠٠١٢٣", "0" * 300 + "123"])
def test_other_ids_are_not_said_to_be_the_same(database: Database, reported: str) -> None:
    book = scored(database, "00123", "A123")
    (reason,) = book.record([Outcome(True, JUNE, customer_id=reported)], JUNE).reasons
    assert reason.endswith("is on record")


def test_unknown_ids_are_named_and_the_others_recorded(book: Outcomes) -> None:
    reported = [
        Outcome(True, JUNE, decision_id=99),
        Outcome(True, JUNE, customer_id="nobody"),
        Outcome(True, MAY - timedelta(days=1), customer_id="b"),  # before b's only decision
        Outcome(True, JUNE, customer_id="b"),
    ]
    result = book.record(reported, JUNE)
    assert result.unmatched == ("99", "nobody", "b")
    assert stored(book) == [(2, 1)]


STRANGERS: dict[str, list[Outcome]] = {
    "numbers": [Outcome(True, JUNE, decision_id=n, place=f"row {n}") for n in (7, 99)],
    "customers": [Outcome(False, JUNE, customer_id=name, place=f"line {n}") for n, name in enumerate("xyz", 2)],
    "too early": [Outcome(True, MAY - timedelta(days=1), customer_id="b", place="line 2")],
    "undecided": [],
}


@pytest.mark.parametrize("kind", STRANGERS)
@pytest.mark.parametrize("watermark", [None, MAY + timedelta(days=30)])
def test_where_no_row_is_anybodys_nothing_is_recorded_and_no_watermark_rises(
    book: Outcomes, kind: str, watermark: datetime | None
) -> None:
    undecided = Labels.of(
        [Outcome(False, JUNE, customer_id=f"n{n}", place=f"line {n}") for n in range(20)][kind != "undecided" :]
    )
    heard: list[str] = []
    with pytest.raises(DataError, match="Decisions are on record for such as 'a'") as refused:
        book.record(STRANGERS[kind], JUNE, complete_until=watermark, undecided=undecided, aside=heard.extend)
    assert len(heard) == len(STRANGERS[kind]) + len(undecided)
    assert [f"{p.field}: {p.problem}" for p in refused.value.details] == heard[:10]
    with book.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(deliveries)).scalar_one() == 0
    assert stored(book) == []
    known = Outcome(True, JUNE, customer_id="a")
    for rows, waiting in (([*STRANGERS[kind], known], undecided), (STRANGERS[kind], Labels.of([known]))):
        assert book.record(rows, JUNE, complete_until=watermark, undecided=waiting).complete_until == watermark


def test_a_watermark_alone_needs_no_rows(book: Outcomes) -> None:
    assert book.record([], JUNE, complete_until=MAY, undecided=Labels.of([])).complete_until == MAY


def test_thousands_at_once(book: Outcomes) -> None:
    reported = [Outcome(True, JUNE, decision_id=n) for n in range(3000)]
    assert len(book.record(reported, JUNE).unmatched) == 2997


@pytest.mark.parametrize("seed", range(3))
def test_many_are_matched_as_one_by_one(
    database: Database, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and segments, ids and customers, corrections and quarantine, in bulk: against the rule, said one by one."""
    monkeypatch.setattr("riskloop.store.database.FILLED", 100)
    rng = np.random.default_rng(seed)
    segments = Segments(database, tmp_path / "segments")
    log, book = DecisionLog(database, segments), Outcomes(database, segments)
    decided: list[tuple[str, int, int]] = []  # customer, time, id
    for number, size in enumerate(rng.integers(1, 900, 5).tolist()):
        names = [f"c{i}" for i in rng.integers(0, 700, size)]
        times = (to_micros(MAY) + rng.integers(0, 40, size) * 86_400_000_000).tolist()
        group = Decisions(names, times, 1, 1, rng.random(size), rng.random(size) < 0.5, np.zeros((size, 1)))
        if number % 2:
            written = segments.files.write(group, ["x"])
            assert segments.register(f"run{number}", "f", [written], seq=0) is not None
        else:
            log.append(group)
        decided += [(name, time, len(decided) + 1 + i) for i, (name, time) in enumerate(zip(names, times, strict=True))]
    known: dict[int, bool] = {}
    for turn in range(3):
        reported = []
        for row in range(1500):
            moment, value = MAY + timedelta(days=int(rng.integers(-2, 50))), bool(rng.random() < 0.4)
            about = int(rng.integers(0, len(decided) + 40))
            if rng.random() < 0.5:
                reported.append(Outcome(value, moment, decision_id=about, place=f"line {row}"))
            else:
                reported.append(Outcome(value, moment, customer_id=f"c{about % 720}", place=f"line {row}"))
        counts, wanted, lost = dict.fromkeys(("new", "same", "other"), 0), dict[int, Outcome](), []
        for one in reported:
            if one.decision_id is not None:
                found = one.decision_id if 1 <= one.decision_id <= len(decided) else None
            else:
                theirs = [(t, i) for c, t, i in decided if c == one.customer_id and t <= to_micros(one.known_at)]
                found = max(theirs)[1] if theirs else None
            if found is None:
                lost.append((str(one.customer_id if one.decision_id is None else one.decision_id), one.place))
            elif found not in wanted or wanted[found].known_at <= one.known_at:
                wanted[found] = one
        rows = []
        for about, one in wanted.items():
            kind = "new" if about not in known else "same" if known[about] == one.defaulted else "other"
            counts[kind] += 1
            if kind != "same":
                rows.append((about, int(one.defaulted)))
                known[about] = one.defaulted
        before = len(stored(book))
        result = book.record(reported, JUNE + timedelta(days=turn))
        assert stored(book)[before:] == rows
        assert (result.recorded, result.repeated, result.corrected) == (len(rows), counts["same"], counts["other"])
        assert list(result.unmatched) == [name for name, _ in lost]
        assert [reason.partition(":")[0] for reason in result.reasons] == [place for _, place in lost]
    with database.read() as connection:
        last = [link for link in chain.read(connection) if link.kind == "outcomes"][-1]
        rows_of = chain.digests(connection, outcomes, outcomes.c.id.between(last.first_id, last.last_id))
        assert last.digest == rows_digest(digest for _, digest in rows_of), "the link is what the rows say"


def test_the_date_of_the_decision_tells_a_customers_decisions_apart(book: Outcomes) -> None:
    late = JUNE + timedelta(days=40)
    reported = [
        Outcome(True, late, customer_id="a", decided=MAY),
        Outcome(False, late, customer_id="a", decided=JUNE + timedelta(hours=3)),  # the same day
        Outcome(True, late, customer_id="a", decided=MAY + timedelta(days=5)),
        Outcome(True, late, customer_id="b", decided=MAY + timedelta(days=5)),  # b has one decision only
    ]
    result = book.record(reported, late)
    assert sorted(stored(book)) == [(1, 1), (2, 1), (3, 0)]
    assert "no decision on customer 'a' is of 2025-05-06" in result.reasons[0]


def test_decisions_on_customers_are_matched_a_part_at_a_time(database: Database) -> None:
    """A log is longer than what a server may hold of it as objects."""
    book = scored(database, *(f"c{number % 50}" for number in range(10_500)))
    index = {"c7": 0, "c8": 1}
    with database.read() as connection:
        parts = list(_decisions_on(connection, book.segments, index | {f"x{n}": n + 2 for n in range(5_000)}))
        few = list(_decisions_on(connection, book.segments, index))
    assert len(parts) >= 2
    who, _, ids = np.concatenate(parts, axis=1)
    assert sorted(zip(who.tolist(), ids.tolist(), strict=True)) == sorted(
        (n % 50 - 7, n + 1) for n in range(10_500) if n % 50 in (7, 8)
    )
    assert sorted(np.concatenate(few, axis=1)[2].tolist()) == sorted(ids.tolist())
