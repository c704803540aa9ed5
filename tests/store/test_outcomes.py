from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from riskloop.core.types import to_micros
from riskloop.store.database import Database
from riskloop.store.outcomes import Outcome, Outcomes
from riskloop.store.tables import decisions, outcomes

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


def test_thousands_at_once(book: Outcomes) -> None:
    reported = [Outcome(True, JUNE, decision_id=n) for n in range(3000)]
    assert len(book.record(reported, JUNE).unmatched) == 2997
